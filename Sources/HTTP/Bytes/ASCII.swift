/// Classes of single bytes as RFC 9110 and RFC 3986 name them.
enum ASCII {
    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    /// The top bit of each of eight bytes that is a letter of either case.
    @inline(__always)
    static func letters(_ word: UInt64) -> UInt64 {
        let folded = (word | 0x2020_2020_2020_2020) & 0x7F7F_7F7F_7F7F_7F7F
        let fromA = folded &+ 0x1F1F_1F1F_1F1F_1F1F  // reaches 0x80 from `a`, 0x61, on
        let behindZ = folded &+ 0x0505_0505_0505_0505  // reaches 0x80 behind `z`, 0x7A
        return fromA & ~behindZ & ~word & 0x8080_8080_8080_8080
    }

    /// SP or HTAB.
    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    /// `tchar` of RFC 9110 §5.6.2: what methods, field names and list tokens are made of.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool { has(.token, byte) }

    /// What a request target may hold besides `#` (RFC 3986 unreserved, reserved and `%`).
    @inline(__always)
    static func isTarget(_ byte: UInt8) -> Bool { has(.target, byte) }

    /// What browsers leave unencoded in a target although RFC 3986 wants it encoded: `"<>\^`{|}`.
    @inline(__always)
    static func isUnwiseTarget(_ byte: UInt8) -> Bool { has(.unwise, byte) }

    /// What a `reg-name` may hold besides percent escapes (RFC 3986 §3.2.2).
    @inline(__always)
    static func isRegisteredName(_ byte: UInt8) -> Bool { has(.registeredName, byte) }

    /// `unreserved` of RFC 3986 §2.3: the bytes that mean the same whether escaped or not.
    @inline(__always)
    static func isUnreserved(_ byte: UInt8) -> Bool { has(.unreserved, byte) }

    /// A byte that may stand in a field value (RFC 9110 §5.5): visible, SP, HTAB or above 0x7F.
    @inline(__always)
    static func isFieldValue(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }

    /// A control, a quote, a backslash, or no ASCII: what a log line cannot hold as it is.
    @inline(__always)
    static func isLogStop(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte >= 0x7F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    /// 0–15 for a hexadecimal digit of either case, nil for anything else.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        let digit = byte &- UInt8(ascii: "0")
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter &+ 10 : nil
    }

    /// Whether any of eight bytes is below SP or DEL; never misses one, and takes some others for one.
    @inline(__always)
    static func mayHoldControl(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let below = (word &- ones &* 0x20) & ~word
        let flipped = word ^ (ones &* 0x7F)
        let deletes = (flipped &- ones) & ~flipped
        return (below | deletes) & highs != 0
    }

    /// The upper-case hexadecimal digit for 0–15.
    static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "A") &+ (value &- 10)
    }

    private struct Class {
        let bit: UInt8
        static let token = Class(bit: 1)
        static let target = Class(bit: 2)
        static let unwise = Class(bit: 4)
        static let registeredName = Class(bit: 8)
        static let unreserved = Class(bit: 16)
    }

    @inline(__always)
    private static func has(_ kind: Class, _ byte: UInt8) -> Bool { byteClasses[Int(byte)] & kind.bit != 0 }
}

/// Bit 0 `tchar`, bit 1 target byte, bit 2 unwise target byte, bit 3 `reg-name` byte, bit 4 `unreserved`;
/// the tests derive every entry again from the grammars. A literal, because only literals are laid out by the
/// compiler: a computed table would cost a `swift_once` check on every read.
private let byteClasses: InlineArray<256, UInt8> = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0x00
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0x10
    0, 11, 4, 1, 11, 3, 11, 11, 10, 10, 11, 11, 10, 27, 27, 2,  // 0x20
    27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 2, 10, 4, 10, 4, 2,  // 0x30
    2, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27,  // 0x40
    27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 2, 4, 2, 5, 27,  // 0x50
    5, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27,  // 0x60
    27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 4, 5, 4, 27, 0,  // 0x70
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0x80
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0xA0
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0xC0
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // 0xE0
]
