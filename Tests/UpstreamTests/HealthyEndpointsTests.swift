import Config
import Testing
import Upstream

private final class Loads: EndpointLoadSource {
    var counts: [UInt64]
    init(_ counts: [UInt64]) { self.counts = counts }
    func active(_ endpoint: Int) -> UInt64 { counts[endpoint] }
}

extension EndpointHealth {
    fileprivate static let all: EndpointHealth = [.failedCheck, .pendingCheck, .ejected]
}

/// A balancer with health that a test sets.
private final class World {
    let health: ClusterHealth
    let loads: Loads
    private(set) var panicPicks = 0
    private var balancer: HealthyEndpoints?

    init(
        _ policy: LoadBalancingPolicy, weights: [UInt32], health: [EndpointHealth]? = nil, panicPercent: UInt32 = 50
    ) {
        self.health = ClusterHealth(health ?? weights.map { _ in .healthy })
        loads = Loads(weights.map { _ in 0 })
        balancer = HealthyEndpoints(
            policy, weights: weights, load: loads, health: self.health,
            panicThreshold: Percent(partsPerMillion: panicPercent * 10_000), seed: 7,
            onPanic: { [unowned self] in panicPicks += 1 })
    }

    func fail(_ endpoints: some Sequence<Int>) {
        for index in endpoints { health.set(.failedCheck, among: .all, of: index) }
    }
    func heal(_ endpoints: some Sequence<Int>) {
        for index in endpoints { health.set(.healthy, among: .all, of: index) }
    }

    func pick(excluding tried: [Int] = []) -> Int? {
        var list = TriedEndpoints()
        for index in tried { list.insert(index) }
        return balancer?.pick(excluding: list)
    }

    func picked(_ count: Int) -> [Int: Int] {
        (0..<count).reduce(into: [:]) { seen, _ in seen[pick() ?? -1, default: 0] += 1 }
    }
}

private let policies: [LoadBalancingPolicy] = [.roundRobin, .random, .leastRequest]

@Suite("Healthy endpoints")
struct HealthyEndpointsTests {
    @Test(arguments: policies) func areTheOnlyOnesThatArePicked(_ policy: LoadBalancingPolicy) {
        let world = World(policy, weights: [1, 1, 1, 1])
        #expect(Set(world.picked(100).keys) == [0, 1, 2, 3])
        world.fail([1])
        #expect(Set(world.picked(100).keys) == [0, 2, 3])
        world.fail([3])
        #expect(Set(world.picked(100).keys) == [0, 2])
        world.heal([1])
        #expect(Set(world.picked(100).keys) == [0, 1, 2])
        #expect(world.panicPicks == 0)
    }

    @Test(arguments: policies) func areFewerThanHalfOnlyInPanic(_ policy: LoadBalancingPolicy) {
        let world = World(policy, weights: [1, 1, 1, 1])
        world.fail([0, 1])
        #expect(Set(world.picked(100).keys) == [2, 3])
        #expect(world.panicPicks == 0)
        world.fail([2])
        #expect(Set(world.picked(100).keys) == [0, 1, 2, 3])
        #expect(world.panicPicks == 100)
        world.heal([2])
        #expect(Set(world.picked(100).keys) == [2, 3])
        #expect(world.panicPicks == 100)
    }

    @Test(arguments: policies) func areAllThereIsWithoutPanic(_ policy: LoadBalancingPolicy) {
        let world = World(policy, weights: [1, 1, 1], panicPercent: 0)
        world.fail([0, 2])
        #expect(Set(world.picked(50).keys) == [1])
        world.fail([1])
        #expect(world.pick() == nil)
        #expect(world.panicPicks == 0)
    }

    @Test(arguments: policies) func areNotThoseThatNobodyHasCheckedYet(_ policy: LoadBalancingPolicy) {
        let some = World(policy, weights: [1, 1, 1], health: [.healthy, .unknown, .healthy])
        #expect(Set(some.picked(50).keys) == [0, 2])
        let none = World(policy, weights: [1, 1], health: [.unknown, .unknown])
        #expect(Set(none.picked(50).keys) == [0, 1])
        #expect(none.panicPicks == 50)
        let strict = World(policy, weights: [1, 1], health: [.unknown, .unknown], panicPercent: 0)
        #expect(strict.pick() == nil)
    }

    @Test(arguments: policies) func areNotPickedAgainWhenTheyWereTried(_ policy: LoadBalancingPolicy) {
        let world = World(policy, weights: [1, 1, 1, 1, 1])
        world.fail([0, 3])
        for _ in 0..<20 {
            #expect(world.pick(excluding: [0, 1, 2]) == 4)
            #expect([1, 4].contains(world.pick(excluding: [2])))
        }
        #expect(world.pick(excluding: [1, 2, 4]) == nil)
    }

    @Test func keepTheirWeights() {
        let world = World(.roundRobin, weights: [5, 1, 3, 1])
        world.fail([0])
        #expect(world.picked(50) == [1: 10, 2: 30, 3: 10])
    }

    @Test func shareTheLoadEvenlyHoweverManyAreMissing() {
        for policy in policies {
            let world = World(policy, weights: Array(repeating: 1, count: 1000), panicPercent: 0)
            world.fail((0..<1000).filter { !$0.isMultiple(of: 100) && $0 != 1 })
            let seen = world.picked(11_000)
            #expect(Set(seen.keys) == Set([1] + stride(from: 0, to: 1000, by: 100)))
            #expect(seen.values.allSatisfy { $0 > 800 && $0 < 1200 }, "\(policy): \(seen)")
        }
    }

    @Test func areJudgedByTheirOwnLoad() {
        let world = World(.leastRequest, weights: [1, 1, 1])
        world.loads.counts = [0, 5, 2]
        world.fail([0])
        #expect(world.picked(20) == [2: 20])
        world.loads.counts[2] = 9
        #expect(world.picked(20) == [1: 20])
    }

    @Test func ofOneHundredPercentAreRequiredWhereTheThresholdSaysSo() {
        let world = World(.roundRobin, weights: [1, 1, 1, 1], panicPercent: 100)
        #expect(world.picked(4) == [0: 1, 1: 1, 2: 1, 3: 1])
        world.fail([0])
        #expect(world.picked(4) == [0: 1, 1: 1, 2: 1, 3: 1])
        #expect(world.panicPicks == 4)
    }
}
