/// The endpoint with the fewest active connections or requests, relative to its weight.
///
/// Up to `scanMax` endpoints all are compared; among more the better of two drawn at random is taken
/// (power of two choices), so a pick costs the same in a cluster of thousands.
struct LeastRequest: LoadBalancer {
    static let scanMax = 16

    private let weights: [UInt32]
    private let load: any EndpointLoadSource
    private var random: SplitMix64

    init(weights: [UInt32], load: any EndpointLoadSource, seed: UInt64) {
        self.weights = weights
        self.load = load
        random = SplitMix64(seed: seed)
    }

    mutating func pick(excluding tried: TriedEndpoints) -> Int? {
        guard !weights.isEmpty else { return nil }
        if weights.count > Self.scanMax, tried.isEmpty {
            let first = Int.random(in: 0..<weights.count, using: &random)
            let second = Int.random(in: 0..<weights.count, using: &random)
            return isLess(second, first) ? second : first
        }
        // Start anywhere: among equals the first one met wins.
        let start = Int.random(in: 0..<weights.count, using: &random)
        var best: Int?
        for offset in 0..<weights.count {
            let index = (start + offset) % weights.count
            if tried.contains(index) { continue }
            if best == nil || isLess(index, best!) { best = index }
        }
        return best
    }

    /// Whether one more on `left` would load it less than one more would load `right`.
    private func isLess(_ left: Int, _ right: Int) -> Bool {
        let leftLoad = (load.active(left) + 1).multipliedFullWidth(by: UInt64(weights[right]))
        let rightLoad = (load.active(right) + 1).multipliedFullWidth(by: UInt64(weights[left]))
        return leftLoad < rightLoad
    }
}
