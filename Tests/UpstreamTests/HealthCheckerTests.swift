import Config
import Engine
import Simulation
import Testing

@testable import Upstream

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

/// A checker on a simulated worker, and endpoints that accept or not.
private final class CheckWorld {
    let simulation: SimulatedWorker
    let checker: HealthChecker
    private(set) var servers: [String: SimulatedServer] = [:]
    /// `+ENDPOINT` and `-ENDPOINT`, in order.
    let transitions = Recorder()
    private var clusters: [String: Cluster] = [:]

    final class Recorder: @unchecked Sendable { var list: [String] = [] }

    init(seed: UInt64 = 1) throws {
        let simulation = try SimulatedWorker(seed: seed)
        let (connections, _) = simulation.makeScope(.worker, "health checks", cells: ConnectionStat.cellCount)
        self.simulation = simulation
        let recorder = transitions
        checker = HealthChecker(
            worker: simulation.worker, registry: simulation.registry, connections: connections, seed: seed
        ) { transition in
            switch transition.change {
            case .healthy, .returned: recorder.list.append("+" + transition.endpoint)
            case .unhealthy, .ejected: recorder.list.append("-" + transition.endpoint)
            }
        }
    }

    func server(_ name: String) -> SimulatedServer {
        if let server = servers[name] { return server }
        let server = SimulatedServer()
        servers[name] = server
        simulation.network.servers[name] = server
        return server
    }

    func name(_ index: Int) -> String { "10.0.\(index / 200).\(index % 200 + 1):80" }

    func makeCluster(
        _ endpoints: [Int], name clusterName: String = "c",
        _ change: (inout HealthCheckConfiguration) -> Void = { _ in }
    ) throws -> Cluster {
        var configuration = HealthCheckConfiguration(question: .tcp(TCPHealthCheckConfiguration()))
        configuration.jitter = Percent(partsPerMillion: 0)
        change(&configuration)
        let made = try endpoints.map { index in
            let address = NetworkAddress(
                ipv4Bits: 0x0A00_0001 + UInt32(index / 200) << 8 + UInt32(index % 200), port: 80)
            let range = try simulation.registry.range(
                for: .init(.endpoint, "\(clusterName)/\(index)"), count: EndpointStat.cellCount)
            _ = server(name(index))
            return Endpoint(address: address, name: name(index), weight: 1, stats: range)
        }
        let range = try simulation.registry.range(for: .init(.cluster, clusterName), count: ClusterStat.cellCount)
        let cluster = Cluster(
            name: clusterName, endpoints: made, policy: .roundRobin, connectTimeoutNs: second, connectionsMax: nil,
            healthCheck: HealthCheck(configuration, cluster: clusterName), replacing: clusters[clusterName],
            stats: range)
        clusters[clusterName] = cluster
        return cluster
    }

    func count(_ stat: ClusterStat, _ cluster: Cluster) -> UInt64 {
        simulation.registry.backgroundScope(cluster.stats).read(stat)
    }

    /// What is left over when nothing is checked any more.
    func problemsAtEnd() -> [String] {
        checker.apply([])
        simulation.run(forNs: 3 * second)
        return simulation.problemsAtEnd()
    }
}

@Suite("Health checker")
struct HealthCheckerTests {
    @Test func checksAtOnceAndThenEveryInterval() throws {
        let world = try CheckWorld()
        let cluster = try world.makeCluster([0, 1]) { $0.interval = .seconds(5) }
        world.server(world.name(1)).answer = { _ in .refuse }
        #expect(cluster.health?[0] == .unknown)
        world.checker.apply([cluster])
        world.simulation.run(forNs: 100 * ms)
        #expect(cluster.health?[0] == .healthy && cluster.health?[1] == .failedCheck)
        #expect(world.transitions.list.sorted() == ["+10.0.0.1:80", "-10.0.0.2:80"])
        world.simulation.run(forNs: 4800 * ms)
        #expect(world.server(world.name(0)).connectCount == 1)
        world.simulation.run(forNs: 15 * second)
        #expect(world.server(world.name(0)).connectCount == 4)
        #expect(world.count(.healthChecksPassed, cluster) == 4)
        #expect(world.count(.healthChecksUnconnected, cluster) == 4)
        #expect(world.problemsAtEnd() == [])
    }

    @Test func followsAnEndpointThatGoesDownAndComesBack() throws {
        let world = try CheckWorld()
        let cluster = try world.makeCluster([0]) {
            ($0.interval, $0.unhealthyInterval, $0.healthy, $0.unhealthy) = (.seconds(4), .seconds(1), 2, 3)
        }
        let server = world.server(world.name(0))
        // Two failures, a success, three failures, then well again.
        server.answer = { [1, 2, 4, 5, 6].contains($0) ? .refuse : .accept }
        world.checker.apply([cluster])
        // Checks 0 to 6 are 4 s apart; the endpoint is unhealthy from check 6 on.
        world.simulation.run(forNs: 23_900 * ms)
        #expect(cluster.health?[0] == .healthy)
        world.simulation.run(forNs: 300 * ms)
        #expect(cluster.health?[0] == .failedCheck)
        world.simulation.run(forNs: 1_000 * ms)
        #expect(cluster.health?[0] == .failedCheck)
        world.simulation.run(forNs: 1_000 * ms)
        #expect(cluster.health?[0] == .healthy)
        #expect(world.transitions.list == ["+10.0.0.1:80", "-10.0.0.1:80", "+10.0.0.1:80"])
        #expect(world.count(.becameHealthy, cluster) == 2 && world.count(.becameUnhealthy, cluster) == 1)
        #expect(world.problemsAtEnd() == [])
    }

