internal import Engine
internal import Upstream

/// The families that say how the endpoints of clusters are.
struct HealthMetrics {
    let registry: StatsRegistry
    let clusters: [Cluster]

    func write(to text: inout PrometheusText) {
        text.family("ringway_cluster_endpoints", .gauge, "Endpoints by state.")
        for cluster in clusters {
            let states = cluster.endpoints.indices.map { cluster.health(of: $0).state }
            for state in EndpointHealth.State.allCases {
                let count = states.count { $0 == state }
                text.sample(["cluster": cluster.name, "state": state.rawValue], UInt64(count))
            }
        }
        text.family("ringway_cluster_health_checks_total", .counter, "Health checks by what came of them.")
        let results: [(String, ClusterStat)] = [
            ("success", .healthChecksPassed), ("bad_answer", .healthChecksAnsweredBadly),
            ("connection", .healthChecksUnconnected), ("timeout", .healthChecksTimedOut),
            ("skipped", .healthChecksSkipped),
        ]
        each { name, scope in
            for (label, stat) in results { text.sample(["cluster": name, "result": label], scope.read(stat)) }
        }
        text.family(
            "ringway_cluster_health_changes_total", .counter, "Endpoints that became healthy or unhealthy by checks.")
        each { name, scope in
            text.sample(["cluster": name, "to": "healthy"], scope.read(ClusterStat.becameHealthy))
            text.sample(["cluster": name, "to": "unhealthy"], scope.read(ClusterStat.becameUnhealthy))
        }
        text.family(
            "ringway_cluster_ejections_total", .counter,
            "Endpoints that failed too often in a row, by whether they were taken out.")
        for cluster in clusters where cluster.outlierDetection != nil {
            let scope = registry.backgroundScope(cluster.stats)
            text.sample(["cluster": cluster.name, "result": "ejected"], scope.read(ClusterStat.ejections))
            text.sample(["cluster": cluster.name, "result": "overflow"], scope.read(ClusterStat.ejectionsOverflowed))
        }
        text.family(
            "ringway_cluster_panic_picks_total", .counter,
            "Times that an endpoint was chosen among all because too few were healthy.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.panicPicks))
        }
    }

    /// Clusters that are checked, with the cells of the thread that does it.
    private func each(_ body: (String, StatsScope) -> Void) {
        for cluster in clusters where cluster.healthCheck != nil {
            body(cluster.name, registry.backgroundScope(cluster.stats))
        }
    }
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
