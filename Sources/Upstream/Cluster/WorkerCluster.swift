package import Engine

/// One worker's view of a cluster: its load balancer's state and its cells.
package final class WorkerCluster {
    package let cluster: Cluster
    package let counters: StatsScope
    private let limit: ConnectionLimit?
    private let endpointScopes: [StatsScope]
    private var balancer: any LoadBalancer

    /// - Parameter seed: where the load balancer starts. Drawn at random by default: workers start at different
    ///   places, so that a few connections on each do not all meet on the first endpoint.
    package init(_ cluster: Cluster, registry: StatsRegistry, worker: Int, seed: UInt64 = .random(in: 0 ... .max)) {
        self.cluster = cluster
        counters = registry.scope(cluster.stats, worker: worker)
        limit = cluster.connectionsMax.map { ConnectionLimit(max: $0, scopes: registry.scopes(cluster.stats)) }
        endpointScopes = cluster.endpoints.map { registry.scope($0.stats, worker: worker) }
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
        if case .refused(.overflow) = attempt { counters.add(to: ClusterStat.overflowed) }
        return attempt
    }

    /// The load balancer's choice among endpoints that are not in `tried`.
    package func pick(excluding tried: TriedEndpoints) -> Int? { balancer.pick(excluding: tried) }

    /// Starts a connection to an endpoint.
    package func connect(to index: Int, on worker: Worker, handler: ConnectionHandler) -> Attempt {
        if let limit, limit.isReached { return .refused(.overflow) }
        let endpoint = cluster.endpoints[index]
        guard
            let connection = worker.connect(
                to: endpoint.address, handler: handler, counters: counters, timeoutNs: cluster.connectTimeoutNs)
        else { return .refused(.exhausted) }
        endpointScopes[index].add(to: EndpointStat.opened)
        endpointScopes[index].add(to: EndpointStat.active)
        return .connecting(connection, endpoint: index)
    }

    /// The connection to `endpoint` is gone.
    package func release(endpoint: Int, _ reason: CloseReason) {
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
