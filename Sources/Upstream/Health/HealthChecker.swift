package import Engine

/// Checks the endpoints of all clusters that ask for it. One for the process, on a worker of its own, so that neither
/// the number of checks nor their timers are felt by the workers that carry traffic.
package final class HealthChecker {
    /// An endpoint has changed.
    package struct Transition: Sendable {
        package let cluster: String
        package let endpoint: String
        package let isHealthy: Bool
        /// What decided: the last of the results.
        package let result: HealthCheckResult
        /// The first result of this endpoint.
        package let isFirst: Bool
    }

    /// First checks that start at the same time. The others follow in steps of `startStepNs`, so that ten thousand
    /// endpoints are asked within a third of a second, and not in one burst.
    private static let startsAtOnce = 128
    private static let startStepNs: UInt64 = 4_000_000

    let worker: Worker
    /// Where the connections of all checks are counted: they are none of their cluster's.
    let connections: StatsScope
    private let registry: StatsRegistry
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
            guard let check = cluster.healthCheck, let health = cluster.health else { continue }
            let old = clusters[cluster.name]
            if let old, old.cluster === cluster {
                kept[cluster.name] = old
                continue
            }
            let records = old?.stop() ?? [:]
            let checked = CheckedCluster(
                cluster, check: check, health: health, counters: registry.backgroundScope(cluster.stats))
            for (index, endpoint) in cluster.endpoints.enumerated() {
                let session = HealthCheckSession(
                    index, of: checked, record: records[endpoint.name] ?? HealthRecord(), checker: self)
                checked.sessions.append(session)
                session.start(afterNs: UInt64(started / Self.startsAtOnce) * Self.startStepNs)
                started += 1
            }
            kept[cluster.name] = checked
        }
        for (name, old) in clusters where kept[name] == nil { _ = old.stop() }
        clusters = kept
    }

    func delayNs(after health: EndpointHealth, of cluster: CheckedCluster) -> UInt64 {
        let isUsed = registry.sum(cluster.cluster.stats, ConnectionStat.opened) > 0
        return cluster.check.delayNs(after: health, isUsed: isUsed, using: &random)
    }

    func report(_ endpoint: Endpoint, of cluster: CheckedCluster, _ result: HealthCheckResult, isFirst: Bool) {
        onTransition(
            Transition(
                cluster: cluster.cluster.name, endpoint: endpoint.name, isHealthy: result == .passed, result: result,
                isFirst: isFirst))
    }
}

/// A cluster whose endpoints are being checked.
final class CheckedCluster {
    let cluster: Cluster
    let check: HealthCheck
    let health: ClusterHealth
    let counters: StatsScope
    var sessions: [HealthCheckSession] = []

    init(_ cluster: Cluster, check: HealthCheck, health: ClusterHealth, counters: StatsScope) {
        self.cluster = cluster
        self.check = check
        self.health = health
        self.counters = counters
        // While this counts, the cells are nobody else's.
        counters.add(to: ConnectionStat.active)
    }

    /// - Returns: what is known, by the name of the endpoint
    func stop() -> [String: HealthRecord] {
        counters.subtract(from: ConnectionStat.active)
        var records: [String: HealthRecord] = [:]
        for session in sessions {
            session.stop()
            records[session.endpoint.name] = session.record
        }
        sessions = []
        return records
    }

    func count(_ result: HealthCheckResult) {
        switch result {
        case .passed: counters.add(to: ClusterStat.healthChecksPassed)
        case .failed(.status), .failed(.invalidAnswer): counters.add(to: ClusterStat.healthChecksAnsweredBadly)
        case .failed(.connection): counters.add(to: ClusterStat.healthChecksUnconnected)
        case .failed(.timeout): counters.add(to: ClusterStat.healthChecksTimedOut)
        }
    }

    func countTransition(to health: EndpointHealth) {
        counters.add(to: health == .healthy ? ClusterStat.becameHealthy : ClusterStat.becameUnhealthy)
    }
}
