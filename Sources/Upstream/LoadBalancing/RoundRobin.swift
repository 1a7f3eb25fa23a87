/// Each endpoint in turn, as often as its weight says, spread evenly (smooth weighted round robin).
///
/// Equal weights take a plain counter. Otherwise every pick raises each endpoint's credit by its weight,
/// takes the highest, and charges it the total: with weights 5, 1, 1 the heavy one does not come five times
/// in a row.
struct RoundRobin: LoadBalancer {
    private let weights: [UInt32]
    private let isUniform: Bool
    private var position: Int
    private var credits: [Int64]

    init(weights: [UInt32], seed: UInt64) {
        self.weights = weights
        isUniform = Set(weights).count <= 1
        position = weights.isEmpty ? 0 : Int(seed % UInt64(weights.count))
        credits = isUniform ? [] : Array(repeating: 0, count: weights.count)
        guard !isUniform else { return }
        // Start somewhere in the cycle, not far: each step looks at all endpoints.
        for _ in 0..<Int(seed % UInt64(min(weights.count * 4, 64))) { _ = pick(excluding: TriedEndpoints()) }
    }

    mutating func pick(excluding tried: TriedEndpoints) -> Int? {
        isUniform ? pickNext(tried) : pickHighest(tried)
    }

    private mutating func pickNext(_ tried: TriedEndpoints) -> Int? {
        for _ in 0..<weights.count {
            let index = position
            position = position + 1 == weights.count ? 0 : position + 1
            if !tried.contains(index) { return index }
        }
        return nil
    }

    private mutating func pickHighest(_ tried: TriedEndpoints) -> Int? {
        var best: Int?
        var total: Int64 = 0
        for index in weights.indices where !tried.contains(index) {
            credits[index] += Int64(weights[index])
            total += Int64(weights[index])
            if best == nil || credits[index] > credits[best!] { best = index }
        }
        if let best { credits[best] -= total }
        return best
    }
}
