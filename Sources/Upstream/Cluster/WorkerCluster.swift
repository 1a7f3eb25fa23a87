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

    /// - Parameter seed: where the load balancer starts. Drawn at random by default: workers start at different
    ///   places, so that a few connections on each do not all meet on the first endpoint.
    package init(_ cluster: Cluster, registry: StatsRegistry, worker: Int, seed: UInt64 = .random(in: 0 ... .max)) {
        self.cluster = cluster
        counters = registry.scope(cluster.stats, worker: worker)
        scopes = registry.scopes(cluster.stats)
        limit = cluster.connectionsMax.map { ConnectionLimit(max: $0, scopes: registry.scopes(cluster.stats)) }
        endpointScopes = cluster.endpoints.map { registry.scope($0.stats, worker: worker) }
        sessions =
            cluster.tls.map { context in
                cluster.endpoints.map { _ in TLSClientSessions(context: context) }
            } ?? []
        let load = EndpointLoad(endpoints: cluster.endpoints, registry: registry)
        balancer = makeLoadBalancer(cluster.policy, weights: cluster.endpoints.map(\.weight), load: load, seed: seed)
    }

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

    /// Starts a connection to an endpoint. It is no load by itself (`addLoad`).
    package func connect(to index: Int, on worker: Worker, handler: ConnectionHandler) -> Attempt {
        if let limit, !limit.claim(for: counters) { return .refused(.overflow) }
        defer { limit?.endClaim(of: counters) }
        let endpoint = cluster.endpoints[index]
        guard
            let connection = worker.connect(
                to: endpoint.address, handler: handler, counters: counters, timeoutNs: cluster.connectTimeoutNs,
                tls: sessions.isEmpty ? nil : sessions[index])
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
        if reason.isConnectFailure { endpointScopes[endpoint].add(to: EndpointStat.connectFailures) }
    }
}

/// Endpoints of a cluster that one connection or request has tried, so that it does not try them again.
package struct TriedEndpoints {
    private var indices: [Int] = []

    package init() {}
    package mutating func insert(_ index: Int) { indices.append(index) }
    package func contains(_ index: Int) -> Bool { indices.contains(index) }
    package var isEmpty: Bool { indices.isEmpty }
}
