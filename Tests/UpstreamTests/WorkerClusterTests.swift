import Config
import Engine
import Simulation
import Testing
@testable import Upstream

private let second: UInt64 = 1_000_000_000

/// A cluster with as many endpoints as answers, on a simulated worker.
private final class ClusterWorld {
    let simulation: SimulatedWorker
    let workerCluster: WorkerCluster
    let counters: StatsScope
    let endpoints: [StatsScope]

    init(_ answers: [SimulatedServer.Answer], connectionsMax: UInt64? = nil) throws {
        simulation = try SimulatedWorker(seed: 1)
        var made: [Endpoint] = []
        var scopes: [StatsScope] = []
        for (index, answer) in answers.enumerated() {
            let address = NetworkAddress(ipv4Bits: 0x0A00_0001 + UInt32(index), port: 80)
            let server = SimulatedServer()
            server.answer = { _ in answer }
            simulation.network.servers["\(address)"] = server
            let range = try simulation.registry.range(
                for: .init(.endpoint, "\(address)"), count: EndpointStat.cellCount)
            made.append(Endpoint(address: address, name: "\(address)", weight: 1, stats: range))
            scopes.append(simulation.registry.scope(range, worker: 0))
        }
        let (scope, range) = simulation.makeScope(.cluster, "c", cells: ClusterStat.cellCount)
        let cluster = Cluster(
            name: "c", endpoints: made, policy: .roundRobin, connectTimeoutNs: 2 * second,
            connectionsMax: connectionsMax, stats: range)
        workerCluster = WorkerCluster(cluster, registry: simulation.registry, worker: 0, seed: 0)
        counters = scope
        endpoints = scopes
    }
}

private final class Handler: ConnectionHandler {
    var isConnected = false
    var reason: CloseReason?
    var whenClosed: ((CloseReason) -> Void)?

    override func onConnected(_ connection: Connection) { isConnected = true }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        self.reason = reason
        whenClosed?(reason)
    }
}

@Suite("WorkerCluster")
struct WorkerClusterTests {
    @Test func countsConnectionsOfEachEndpoint() throws {
        let world = try ClusterWorld([.accept, .refuse])
        var handlers: [Handler] = []
        for expected in [0, 1] {
            let handler = Handler()
            handler.whenClosed = { world.workerCluster.release(endpoint: expected, $0) }
            handlers.append(handler)
            guard
                case .connecting(_, let endpoint) = world.workerCluster.connect(
                    on: world.simulation.worker, handler: handler, excluding: TriedEndpoints())
            else {
                Issue.record("endpoint \(expected) was not tried")
                continue
            }
            #expect(endpoint == expected)
        }
        #expect(world.endpoints.map { $0.read(EndpointStat.active) } == [1, 1])
        world.simulation.run(forNs: second)
        #expect(handlers[0].isConnected && handlers[1].reason == .connectRefused)
        #expect(world.endpoints.map { $0.read(EndpointStat.active) } == [1, 0])
        #expect(world.endpoints.map { $0.read(EndpointStat.connectFailures) } == [0, 1])
        #expect(world.endpoints.map { $0.read(EndpointStat.opened) } == [1, 1])
        for peer in world.simulation.network.peers { peer.reset() }
        world.simulation.worker.forEachConnection { $0.startReading() }
        world.simulation.run { world.simulation.worker.connectionCount == 0 }
        #expect(world.simulation.problemsAtEnd() == [])
        #expect(world.endpoints.map { $0.read(EndpointStat.active) } == [0, 0])
    }

    @Test func saysWhyItRefuses() throws {
        let world = try ClusterWorld([.accept, .accept], connectionsMax: 1)
        func attempt(_ tried: TriedEndpoints) -> WorkerCluster.Refusal? {
            switch world.workerCluster.connect(on: world.simulation.worker, handler: Handler(), excluding: tried) {
            case .connecting: nil
            case .refused(let refusal): refusal
            }
        }
        var all = TriedEndpoints()
        all.insert(0)
        all.insert(1)
        #expect(attempt(all) == .noEndpoint)
        world.simulation.backend.descriptorsMax = 0
        #expect(attempt(TriedEndpoints()) == .exhausted)
        world.simulation.backend.descriptorsMax = 100
        #expect(attempt(TriedEndpoints()) == nil)
        #expect(attempt(TriedEndpoints()) == .overflow)
        #expect(world.counters.read(ClusterStat.overflowed) == 1)
        #expect(world.counters.read(ConnectionStat.opened) == 1)
    }

    @Test func givesUpAConnectAfterTheClustersTimeout() throws {
        let world = try ClusterWorld([.blackHole])
        let handler = Handler()
        _ = world.workerCluster.connect(on: world.simulation.worker, handler: handler, excluding: TriedEndpoints())
        world.simulation.run(forNs: 2 * second)
        #expect(handler.reason == nil)
        world.simulation.run(forNs: second)
        #expect(handler.reason == .connectTimeout)
        #expect(world.simulation.problemsAtEnd() == [])
    }
}

@Test func everyListedStatusHasItsPlace() {
    #expect(ResponseCode.all.map { ResponseCode.place(of: $0) } == Array(0..<ResponseCode.count))
    #expect(ResponseCode.place(of: 299) == nil)
}
