import Config
import Testing
import Upstream

/// Loads that a test sets.
private final class Loads: EndpointLoadSource {
    var counts: [UInt64]

    init(_ counts: [UInt64]) { self.counts = counts }

    func active(_ endpoint: Int) -> UInt64 { counts[endpoint] }
}

private func tried(_ indices: [Int]) -> TriedEndpoints {
    var tried = TriedEndpoints()
    for index in indices { tried.insert(index) }
    return tried
}

private func make(_ policy: LoadBalancingPolicy, _ weights: [UInt32], loads: Loads? = nil, seed: UInt64 = 1)
    -> any LoadBalancer
{
    makeLoadBalancer(policy, weights: weights, load: loads ?? Loads(weights.map { _ in 0 }), seed: seed)
}

private func picks(_ count: Int, _ balancer: inout any LoadBalancer) -> [Int] {
    (0..<count).compactMap { _ in balancer.pick(excluding: TriedEndpoints()) }
}

private func counts(_ picks: [Int], of endpoints: Int) -> [Int] {
    picks.reduce(into: Array(repeating: 0, count: endpoints)) { $0[$1] += 1 }
}

private let policies: [LoadBalancingPolicy] = [.roundRobin, .random, .leastRequest]

@Suite("Load balancers")
struct LoadBalancerTests {
    @Test(arguments: policies) func pickNothingFromNothing(_ policy: LoadBalancingPolicy) {
        var balancer = make(policy, [])
        #expect(balancer.pick(excluding: TriedEndpoints()) == nil)
    }

    @Test(arguments: policies) func neverPickWhatWasTried(_ policy: LoadBalancingPolicy) {
        for weights in [[1, 1, 1, 1], [9, 1, 5, 2], Array(repeating: 1, count: 40)] as [[UInt32]] {
            var balancer = make(policy, weights, seed: 3)
            var seen = TriedEndpoints()
            for _ in weights.indices {
                guard let index = balancer.pick(excluding: seen) else {
                    Issue.record("\(policy) gave up early")
                    break
                }
                #expect(!seen.contains(index))
                seen.insert(index)
            }
            #expect(balancer.pick(excluding: seen) == nil)
        }
    }

    @Test(arguments: policies) func repeatThemselvesForASeed(_ policy: LoadBalancingPolicy) {
        var first = make(policy, [3, 1, 2], seed: 9)
        var second = make(policy, [3, 1, 2], seed: 9)
        #expect(picks(100, &first) == picks(100, &second))
    }
}

@Suite("Round robin")
struct RoundRobinTests {
    @Test func takesEqualEndpointsInTurn() {
        var balancer = make(.roundRobin, [1, 1, 1], seed: 1)
        #expect(picks(7, &balancer) == [1, 2, 0, 1, 2, 0, 1])
    }

    @Test func startsAtDifferentPlaces() {
        let starts = Set(
            (0..<16 as Range<UInt64>).map { seed in
                var balancer = make(.roundRobin, [2, 2, 2, 2], seed: seed)
                return picks(1, &balancer)[0]
            })
        #expect(starts.count == 4)
    }

    @Test func followsWeightsExactlyInEveryCycle() {
        for seed in 0..<20 as Range<UInt64> {
            var balancer = make(.roundRobin, [5, 1, 3], seed: seed)
            for _ in 0..<4 { #expect(counts(picks(9, &balancer), of: 3) == [5, 1, 3]) }
        }
    }

    @Test func spreadsAHeavyEndpoint() {
        var balancer = make(.roundRobin, [5, 1, 1], seed: 0)
        let order = picks(70, &balancer)
        // Two before the first other one, two after the last: four where two cycles meet, never five.
        var run = 0
        var longest = 0
        for index in order {
            run = index == 0 ? run + 1 : 0
            longest = max(longest, run)
        }
        #expect(longest <= 4)
    }

    @Test func keepsTheOthersInTurnWhileOneIsExcluded() {
        var balancer = make(.roundRobin, [1, 1, 1], seed: 0)
        let order = (0..<6).compactMap { _ in balancer.pick(excluding: tried([1])) }
        #expect(order == [0, 2, 0, 2, 0, 2])
    }
}

@Suite("Weighted random")
struct WeightedRandomTests {
    @Test func followsWeights() {
        var balancer = make(.random, [1, 3, 6], seed: 11)
        let share = counts(picks(10_000, &balancer), of: 3).map { Double($0) / 10_000 }
        for (actual, expected) in zip(share, [0.1, 0.3, 0.6]) { #expect(abs(actual - expected) < 0.02) }
    }

    @Test func findsTheLastUntriedEndpointHoweverLightItIs() {
        var balancer = make(.random, [1_000_000, 1_000_000, 1], seed: 2)
        for _ in 0..<50 { #expect(balancer.pick(excluding: tried([0, 1])) == 2) }
    }
}

@Suite("Least request")
struct LeastRequestTests {
    @Test func takesTheLeastLoaded() {
        let loads = Loads([3, 1, 2])
        var balancer = make(.leastRequest, [1, 1, 1], loads: loads)
        #expect(Set(picks(20, &balancer)) == [1])
        loads.counts[1] = 9
        #expect(Set(picks(20, &balancer)) == [2])
        #expect(balancer.pick(excluding: tried([2])) == 0)
    }

    @Test func dividesEqualLoadsEvenly() {
        var balancer = make(.leastRequest, [1, 1, 1, 1])
        let shares = counts(picks(8_000, &balancer), of: 4)
        #expect(shares.allSatisfy { $0 > 1_800 && $0 < 2_200 })
    }

    @Test func loadsEndpointsByTheirWeights() {
        let loads = Loads([0, 0, 0])
        var balancer = make(.leastRequest, [1, 2, 5], loads: loads)
        for _ in 0..<800 {
            if let index = balancer.pick(excluding: TriedEndpoints()) { loads.counts[index] += 1 }
        }
        for (load, expected) in zip(loads.counts, [100, 200, 500] as [UInt64]) {
            #expect(load >= expected - 2 && load <= expected + 2)
        }
    }

    @Test func takesTheBetterOfTwoAmongMany() {
        let loads = Loads(Array(repeating: 0, count: 100))
        var balancer = make(.leastRequest, Array(repeating: 1, count: 100), loads: loads)
        for _ in 0..<10_000 {
            if let index = balancer.pick(excluding: TriedEndpoints()) { loads.counts[index] += 1 }
        }
        // Two choices keep the fullest within a few of the mean (100); one choice would not (about 128).
        #expect(loads.counts.reduce(0, +) == 10_000)
        #expect(loads.counts.max().map { $0 <= 106 } == true)
    }

    @Test func takesAnUntriedOneAmongMany() {
        var balancer = make(.leastRequest, Array(repeating: 1, count: 30))
        let all = Array(0..<30)
        #expect(balancer.pick(excluding: tried(all.filter { $0 != 17 })) == 17)
    }
}
