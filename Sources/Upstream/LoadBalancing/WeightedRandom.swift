/// Any endpoint, with a chance in proportion to its weight.
struct WeightedRandom: LoadBalancer {
    /// Sums of the weights up to and including each endpoint.
    private let cumulative: [UInt64]
    private var random: SplitMix64

    init(weights: [UInt32], seed: UInt64) {
        var sum: UInt64 = 0
        cumulative = weights.map { weight in
            sum += UInt64(weight)
            return sum
        }
        random = SplitMix64(seed: seed)
    }

    mutating func pick(excluding tried: TriedEndpoints) -> Int? {
        guard let total = cumulative.last else { return nil }
        // A few draws find an untried endpoint unless most were tried; then take the next that was not.
        var index = 0
        for _ in 0..<4 {
            index = endpoint(at: UInt64.random(in: 0..<total, using: &random))
            if !tried.contains(index) { return index }
        }
        for offset in 1...cumulative.count {
            let next = (index + offset) % cumulative.count
            if !tried.contains(next) { return next }
        }
        return nil
    }

    private func endpoint(at point: UInt64) -> Int {
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > point { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