    @Test func givesUpAfterTheTimeout() throws {
        let world = try CheckWorld()
        let cluster = try world.makeCluster([0, 1]) {
            $0.timeout = .seconds(2)
            $0.question = .tcp(TCPHealthCheckConfiguration(send: Array("ping".utf8), expect: Array("pong".utf8)))
        }
        // One does not take the connection, the other one takes it and says nothing.
        world.server(world.name(0)).answer = { _ in .blackHole }
        world.checker.apply([cluster])
        world.simulation.run(forNs: 1900 * ms)
        #expect(cluster.health?[0] == .unknown && cluster.health?[1] == .unknown)
        world.simulation.run(forNs: 200 * ms)
        #expect(cluster.health?[0] == .failedCheck && cluster.health?[1] == .failedCheck)
        #expect(world.count(.healthChecksTimedOut, cluster) == 2)
        #expect(world.server(world.name(1)).peers.map(\.receivedBytes) == [4])
        #expect(world.problemsAtEnd() == [])
    }

    @Test func spreadsTheFirstChecksOfManyEndpoints() throws {
        let world = try CheckWorld()
        let cluster = try world.makeCluster(Array(0..<400)) { $0.interval = .minutes(1) }
        world.checker.apply([cluster])
        func asked() -> Int { world.servers.values.count { $0.connectCount > 0 } }
        #expect(world.simulation.run { asked() > 0 })
        #expect(asked() <= 128)
        world.simulation.run(forNs: 100 * ms)
        #expect(world.servers.values.allSatisfy { $0.connectCount == 1 })
        #expect((0..<400).allSatisfy { cluster.health?[$0] == .healthy })
        #expect(world.problemsAtEnd() == [])
    }

    @Test func keepsWhatIsKnownWhenTheClusterChanges() throws {
        let world = try CheckWorld()
        let first = try world.makeCluster([0, 1, 2])
        world.server(world.name(1)).answer = { _ in .refuse }
        world.checker.apply([first])
        world.simulation.run(forNs: 100 * ms)
        // Another order, one endpoint less, one more, another interval.
        let second = try world.makeCluster([1, 3, 0]) { $0.interval = .seconds(1) }
        #expect([0, 1, 2].map { second.health?[$0] } == [.failedCheck, .unknown, .healthy])
        world.server(world.name(3)).answer = { _ in .blackHole }
        world.checker.apply([second])
        world.simulation.run(forNs: 200 * ms)
        #expect([0, 1, 2].map { second.health?[$0] } == [.failedCheck, .unknown, .healthy])
        #expect(world.server(world.name(2)).connectCount == 1)
        #expect(world.transitions.list.count == 3)
        #expect(world.problemsAtEnd() == [])
    }

    @Test func publishesWhatHappenedWhileTheNextClusterWasMade() throws {
        let world = try CheckWorld()
        let first = try world.makeCluster([0])
        let second = try world.makeCluster([0]) { $0.timeout = .seconds(3) }
        world.checker.apply([first])
        world.simulation.run(forNs: 100 * ms)
        #expect(second.health?[0] == .unknown)
        world.checker.apply([second])
        #expect(second.health?[0] == .healthy)
        #expect(world.problemsAtEnd() == [])
    }

    @Test func leavesClustersAloneThatDidNotChange() throws {
        let world = try CheckWorld()
        let one = try world.makeCluster([0], name: "one")
        world.checker.apply([one])
        world.simulation.run(forNs: second)
        for index in 1...5 { world.checker.apply([one, try world.makeCluster([index], name: "more\(index)")]) }
        world.simulation.run(forNs: second)
        #expect(world.server(world.name(0)).connectCount == 1)
        #expect(world.server(world.name(5)).connectCount == 1)
        #expect(world.problemsAtEnd() == [])
    }

    @Test func stopsInTheMiddleOfAnything() throws {
        for delay in stride(from: 0, to: 2000, by: 97) as StrideTo<Int> {
            let world = try CheckWorld()
            let cluster = try world.makeCluster([0, 1, 2]) {
                $0.question = .tcp(TCPHealthCheckConfiguration(expect: [1]))
            }
            world.server(world.name(0)).answer = { _ in .blackHole }
            world.server(world.name(1)).connectNs = { _ in 300 * ms }
            world.checker.apply([cluster])
            world.simulation.run(forNs: UInt64(delay) * ms)
            #expect(world.problemsAtEnd() == [])
        }
    }

    @Test func putsOffWhatItHasNoDescriptorFor() throws {
        let world = try CheckWorld()
        let cluster = try world.makeCluster([0]) { $0.interval = .seconds(1) }
        world.simulation.backend.descriptorsMax = 0
        world.checker.apply([cluster])
        world.simulation.run(forNs: 1500 * ms)
        #expect(cluster.health?[0] == .unknown)
        #expect(world.count(.healthChecksSkipped, cluster) == 2)
        world.simulation.backend.descriptorsMax = 100
        world.simulation.run(forNs: second)
        #expect(cluster.health?[0] == .healthy)
        #expect(world.problemsAtEnd() == [])
    }
}
