import Config
import Engine
import Simulation
import Testing

@testable import Upstream

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

private func detection(_ change: (inout OutlierDetectionConfiguration) -> Void = { _ in }) -> OutlierDetection {
    var configuration = OutlierDetectionConfiguration()
    change(&configuration)
    return OutlierDetection(configuration)
}

@Suite("Ejection")
struct EjectionTests {
    @Test func lastsLongerEachTime() {
        let settings = detection { ($0.baseEjection, $0.maxEjectionTime) = (.seconds(30), .seconds(100)) }
        var ejection = Ejection()
        var now = 1_000 * second
        for expected in [30, 60, 90, 100, 100] as [UInt64] {
            let durationNs = ejection.eject(settings, nowNs: now)
            #expect(durationNs == expected * second && ejection.untilNs == now + expected * second)
            now += expected * second - 1
            let isEarly = ejection.comesBack(nowNs: now)
            now += 1
            let isBack = ejection.comesBack(nowNs: now)
            #expect(!isEarly && isBack && ejection.untilNs == nil)
            now += second
        }
    }

    @Test func isForgottenInService() {
        let settings = detection()
        var ejection = Ejection()
        var now = 1_000 * second
        func eject() -> UInt64 {
            let duration = ejection.eject(settings, nowNs: now)
            now += duration
            let isBack = ejection.comesBack(nowNs: now)
            #expect(isBack)
            return duration / second
        }
        var durations = [eject(), eject(), eject()]
        now += 20 * second
        durations.append(eject())
        now += 3600 * second
        durations.append(eject())
        #expect(durations == [30, 60, 90, 60, 30])
    }

    @Test func isNeverShorterThanItsBase() {
        let settings = detection { ($0.baseEjection, $0.maxEjectionTime) = (.minutes(10), .minutes(1)) }
        var ejection = Ejection()
        let durationNs = ejection.eject(settings, nowNs: second)
        #expect(durationNs == 600 * second)
    }

    @Test func isBoundedByAShareOfTheEndpointsButOneIsAlwaysAllowed() {
        let tenth = detection()
        #expect(tenth.allowsEjection(beside: 0, of: 1))
        #expect(!tenth.allowsEjection(beside: 1, of: 19))
        #expect(tenth.allowsEjection(beside: 1, of: 20))
        let half = detection { $0.maxEjected = Percent(partsPerMillion: 500_000) }
        #expect(half.allowsEjection(beside: 1, of: 4))
        #expect(!half.allowsEjection(beside: 2, of: 4))
        let none = detection { $0.maxEjected = Percent(partsPerMillion: 0) }
        #expect(none.allowsEjection(beside: 0, of: 4) && !none.allowsEjection(beside: 1, of: 4))
    }
}

/// A cluster with outlier detection, a worker that uses it, and the checker, all on one simulated worker.
private final class OutlierWorld {
    let simulation: SimulatedWorker
    let checker: HealthChecker
    let recorder = Recorder()
    private(set) var cluster: Cluster
    private(set) var user: WorkerCluster

    final class Recorder: @unchecked Sendable { var changes: [HealthChecker.Change] = [] }

    init(endpoints: Int, _ change: (inout OutlierDetectionConfiguration) -> Void = { _ in }) throws {
        let simulation = try SimulatedWorker(seed: 1)
        let (connections, _) = simulation.makeScope(.worker, "health checks", cells: ConnectionStat.cellCount)
        let recorder = recorder
        self.simulation = simulation
        checker = HealthChecker(
            worker: simulation.worker, registry: simulation.registry, connections: connections, seed: 1
        ) { recorder.changes.append($0.change) }
        cluster = try Self.makeCluster(endpoints, simulation, detection(change), replacing: nil)
        user = WorkerCluster(cluster, registry: simulation.registry, worker: 0, seed: 0)
        checker.apply([cluster])
    }

    func replace(endpoints: Int, _ change: (inout OutlierDetectionConfiguration) -> Void) throws {
        cluster = try Self.makeCluster(endpoints, simulation, detection(change), replacing: cluster)
        user = WorkerCluster(cluster, registry: simulation.registry, worker: 0, seed: 0)
        checker.apply([cluster])
    }

    private static func makeCluster(
        _ count: Int, _ simulation: SimulatedWorker, _ detection: OutlierDetection, replacing previous: Cluster?
    ) throws -> Cluster {
        let endpoints = try (0..<count).map { index in
            let address = NetworkAddress(ipv4Bits: 0x0A00_0001 + UInt32(index), port: 80)
            let range = try simulation.registry.range(
                for: .init(.endpoint, "\(index)"), count: EndpointStat.cellCount)
            return Endpoint(address: address, name: "\(address)", weight: 1, stats: range)
        }
        let range = try simulation.registry.range(for: .init(.cluster, "c"), count: ClusterStat.cellCount)
        return Cluster(
            name: "c", endpoints: endpoints, policy: .roundRobin, connectTimeoutNs: second, connectionsMax: nil,
            outlierDetection: detection, replacing: previous, stats: range)
    }

