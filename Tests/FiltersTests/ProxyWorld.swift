import Config
import Engine
import Filters
import Simulation
import Upstream

/// A worker that proxies one listener to one cluster, on a simulated kernel.
final class ProxyWorld {
    let simulation: SimulatedWorker
    let listener: SimulatedWorker.Listener
    /// One for each endpoint, in order.
    let servers: [SimulatedServer]
    let cluster: StatsScope
    private let endpoints: [StatsScope]

    struct Options {
        var seed: UInt64 = 1
        var perturbation = Perturbation.none
        var limits = SimulatedWorker.smallLimits
        var socketBufferBytes = 32 * 1024
        var endpointCount = 1
        var policy = LoadBalancingPolicy.roundRobin
        var connectTimeoutNs: UInt64 = 5_000_000_000
        var idleTimeoutNs: UInt64 = 0
        var connectAttempts = 1
        var connectionsMax: UInt64?
        var clusterConnectionsMax: UInt64?
        var isShared = false
        /// Filters before `tcp_proxy`.
        var filters: [NetworkFilterFactory] = []
    }

    init(_ options: Options = Options()) throws {
        let simulation = try SimulatedWorker(
            seed: options.seed, perturbation: options.perturbation, limits: options.limits)
        simulation.network.socketBufferBytes = options.socketBufferBytes
        var servers: [SimulatedServer] = []
        var endpoints: [Endpoint] = []
        var scopes: [StatsScope] = []
        for index in 0..<options.endpointCount {
            let address = NetworkAddress(ipv4Bits: 0x0A00_0001 + UInt32(index), port: 80)
            let range = try simulation.registry.range(
                for: StatsRegistry.Owner(.endpoint, "backend/\(address)"), count: EndpointStat.cellCount)
            endpoints.append(Endpoint(address: address, name: "\(address)", weight: 1, stats: range))
            scopes.append(simulation.registry.scope(range, worker: 0))
            let server = SimulatedServer()
            simulation.network.servers["\(address)"] = server
            servers.append(server)
        }
        let (clusterScope, clusterRange) = simulation.makeScope(.cluster, "backend", cells: ClusterStat.cellCount)
        let cluster = Cluster(
            name: "backend", endpoints: endpoints, policy: options.policy, connectTimeoutNs: options.connectTimeoutNs,
            connectionsMax: options.clusterConnectionsMax, stats: clusterRange)
        let workerCluster = WorkerCluster(cluster, registry: simulation.registry, worker: 0, seed: options.seed)
        let settings = TCPProxySettings(
            clusters: [(workerCluster, 1)], idleTimeoutNs: options.idleTimeoutNs,
            connectAttempts: options.connectAttempts, seed: options.seed)
        self.simulation = simulation
        self.servers = servers
        self.endpoints = scopes
        self.cluster = clusterScope
        listener = simulation.listen(
            options.filters + [TCPProxyFactory(settings: settings)], isShared: options.isShared,
            connectionsMax: options.connectionsMax)
    }

    var network: SimulatedNetwork { simulation.network }
    var server: SimulatedServer { servers[0] }

    func connect(_ plan: SimulatedPeer.Plan = SimulatedPeer.Plan()) -> SimulatedPeer {
        simulation.connectPeer(to: listener, plan: plan)
    }

    /// A client and its upstream peer, joined by the proxy.
    func connectThrough(
        client: SimulatedPeer.Plan = SimulatedPeer.Plan(), upstream: SimulatedPeer.Plan = SimulatedPeer.Plan()
    ) -> (client: SimulatedPeer, upstream: SimulatedPeer) {
        server.plan = { _ in upstream }
        let count = server.peers.count
        let peer = connect(client)
        simulation.run { server.peers.count > count }
        return (peer, server.peers[count])
    }

    func closes(_ reason: CloseReason) -> UInt64 { simulation.closes(listener.counters, reason) }
    func upstreamCloses(_ reason: CloseReason) -> UInt64 { simulation.closes(cluster, reason) }

    /// Runs until no connection is left, then says what is wrong.
    func problemsAtEnd(turnsMax: Int = 50_000) -> [String] {
        let isEmpty = simulation.run(turnsMax: turnsMax) { simulation.worker.connectionCount == 0 }
        var problems = simulation.problemsAtEnd()
        if !isEmpty { problems.append("connections were left after \(simulation.turns) turns") }
        for (index, scope) in endpoints.enumerated() where scope.read(EndpointStat.active) != 0 {
            problems.append("endpoint \(index) counts \(scope.read(EndpointStat.active)) active")
        }
        return problems
    }
}

/// A plan in one expression.
func plan(_ change: (inout SimulatedPeer.Plan) -> Void) -> SimulatedPeer.Plan {
    var plan = SimulatedPeer.Plan()
    change(&plan)
    return plan
}

func perturbed(_ change: (inout Perturbation) -> Void) -> Perturbation {
    var perturbation = Perturbation.none
    change(&perturbation)
    return perturbation
}
