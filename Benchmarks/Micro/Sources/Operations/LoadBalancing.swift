internal import Config
internal import Upstream

extension Operation {
    static var loadBalancing: [Operation] {
        [
            Operation("balance-round-robin-10") { pick(.roundRobin, weights: Array(repeating: 1, count: 10)) },
            Operation("balance-weighted-10") { pick(.roundRobin, weights: [5, 1, 1, 2, 3, 1, 1, 1, 4, 1]) },
            Operation("balance-random-1000") { pick(.random, weights: Array(repeating: 1, count: 1000)) },
            Operation("balance-least-request-10") { pick(.leastRequest, weights: Array(repeating: 1, count: 10)) },
            Operation("balance-least-request-1000") { pick(.leastRequest, weights: Array(repeating: 1, count: 1000)) },
        ]
    }

    private struct Load: EndpointLoadSource {
        let active: [UInt64]
        func active(_ endpoint: Int) -> UInt64 { active[endpoint] }
    }

    private static func pick(_ policy: LoadBalancingPolicy, weights: [UInt32]) -> (Int) -> Void {
        let load = Load(active: weights.indices.map { UInt64($0 % 7) })
        return { times in
            var balancer = makeLoadBalancer(policy, weights: weights, load: load, seed: 42)
            let none = TriedEndpoints()
            for _ in 0..<times { keep(balancer.pick(excluding: none) ?? 0) }
        }
    }
}
