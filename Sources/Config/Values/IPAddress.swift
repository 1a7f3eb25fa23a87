/// An IPv4 or IPv6 address as a number, most significant bit first: `10.0.0.1` is `0x0A000001`.
public enum IPAddress: Sendable, Hashable {
    case v4(UInt32)
    case v6(UInt128)

    /// Strict: four decimal octets without leading zeros (RFC 6943 §3.1.1), or the forms of RFC 4291 §2.2.
    /// No zone (`%eth0`), no prefix length, no brackets. nil otherwise.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        if let address = Self.parseV4(bytes[...]) {
            self = .v4(address)
        } else if let address = Self.parseV6(bytes) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    /// An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`, RFC 4291 §2.5.5.2), as a dual-stack socket reports its
    /// peers, as the IPv4 address that it is; every other address as it is.
    public var unmapped: IPAddress {
        guard case .v6(let bits) = self, bits >> 32 == 0xFFFF else { return self }
        return .v4(UInt32(truncatingIfNeeded: bits))
    }

    /// `0.0.0.0` or `::`.
    public var isUnspecified: Bool {
        switch self {
        case .v4(let bits): bits == 0
        case .v6(let bits): bits == 0
        }
    }

    private static func parseV4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        var address: UInt32 = 0
        var octets = 0
        for octet in bytes.split(separator: UInt8(ascii: "."), maxSplits: 4, omittingEmptySubsequences: false) {
            guard (1...3).contains(octet.count), octet.count == 1 || octet.first != UInt8(ascii: "0") else {
                return nil
            }
            var value: UInt32 = 0
            for byte in octet {
                guard let digit = byte.decimalDigit else { return nil }
                value = value * 10 + UInt32(digit)
            }
            guard value <= 255 else { return nil }
            address = address << 8 | value
            octets += 1
        }
        return octets == 4 ? address : nil
    }

    private static func parseV6(_ bytes: [UInt8]) -> UInt128? {
        let colon = UInt8(ascii: ":")
        var groups: [UInt16] = []
        var gapIndex: Int?
        var index = 0
        if bytes.starts(with: [colon, colon]) {
            gapIndex = 0
            index = 2
        }
        while index < bytes.count {
            let groupEnd = bytes[index...].firstIndex(of: colon) ?? bytes.count
            let group = bytes[index..<groupEnd]
            if group.contains(UInt8(ascii: ".")) {
                guard groupEnd == bytes.count, let address = parseV4(group) else { return nil }
                groups.append(UInt16(address >> 16))
                groups.append(UInt16(truncatingIfNeeded: address))
                break
            }
            guard (1...4).contains(group.count), groups.count < 8 else { return nil }
            var value: UInt16 = 0
            for byte in group {
                guard let digit = byte.hexDigit else { return nil }
                value = value << 4 | UInt16(digit)
            }
            groups.append(value)
            index = groupEnd
            guard index < bytes.count else { break }
            index += 1
            guard index < bytes.count else { return nil }
            if bytes[index] == colon {
                guard gapIndex == nil else { return nil }
                gapIndex = groups.count
                index += 1
            }
        }
        if let gapIndex {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gapIndex)
        }
        guard groups.count == 8 else { return nil }
        return groups.reduce(0) { $0 << 16 | UInt128($1) }
    }
}

extension IPAddress: CustomStringConvertible {
    /// IPv6 in the canonical form of RFC 5952 §4.
    public var description: String {
        switch self {
        case .v4(let bits): Self.dotted(bits)
        case .v6(let bits): Self.colons(bits)
        }
    }

    private static func dotted(_ bits: UInt32) -> String {
        "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
    }

    private static func colons(_ bits: UInt128) -> String {
        if bits >> 32 == 0xFFFF { return "::ffff:\(dotted(UInt32(truncatingIfNeeded: bits)))" }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> (112 - 16 * $0)) }
        // The longest run of at least two zeros is left out, the first one of equals (§4.2).
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = end + 1
        }
        let hex = groups.map { String($0, radix: 16) }
        guard !longest.isEmpty else { return hex.joined(separator: ":") }
        return hex[..<longest.lowerBound].joined(separator: ":") + "::"
            + hex[longest.upperBound...].joined(separator: ":")
    }
}
