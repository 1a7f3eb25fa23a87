package import Config
internal import Engine

/// Chooses an endpoint for a new connection or request. One per cluster and worker, so it needs no locks.
package protocol LoadBalancer {
    /// An endpoint's index, none of `tried`; nil when none is left.
    mutating func pick(excluding tried: TriedEndpoints) -> Int?
}

package func makeLoadBalancer(
    _ policy: LoadBalancingPolicy, weights: [UInt32], load: any EndpointLoadSource, seed: UInt64
) -> any LoadBalancer {
    switch policy {
    case .roundRobin: RoundRobin(weights: weights, seed: seed)
    case .random: WeightedRandom(weights: weights, seed: seed)
    case .leastRequest: LeastRequest(weights: weights, load: load, seed: seed)
    }
}

/// How busy endpoints are.
package protocol EndpointLoadSource {
    /// Requests in flight, and connections whose bytes are proxied, of an endpoint over all workers.
    func active(_ endpoint: Int) -> UInt64
}

/// Reads the workers' own counts: one writer each, summed by whoever asks.
struct EndpointLoad: EndpointLoadSource {
    private let cells: [[StatsScope]]

    init(endpoints: [Endpoint], registry: StatsRegistry) {
        cells = endpoints.map { registry.scopes($0.stats) }
    }

    func active(_ endpoint: Int) -> UInt64 {
        var sum: UInt64 = 0
        for scope in cells[endpoint] { sum &+= scope.read(EndpointStat.load) }
        return sum
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same sequence for the same seed.
package struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
