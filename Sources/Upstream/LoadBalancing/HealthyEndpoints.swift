package import Config

/// Balances over the endpoints that are healthy; and over all of them while too few are (panic, as in Envoy), because
/// the few would not survive the load of the many.
///
/// A pick costs one load more than without health checks. When something has changed, the next pick makes a balancer
/// of the same policy over those that are left.
package struct HealthyEndpoints: LoadBalancer {
    private enum Choice { case all, healthy, panic }

    private let policy: LoadBalancingPolicy
    private let weights: [UInt32]
    private let load: any EndpointLoadSource
    private let health: ClusterHealth
    private let panicPartsPerMillion: UInt64
    /// Picks that were made in panic.
    private let onPanic: () -> Void
    private var random: SplitMix64
    private var choice = Choice.all
    private var version: UInt64?
    /// Over all endpoints.
    private var all: any LoadBalancer
    /// Over `healthy`.
    private var some: any LoadBalancer
    /// In ascending order.
    private var healthy: [Int] = []

    package init(
        _ policy: LoadBalancingPolicy, weights: [UInt32], load: any EndpointLoadSource, health: ClusterHealth,
        panicThreshold: Percent, seed: UInt64, onPanic: @escaping () -> Void
    ) {
        precondition(health.count == weights.count, "every endpoint has a weight and a health")
        self.policy = policy
        self.weights = weights
        self.load = load
        self.health = health
        self.onPanic = onPanic
        panicPartsPerMillion = UInt64(panicThreshold.partsPerMillion)
        random = SplitMix64(seed: seed)
        all = makeLoadBalancer(policy, weights: weights, load: load, seed: seed)
        some = makeLoadBalancer(policy, weights: [], load: load, seed: seed)
    }

    package mutating func pick(excluding tried: TriedEndpoints) -> Int? {
        let current = health.version
        if current != version { refresh(current) }
        switch choice {
        case .all: return all.pick(excluding: tried)
        case .healthy: return some.pick(excluding: tried.map(position)).map { healthy[$0] }
        case .panic:
            onPanic()
            return all.pick(excluding: tried)
        }
    }

    private mutating func refresh(_ current: UInt64) {
        version = current
        healthy = weights.indices.filter { health[$0] == .healthy }
        if healthy.count == weights.count {
            choice = .all
        } else if UInt64(healthy.count) * 1_000_000 < panicPartsPerMillion * UInt64(weights.count) {
            choice = .panic
        } else {
            choice = .healthy
            some = makeLoadBalancer(
                policy, weights: healthy.map { weights[$0] }, load: HealthyLoad(all: load, healthy: healthy),
                seed: random.next())
        }
    }

    /// Where an endpoint stands among the healthy ones; nil when it is none.
    private func position(of endpoint: Int) -> Int? {
        var low = 0
        var high = healthy.count
        while low < high {
            let middle = (low + high) / 2
            if healthy[middle] < endpoint { low = middle + 1 } else { high = middle }
        }
        return low < healthy.count && healthy[low] == endpoint ? low : nil
    }
}

private struct HealthyLoad: EndpointLoadSource {
    let all: any EndpointLoadSource
    let healthy: [Int]

    func active(_ endpoint: Int) -> UInt64 { all.active(healthy[endpoint]) }
}
