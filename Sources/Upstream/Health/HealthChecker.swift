package import Engine
internal import HTTP2

/// Watches over the endpoints of all clusters that ask for it: asks them (health checks), and takes out those that fail
/// clients (outlier detection). One for the process, on a worker of its own, so that neither the number of checks nor
/// their timers are felt by the workers that carry traffic.
package final class HealthChecker {
    /// An endpoint has changed.
    package struct Transition: Sendable {
        package let cluster: String
        package let endpoint: String
        package let change: Change
    }

    package enum Change: Equatable, Sendable {
        /// - `isFirst`: nothing was known before
        case healthy(isFirst: Bool)
        /// The last of the failures that decided.
        case unhealthy(HealthCheckFailure)
        case ejected(forNs: UInt64)
        case returned
    }

    /// First checks that start at the same time. The others follow in steps of `startStepNs`, so that ten thousand
    /// endpoints are asked within a third of a second, and not in one burst.
    private static let startsAtOnce = 128
    private static let startStepNs: UInt64 = 4_000_000

    let worker: Worker
    /// Where the connections of all checks are counted: they are none of their cluster's.
    let connections: StatsScope
    let registry: StatsRegistry
    /// Shared by all HTTP/2 checks.
    let output = HTTP2Output()
    private let onTransition: @Sendable (Transition) -> Void
    private var random: SplitMix64
    private var clusters: [String: CheckedCluster] = [:]

    package init(
        worker: Worker, registry: StatsRegistry, connections: StatsScope, seed: UInt64,
        onTransition: @escaping @Sendable (Transition) -> Void
    ) {
        self.worker = worker
        self.registry = registry
        self.connections = connections
        self.onTransition = onTransition
        random = SplitMix64(seed: seed)
    }

    /// Checks these clusters from now on, and no others. One that is the same object as before is left alone; the
    /// endpoints of one that was changed keep what is known about them, and are checked at once.
    package func apply(_ next: [Cluster]) {
        var kept: [String: CheckedCluster] = [:]
        var started = 0
        for cluster in next {
            guard let health = cluster.health else { continue }
            let old = clusters[cluster.name]
            if let old, old.cluster === cluster {
                kept[cluster.name] = old
                continue
            }
            let records = old?.records ?? [:]
            let ejections = old?.outliers?.ejections ?? [:]
            old?.stop()
            let checked = CheckedCluster(cluster, health: health, counters: registry.backgroundScope(cluster.stats))
            if let check = cluster.healthCheck {
                for (index, endpoint) in cluster.endpoints.enumerated() {
                    let session = HealthCheckSession(
                        index, of: checked, check: check, record: records[endpoint.name] ?? HealthRecord(),
                        checker: self)
                    checked.sessions.append(session)
                    session.start(afterNs: UInt64(started / Self.startsAtOnce) * Self.startStepNs)
                    started += 1
                }
            }
            if let detection = cluster.outlierDetection {
                checked.outliers = OutlierWatch(checked, detection, known: ejections, checker: self)
            }
            kept[cluster.name] = checked
        }
        for (name, old) in clusters where kept[name] == nil { old.stop() }
        clusters = kept
    }

    func delayNs(after health: EndpointHealth, _ check: HealthCheck, of cluster: CheckedCluster) -> UInt64 {
        let isUsed = registry.sum(cluster.cluster.stats, ConnectionStat.opened) > 0
        return check.delayNs(after: health, isUsed: isUsed, using: &random)
    }

    func report(_ endpoint: Endpoint, of cluster: CheckedCluster, _ change: Change) {
        onTransition(Transition(cluster: cluster.cluster.name, endpoint: endpoint.name, change: change))
    }
}

/// A cluster whose endpoints are watched over.
final class CheckedCluster {
    let cluster: Cluster
    let health: ClusterHealth
    let counters: StatsScope
    /// One for each endpoint, or none.
    var sessions: [HealthCheckSession] = []
    var outliers: OutlierWatch?

    init(_ cluster: Cluster, health: ClusterHealth, counters: StatsScope) {
        self.cluster = cluster
        self.health = health
        self.counters = counters
        // While this counts, the cells are nobody else's.
        counters.add(to: ConnectionStat.active)
    }

    /// What checks have come to, by the name of the endpoint.
    var records: [String: HealthRecord] {
        Dictionary(uniqueKeysWithValues: sessions.map { ($0.endpoint.name, $0.record) })
    }

    func stop() {
        counters.subtract(from: ConnectionStat.active)
        for session in sessions { session.stop() }
        sessions = []
        outliers?.stop()
        outliers = nil
    }

    func count(_ result: HealthCheckResult) {
        switch result {
        case .passed: counters.add(to: ClusterStat.healthChecksPassed)
        case .failed(.status), .failed(.grpcStatus), .failed(.notServing), .failed(.invalidAnswer):
            counters.add(to: ClusterStat.healthChecksAnsweredBadly)
        case .failed(.connection): counters.add(to: ClusterStat.healthChecksUnconnected)
        case .failed(.timeout): counters.add(to: ClusterStat.healthChecksTimedOut)
        }
    }

    func countTransition(to health: EndpointHealth) {
        counters.add(to: health == .healthy ? ClusterStat.becameHealthy : ClusterStat.becameUnhealthy)
    }
}
