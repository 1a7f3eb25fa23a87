internal import HTTP

/// SHA-1 (FIPS 180-4 §6.1), for password files of `{SHA}` entries: old, and what other proxies read. Nothing else
/// here rests on it.
struct SHA1Digest: Sendable {
    private let words: InlineArray<5, UInt32>

    static let byteCount = 20

    init(of message: ByteSlice) {
        var state: InlineArray<5, UInt32> = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
        // The message, a one bit, zeros, and the length in bits, in blocks of 64 bytes.
        let blocks = (message.count + 9 + 63) / 64
        let bitCount = UInt64(message.count) * 8
        for block in 0..<blocks {
            var schedule = InlineArray<80, UInt32>(repeating: 0)
            for word in 0..<16 {
                var value: UInt32 = 0
                for byte in 0..<4 {
                    let position = block * 64 + word * 4 + byte
                    value = value << 8 | UInt32(Self.padded(message, position, blocks * 64, bitCount))
                }
                schedule[word] = value
            }
            Self.compress(&state, &schedule)
        }
        words = state
    }

    /// Twenty bytes of a digest that was made before; nil when there are more or fewer.
    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        var words = InlineArray<5, UInt32>(repeating: 0)
        for index in 0..<Self.byteCount { words[index / 4] = words[index / 4] << 8 | UInt32(bytes[index]) }
        self.words = words
    }

    /// Takes the same time wherever the two differ.
    func isEqual(to other: SHA1Digest) -> Bool {
        var difference: UInt32 = 0
        for index in 0..<5 { difference |= words[index] ^ other.words[index] }
        return difference == 0
    }

    /// The first eight bytes, to tell contents apart.
    var prefix: UInt64 { UInt64(words[0]) << 32 | UInt64(words[1]) }

    private static func padded(_ message: ByteSlice, _ position: Int, _ total: Int, _ bitCount: UInt64) -> UInt8 {
        if position < message.count { return message[position] }
        if position == message.count { return 0x80 }
        if position < total - 8 { return 0 }
        return UInt8(truncatingIfNeeded: bitCount >> UInt64((total - 1 - position) * 8))
    }

    private static func compress(_ state: inout InlineArray<5, UInt32>, _ schedule: inout InlineArray<80, UInt32>) {
        func rotated(_ value: UInt32, _ count: UInt32) -> UInt32 { value << count | value >> (32 - count) }
        for index in 16..<80 {
            schedule[index] = rotated(
                schedule[index - 3] ^ schedule[index - 8] ^ schedule[index - 14] ^ schedule[index - 16], 1)
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for index in 0..<80 {
            let (mixed, constant): (UInt32, UInt32) =
                switch index {
                case 0..<20: (b & c | ~b & d, 0x5A82_7999)
                case 20..<40: (b ^ c ^ d, 0x6ED9_EBA1)
                case 40..<60: (b & c | b & d | c & d, 0x8F1B_BCDC)
                default: (b ^ c ^ d, 0xCA62_C1D6)
                }
            let next = rotated(a, 5) &+ mixed &+ e &+ constant &+ schedule[index]
            (e, d, c, b, a) = (d, c, rotated(b, 30), a, next)
        }
        state[0] &+= a
        state[1] &+= b
        state[2] &+= c
        state[3] &+= d
        state[4] &+= e
    }
}
