internal import Engine
internal import Upstream

/// The families that say how the endpoints of clusters are.
struct HealthMetrics {
    let registry: StatsRegistry
    let plan: SeriesPlan

    var families: [MetricFamily] {
        let checked = plan.clusters.filter { $0.members.contains { $0.healthCheck != nil } }
        let watched = plan.clusters.filter { $0.members.contains { $0.outlierDetection != nil } }
        let results: [(String, ClusterStat)] = [
            ("success", .healthChecksPassed), ("bad_answer", .healthChecksAnsweredBadly),
            ("connection", .healthChecksUnconnected), ("timeout", .healthChecksTimedOut),
            ("skipped", .healthChecksSkipped),
        ]
        return [
            MetricFamily("ringway_cluster_endpoints", .gauge, "Endpoints by state.", plan.clusters) { writer, item in
                let counts = EndpointCounts(item.members)
                for state in EndpointHealth.State.allCases {
                    writer.sample(item.owner, "state", state.rawValue, counts[state])
                }
            },
            MetricFamily(
                "ringway_cluster_health_checks_total", .counter, "Health checks by what came of them.", checked
            ) { [registry] writer, item in
                for (label, stat) in results {
                    writer.sample(item.owner, "result", label, registry.backgroundSum(item.owner, stat))
                }
            },
            MetricFamily(
                "ringway_cluster_health_changes_total", .counter,
                "Endpoints that became healthy or unhealthy by checks.", checked
            ) { [registry] writer, item in
                let owner = item.owner
                writer.sample(owner, "to", "healthy", registry.backgroundSum(owner, ClusterStat.becameHealthy))
                writer.sample(owner, "to", "unhealthy", registry.backgroundSum(owner, ClusterStat.becameUnhealthy))
            },
            MetricFamily(
                "ringway_cluster_ejections_total", .counter,
                "Endpoints that failed too often in a row, by whether they were taken out.", watched
            ) { [registry] writer, item in
                let owner = item.owner
                writer.sample(owner, "result", "ejected", registry.backgroundSum(owner, ClusterStat.ejections))
                writer.sample(
                    owner, "result", "overflow", registry.backgroundSum(owner, ClusterStat.ejectionsOverflowed))
            },
            MetricFamily(
                "ringway_cluster_panic_picks_total", .counter,
                "Times that an endpoint was chosen among all because too few were healthy.", plan.clusters
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ClusterStat.panicPicks))
            },
        ]
    }
}

/// How many endpoints of some clusters are in which state.
struct EndpointCounts {
    private var counts = InlineArray<4, UInt64>(repeating: 0)
    private(set) var total: UInt64 = 0

    init(_ clusters: [Cluster]) {
        for cluster in clusters {
            total += UInt64(cluster.endpoints.count)
            for index in cluster.endpoints.indices { counts[cluster.health(of: index).state.index] += 1 }
        }
    }

    subscript(_ state: EndpointHealth.State) -> UInt64 { counts[state.index] }
}

extension Cluster {
    /// Endpoints that nobody checks count as healthy.
    func health(of endpoint: Int) -> EndpointHealth { health?[endpoint] ?? .healthy }
}

extension EndpointHealth {
    /// What the `state` label says.
    enum State: String, CaseIterable {
        case healthy, unhealthy
        /// Not checked yet.
        case pending
        case ejected

        fileprivate var index: Int {
            switch self {
            case .healthy: 0
            case .unhealthy: 1
            case .pending: 2
            case .ejected: 3
            }
        }
    }

    var state: State {
        if contains(.pendingCheck) { return .pending }
        if contains(.failedCheck) { return .unhealthy }
        return contains(.ejected) ? .ejected : .healthy
    }

    /// As Envoy's `/clusters` writes them.
    var flags: String {
        if self == .healthy { return "healthy" }
        var text = ""
        if contains(.failedCheck) { text += "/failed_active_hc" }
        if contains(.pendingCheck) { text += "/pending_active_hc" }
        if contains(.ejected) { text += "/failed_outlier_check" }
        return text
    }
}
