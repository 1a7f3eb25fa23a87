package import HTTP

/// Base64 (RFC 4648 §4), strict: padded, no other bytes, no bits left over.
package enum Base64 {
    /// The bytes that `text` stands for; nil when it is not base64.
    package static func decode(_ text: ByteSlice) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        return decode(text) { bytes.append($0) } ? bytes : nil
    }

    /// Hands on byte by byte. False when `text` is not base64; some may have been handed on then.
    static func decode(_ text: ByteSlice, _ emit: (UInt8) -> Void) -> Bool {
        guard text.count % 4 == 0 else { return false }
        var padding = 0
        if text.count > 0, text[text.count - 1] == UInt8(ascii: "=") {
            padding = text[text.count - 2] == UInt8(ascii: "=") ? 2 : 1
        }
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for index in 0..<(text.count - padding) {
            guard let value = value(of: text[index]) else { return false }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                emit(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        return bits & (1 << bitCount - 1) == 0
    }

    private static func value(of byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
