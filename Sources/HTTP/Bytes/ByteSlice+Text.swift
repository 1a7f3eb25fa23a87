/// Comparing and reading bytes as text.
extension ByteSlice: Equatable {
    /// Same bytes, same case.
    public static func == (left: ByteSlice, right: ByteSlice) -> Bool {
        left.count == right.count && left.isSame(as: right)
    }

    public static func == (left: ByteSlice, right: StaticString) -> Bool { left == ByteSlice(right) }

    /// Same bytes, where `A`–`Z` equal `a`–`z`; the comparison of field names, schemes, hosts and tokens.
    public func equalsIgnoringCase(_ other: ByteSlice) -> Bool {
        guard count == other.count else { return false }
        var offset = 0
        while offset < count {
            let (left, right) = (word(at: offset), other.word(at: offset))
            // Bytes may differ in the bit that is the case of a letter, and only where they are letters.
            let difference = left ^ right
            let caseBits: UInt64 = 0x2020_2020_2020_2020
            guard difference & ~caseBits == 0, difference &<< 2 & ~ASCII.letters(left) == 0 else { return false }
            offset &+= 8
        }
        return true
    }

    public func equalsIgnoringCase(_ text: StaticString) -> Bool { equalsIgnoringCase(ByteSlice(text)) }

    /// Whether the first bytes are exactly `prefix`.
    public func hasPrefix(_ prefix: ByteSlice) -> Bool { count >= prefix.count && self[0..<prefix.count] == prefix }

    /// Whether the last bytes are exactly `suffix`.
    public func hasSuffix(_ suffix: ByteSlice) -> Bool {
        count >= suffix.count && self[(count - suffix.count)..<count] == suffix
    }

    /// Index of the first `byte` at or after `start`, or nil.
    @inline(__always)
    public func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        var offset = start
        while offset < count {
            let hits = vector(at: offset).equal(to: byte)
            if hits != 0 {
                // A zero byte looked for may be found in the padding behind the end.
                let index = offset &+ hits.trailingZeroBitCount
                return index < count ? index : nil
            }
            offset &+= 16
        }
        return nil
    }

    /// The slice without spaces and tabs at both ends (OWS, RFC 9110 §5.6.3).
    public var trimmed: ByteSlice {
        var start = 0
        var end = count
        while start < end, ASCII.isBlank(self[start]) { start &+= 1 }
        while end > start, ASCII.isBlank(self[end &- 1]) { end &-= 1 }
        return self[start..<end]
    }

    /// The unsigned decimal number that the whole slice spells, or nil when it spells anything else or is too large.
    public var decimal: UInt64? {
        guard !isEmpty else { return nil }
        var value: UInt64 = 0
        for index in 0..<count {
            let digit = self[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if overflow || carry { return nil }
            value = sum
        }
        return value
    }

    /// The number that the whole slice spells in 1 to 16 hexadecimal digits of either case, nil for anything else.
    public var hexadecimal: UInt64? {
        guard (1...16).contains(count) else { return nil }
        var value: UInt64 = 0
        for index in 0..<count {
            guard let digit = ASCII.hexValue(self[index]) else { return nil }
            value = value &<< 4 | UInt64(digit)
        }
        return value
    }

    /// A copy as text, invalid UTF-8 repaired. Allocates: for logs, admin pages and configuration.
    public var text: String { withSpan { unsafe $0.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) } } }
}
