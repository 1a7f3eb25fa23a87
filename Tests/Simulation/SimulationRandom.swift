/// The one source of chance in a simulation: SplitMix64, so a seed says everything that happens.
package struct SimulationRandom: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// True in `permille` of 1,000 draws.
    package mutating func chance(_ permille: Int) -> Bool {
        permille > 0 && Int(next() % 1000) < permille
    }

    /// A number from `low` to `high`, both included.
    package mutating func number(_ low: Int, _ high: Int) -> Int {
        high <= low ? low : low + Int(next() % UInt64(high - low + 1))
    }

    /// Small numbers often, large ones sometimes: each order of magnitude up to `high` is equally likely.
    package mutating func magnitude(_ high: Int) -> Int {
        guard high > 1 else { return high }
        let bits = Int.bitWidth - high.leadingZeroBitCount
        return min(high, number(1, 1 << number(1, bits)))
    }

    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[number(0, elements.count - 1)]
    }
}