    func fail(_ endpoint: Int, times: Int) { for _ in 0..<times { user.noteFailure(of: endpoint) } }
    func run(ms count: UInt64) { simulation.run(forNs: count * ms) }
    var ejected: [Int] { cluster.endpoints.indices.filter { cluster.health?[$0] == .ejected } }
    func count(_ stat: ClusterStat) -> UInt64 { simulation.registry.backgroundScope(cluster.stats).read(stat) }

    var picked: Set<Int> { Set((0..<20).compactMap { _ in user.pick(excluding: TriedEndpoints()) }) }
}

@Suite("Outlier detection")
struct OutlierDetectionTests {
    @Test func takesOutAnEndpointThatFailsTooOftenInARow() throws {
        let world = try OutlierWorld(endpoints: 3)
        world.fail(1, times: 4)
        world.run(ms: 100)
        #expect(world.ejected == [] && world.picked == [0, 1, 2])
        world.fail(1, times: 1)
        world.run(ms: 100)
        #expect(world.ejected == [1] && world.picked == [0, 2])
        #expect(world.recorder.changes == [.ejected(forNs: 30 * second)])
    }

    @Test func startsToCountAnewAfterASuccess() throws {
        let world = try OutlierWorld(endpoints: 3)
        for _ in 0..<10 {
            world.fail(1, times: 4)
            world.user.noteSuccess(of: 1)
        }
        world.run(ms: 100)
        #expect(world.ejected == [])
    }

    @Test func putsItBackAfterItsTime() throws {
        let world = try OutlierWorld(endpoints: 2) { $0.baseEjection = .seconds(10) }
        world.fail(0, times: 5)
        world.run(ms: 9_900)
        #expect(world.ejected == [0])
        world.run(ms: 300)
        #expect(world.ejected == [] && world.picked == [0, 1])
        #expect(world.recorder.changes == [.ejected(forNs: 10 * second), .returned])
        // At once again: it stays out for longer.
        world.fail(0, times: 5)
        world.run(ms: 19_900)
        #expect(world.ejected == [0])
        world.run(ms: 300)
        #expect(world.ejected == [])
        #expect(world.count(.ejections) == 2)
    }

    @Test func doesNotHoldAgainstItWhatCameInWhileItWasOut() throws {
        let world = try OutlierWorld(endpoints: 2) { $0.baseEjection = .seconds(1) }
        world.fail(0, times: 5)
        world.run(ms: 500)
        world.fail(0, times: 50)
        world.run(ms: 1_000)
        #expect(world.ejected == [])
        #expect(world.count(.ejections) == 1)
    }

    @Test func takesOutNoMoreThanItMay() throws {
        let world = try OutlierWorld(endpoints: 4) { $0.maxEjected = Percent(partsPerMillion: 500_000) }
        for endpoint in 0..<4 { world.fail(endpoint, times: 5) }
        world.run(ms: 100)
        #expect(world.ejected == [0, 1])
        #expect((world.count(.ejections), world.count(.ejectionsOverflowed)) == (2, 2))
    }

    @Test func ejectionsOutliveAChangeOfTheCluster() throws {
        let world = try OutlierWorld(endpoints: 3)
        world.fail(2, times: 5)
        world.run(ms: 100)
        try world.replace(endpoints: 4) { $0.consecutive5xx = 2 }
        #expect(world.ejected == [2] && world.picked == [0, 1, 3])
        world.fail(3, times: 2)
        world.run(ms: 100)
        // A tenth of four is none: the one that is out is all that may be.
        #expect(world.ejected == [2])
        world.run(ms: 30_000)
        #expect(world.ejected == [])
        world.fail(3, times: 2)
        world.run(ms: 100)
        #expect(world.ejected == [3])
    }

    @Test func costsNothingWhereItIsNotAskedFor() throws {
        let world = try OutlierWorld(endpoints: 1)
        let range = try world.simulation.registry.range(for: .init(.cluster, "plain"), count: ClusterStat.cellCount)
        let plain = Cluster(
            name: "plain", endpoints: world.cluster.endpoints, policy: .random, connectTimeoutNs: second,
            connectionsMax: nil, stats: range)
        let user = WorkerCluster(plain, registry: world.simulation.registry, worker: 0, seed: 0)
        #expect(plain.health == nil && !user.detectsOutliers)
        for _ in 0..<10 { user.noteFailure(of: 0) }
        #expect(world.simulation.registry.sum(range, ClusterStat.strikes) == 0)
    }

    @Test func leavesNoTimerBehind() throws {
        let world = try OutlierWorld(endpoints: 2)
        world.fail(0, times: 5)
        world.run(ms: 100)
        world.checker.apply([])
        world.run(ms: 100)
        #expect(world.simulation.problemsAtEnd() == [])
    }
}
