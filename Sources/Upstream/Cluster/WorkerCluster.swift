package import Engine

/// One worker's view of a cluster: its load balancer's state and its cells.
package final class WorkerCluster {
    package let cluster: Cluster
    package let counters: StatsScope
    private let limit: ConnectionLimit?
    private let scopes: [StatsScope]
    private let endpointScopes: [StatsScope]
    /// One for each endpoint of a cluster that speaks TLS.
    private let sessions: [TLSClientSessions]
    private var balancer: any LoadBalancer
    /// Failures in a row that are a strike; 0 when nobody counts them.
    private let failuresMax: UInt64

    /// - Parameter seed: where the load balancer starts. Drawn at random by default: workers start at different
    ///   places, so that a few connections on each do not all meet on the first endpoint.
    package init(_ cluster: Cluster, registry: StatsRegistry, worker: Int, seed: UInt64 = .random(in: 0 ... .max)) {
        self.cluster = cluster
        failuresMax = cluster.outlierDetection?.failuresMax ?? 0
        counters = registry.scope(cluster.stats, worker: worker)
        scopes = registry.scopes(cluster.stats)
        limit = cluster.connectionsMax.map { ConnectionLimit(max: $0, scopes: registry.scopes(cluster.stats)) }
        endpointScopes = cluster.endpoints.map { registry.scope($0.stats, worker: worker) }
        sessions =
            cluster.tls.map { context in
                cluster.endpoints.map { _ in TLSClientSessions(context: context) }
            } ?? []
        let load = EndpointLoad(endpoints: cluster.endpoints, registry: registry)
        let weights = cluster.endpoints.map(\.weight)
        if let health = cluster.health {
            balancer = HealthyEndpoints(
                cluster.policy, weights: weights, load: load, health: health, panicThreshold: cluster.panicThreshold,
                seed: seed, onPanic: { [counters] in counters.add(to: ClusterStat.panicPicks) })
        } else {
            balancer = makeLoadBalancer(cluster.policy, weights: weights, load: load, seed: seed)
        }
    }

    /// Where an endpoint counts: by this it is told from all others.
    package func firstCell(ofEndpoint index: Int) -> Int { endpointScopes[index].firstCell }

    package enum Refusal: Sendable {
        /// The cluster has as many connections as it may have.
        case overflow
        /// No endpoint is left to try.
        case noEndpoint
        /// This process is out of descriptors or slots.
        case exhausted
    }

    package enum Attempt {
        case connecting(Connection, endpoint: Int)
        case refused(Refusal)
    }

    /// Picks an endpoint that is not in `tried` and starts a connection to it.
    ///
    /// The handler gives the endpoint back with `release(endpoint:)` when its connection is closed.
    package func connect(on worker: Worker, handler: ConnectionHandler, excluding tried: TriedEndpoints) -> Attempt {
        guard let index = pick(excluding: tried) else { return .refused(.noEndpoint) }
        let attempt = connect(to: index, on: worker, handler: handler)
        switch attempt {
        case .connecting(_, let endpoint): addLoad(to: endpoint)
        case .refused(.overflow): counters.add(to: ClusterStat.overflowed)
        case .refused: break
        }
        return attempt
    }

    /// The load balancer's choice among endpoints that are not in `tried`.
    package func pick(excluding tried: TriedEndpoints) -> Int? { balancer.pick(excluding: tried) }

    /// The same, but when all that could be picked were tried, one of those.
    package func pick(avoiding tried: TriedEndpoints) -> Int? {
        if let index = pick(excluding: tried) { return index }
        return tried.isEmpty ? nil : pick(excluding: TriedEndpoints())
    }

    /// Starts a connection to an endpoint. It is no load by itself (`addLoad`).
    package func connect(to index: Int, on worker: Worker, handler: ConnectionHandler) -> Attempt {
        if let limit, !limit.claim(for: counters) { return .refused(.overflow) }
        defer { limit?.endClaim(of: counters) }
        let endpoint = cluster.endpoints[index]
        guard
            let connection = worker.connect(
                to: endpoint.address, handler: handler, counters: counters, timeoutNs: cluster.connectTimeoutNs,
                keepAlive: cluster.keepAlive, tls: sessions.isEmpty ? nil : sessions[index])
        else { return .refused(.exhausted) }
        endpointScopes[index].add(to: EndpointStat.opened)
        endpointScopes[index].add(to: EndpointStat.active)
        return .connecting(connection, endpoint: index)
    }

    package func addLoad(to endpoint: Int) { endpointScopes[endpoint].add(to: EndpointStat.load) }
    package func removeLoad(from endpoint: Int) { endpointScopes[endpoint].subtract(from: EndpointStat.load) }

    package var limitsConnections: Bool { limit != nil }

    /// A gauge of the cluster over all workers.
    package func sum(_ stat: ClusterStat) -> UInt64 {
        var sum: UInt64 = 0
        for scope in scopes { sum &+= scope.read(stat) }
        return sum
    }

    /// The connection to `endpoint` is gone.
    ///
    /// - Parameter asLoad: whether `connect(on:handler:excluding:)` made it, which counts it as load.
    package func release(endpoint: Int, _ reason: CloseReason, asLoad: Bool = true) {
        if asLoad { removeLoad(from: endpoint) }
        endpointScopes[endpoint].subtract(from: EndpointStat.active)
        if reason.isConnectFailure {
            endpointScopes[endpoint].add(to: EndpointStat.connectFailures)
            noteFailure(of: endpoint)
        }
    }

    // MARK: Outlier detection

    package var detectsOutliers: Bool { failuresMax > 0 }

    /// The endpoint did what it was asked for.
    package func noteSuccess(of endpoint: Int) {
        if detectsOutliers { endpointScopes[endpoint].set(0, in: EndpointStat.failuresInARow) }
    }

    /// The endpoint did not: a status of 500 or more, no response in time, or none at all.
    package func noteFailure(of endpoint: Int) {
        guard detectsOutliers else { return }
        let scope = endpointScopes[endpoint]
        let failures = scope.read(EndpointStat.failuresInARow) + 1
        guard failures >= failuresMax else { return scope.set(failures, in: EndpointStat.failuresInARow) }
        scope.set(0, in: EndpointStat.failuresInARow)
        // The endpoint's first: who sees the cluster's looks for it.
        scope.add(to: EndpointStat.strikes)
        counters.add(to: ClusterStat.strikes)
    }
}

/// Endpoints of a cluster that one connection or request has tried, so that it does not try them again.
package struct TriedEndpoints {
    private var indices: [Int] = []

    package init() {}
    package mutating func insert(_ index: Int) { indices.append(index) }
    package func contains(_ index: Int) -> Bool { indices.contains(index) }
    package var isEmpty: Bool { indices.isEmpty }

    /// The same endpoints under other numbers; those that have none are left out.
    func map(_ number: (Int) -> Int?) -> TriedEndpoints {
        var mapped = TriedEndpoints()
        mapped.indices = indices.compactMap(number)
        return mapped
    }
}
