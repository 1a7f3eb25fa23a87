/// SplitMix64: random numbers that are the same in every run.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Changes, takes out, puts in or repeats a few bytes, preferring those that parsers trip over.
func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix) {
    let telling: [UInt8] = Array("\r\n\t\0 :;,=\"#%/?*0aF\u{7F}".utf8) + [0x80, 0xFF]
    func byte() -> UInt8 {
        random.next() % 4 == 0
            ? UInt8(truncatingIfNeeded: random.next()) : telling[Int(random.next() % UInt64(telling.count))]
    }
    guard !bytes.isEmpty else {
        bytes.append(byte())
        return
    }
    let index = Int(random.next() % UInt64(bytes.count))
    switch random.next() % 5 {
    case 0: bytes[index] = byte()
    case 1: bytes.insert(byte(), at: index)
    case 2: bytes.remove(at: index)
    case 3: bytes.insert(contentsOf: bytes[index..<min(index + 12, bytes.count)], at: index)
    default: bytes.removeSubrange(index...)
    }
}
