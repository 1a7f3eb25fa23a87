import Config
import Engine
import Filters
import HTTP
import Simulation
import Upstream

/// A worker that proxies HTTP from one listener to the cluster `web`, on a simulated kernel.
final class HTTPWorld {
    let simulation: SimulatedWorker
    let listener: SimulatedWorker.Listener
    /// One for each endpoint, in order.
    let servers: [SimulatedServer]
    let cluster: StatsScope
    /// Cells of a worker that is not there, which count against the limits of the cluster as if it were.
    let otherWorker: StatsScope
    let pool: HTTPConnectionPool
    private var clients: [HTTPClient] = []

    struct Options {
        var seed: UInt64 = 1
        var perturbation = Perturbation.none
        var socketBufferBytes = 32 * 1024
        var endpointCount = 1
        /// What stands under `http:`, besides routes.
        var http = ""
        /// What a route to `web` says, besides its cluster.
        var route = ""
        /// What stands in `pool:` of the cluster.
        var pool = ""
        /// Before the router. Each gets the cluster as its first one.
        var filters: [HTTPFilter] = []
    }

    init(_ options: Options = Options()) throws {
        let simulation = try SimulatedWorker(
            seed: options.seed, perturbation: options.perturbation, workerCount: 2)
        simulation.network.socketBufferBytes = options.socketBufferBytes
        let configuration = Self.configuration(options)
        var servers: [SimulatedServer] = []
        var endpoints: [Endpoint] = []
        for index in 0..<options.endpointCount {
            let address = NetworkAddress(ipv4Bits: 0x0A00_0001 + UInt32(index), port: 80)
            let range = try simulation.registry.range(
                for: StatsRegistry.Owner(.endpoint, "web/\(address)"), count: EndpointStat.cellCount)
            endpoints.append(Endpoint(address: address, name: "\(address)", weight: 1, stats: range))
            let server = SimulatedServer()
            simulation.network.servers["\(address)"] = server
            servers.append(server)
        }
        let (clusterScope, clusterRange) = simulation.makeScope(.cluster, "web", cells: ClusterStat.cellCount)
        let poolConfiguration = configuration.clusters[0].pool
        let cluster = Cluster(
            name: "web", endpoints: endpoints, policy: .roundRobin, connectTimeoutNs: 5_000_000_000,
            connectionsMax: poolConfiguration.maxConnections.map(UInt64.init), pool: poolConfiguration,
            stats: clusterRange)
        pool = HTTP1ConnectionPool(
            cluster: WorkerCluster(cluster, registry: simulation.registry, worker: 0, seed: options.seed),
            settings: HTTPConnectionPool.Settings(
                limits: HTTP1Limits(), idleTimeoutNs: poolConfiguration.idleTimeout?.nanoseconds ?? 0,
                requestsPerConnectionMax: poolConfiguration.maxRequestsPerConnection.map(UInt64.init),
                connectionDurationNs: poolConfiguration.maxConnectionDuration?.nanoseconds ?? 0,
                pendingMax: UInt64(poolConfiguration.maxPending),
                requestsMax: poolConfiguration.maxRequests.map(UInt64.init),
                retriesMax: UInt64(poolConfiguration.maxRetries)),
            worker: simulation.worker)
        guard case .http(let http) = configuration.listeners[0].proxy else { preconditionFailure("no http listener") }
        let settings = HTTPChainSettings(http)
        for filter in options.filters { filter.attach(clusters: [pool], counters: nil, serving: ServingState()) }
        let (counters, _) = simulation.makeScope(.listener, "edge", cells: HTTPStat.cellCount)
        let table = RouteTable(http)
        let router = RouterFilter(
            table: table, regexes: table.regexes(ofWorker: 0), pools: [pool], settings: settings, seed: options.seed)
        let chain = HTTPChain(
            settings: settings, filters: options.filters, router: router,
            counters: counters, worker: simulation.worker)
        self.simulation = simulation
        self.servers = servers
        self.cluster = clusterScope
        otherWorker = simulation.registry.scope(clusterRange, worker: 1)
        listener = simulation.listen([HTTPConnectionManagerFactory(chain: chain)], counters: counters)
        for server in servers { server.dialogue = { HTTPServer(on: $0) } }
    }

    private static func configuration(_ options: Options) -> Configuration {
        let text = """
            listeners:
              - name: edge
                address: 127.0.0.1:1
                http: { routes: [{ match: {}, cluster: web\(options.route.isEmpty ? "" : ", " + options.route) }] \
            \(options.http.isEmpty ? "" : ", " + options.http) }
            clusters:
              - { name: web, endpoints: ["10.0.0.1:80"], pool: { \(options.pool) } }
            """
        let loaded = Configuration.load(text: text, file: "world.yaml")
        guard let configuration = loaded.configuration, loaded.errors.isEmpty else {
            preconditionFailure("\(loaded.errors)")
        }
        return configuration
    }

    var server: SimulatedServer { servers[0] }
    var upstreams: [SimulatedPeer] { servers.flatMap(\.peers) }
    /// What all endpoints have received, in the order in which their connections were made.
    var requests: [HTTPText] { upstreams.flatMap { ($0.dialogue as? HTTPServer)?.requests ?? [] } }

    /// A client that sends `text` and reads answers.
    func client(_ text: String, plan: SimulatedPeer.Plan = SimulatedPeer.Plan()) -> HTTPClient {
        let peer = simulation.connectPeer(to: listener, plan: plan)
        let client = HTTPClient(text, on: peer)
        peer.dialogue = client
        clients.append(client)
        return client
    }

    /// Lets servers play `play` with each request instead of answering it.
    func serve(_ play: @escaping (HTTPServer, HTTPText) -> Void) {
        for server in servers { server.dialogue = { HTTPServer(on: $0, play: play) } }
    }

    func closes(_ reason: CloseReason) -> UInt64 { simulation.closes(listener.counters, reason) }

    /// Runs until clients have got `count` answers in all.
    func run(untilAnswers count: Int, of clients: HTTPClient...) {
        simulation.run { clients.reduce(0) { $0 + $1.answers.count } >= count }
    }

    /// Runs until no connection is left, then says what is wrong.
    func problemsAtEnd(turnsMax: Int = 100_000) -> [String] {
        let isEmpty = simulation.run(turnsMax: turnsMax) {
            simulation.worker.connectionCount == 0 && clients.allSatisfy { $0.isOver || $0.peer.isClosed }
        }
        var problems = simulation.problemsAtEnd()
        if !isEmpty { problems.append("connections were left after \(simulation.turns) turns") }
        if listener.counters.read(HTTPStat.requestsActive) != 0 { problems.append("requests are active") }
        for stat in [ClusterStat.requestsActive, .pendingRequests, .retriesActive] where cluster.read(stat) != 0 {
            problems.append("\(stat): \(Int64(bitPattern: cluster.read(stat)))")
        }
        return problems
    }
}
