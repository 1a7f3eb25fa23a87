/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`; an address alone is the range of itself.
public struct CIDR: Sendable, Hashable {
    /// The first address of the range; never an IPv4 address in IPv6 clothes.
    public let network: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let prefixLength: Int

    /// Host bits must be zero: `10.0.0.1/8` leaves open whether one host or all of them were meant.
    public init(parsing text: String) throws(ConfigProblem) {
        let slash = text.firstIndex(of: "/")
        guard let address = IPAddress(text[..<(slash ?? text.endIndex)]) else {
            throw ConfigProblem(slash == nil ? nil : "which has no valid IP address before the /")
        }
        let prefixLengthMax = Self.bitCount(of: address)
        var prefixLength = prefixLengthMax
        if let slash {
            let digits = text[text.index(after: slash)...]
            guard let length = Self.prefixLength(digits), length <= prefixLengthMax else {
                throw ConfigProblem("which has no prefix length from 0 to \(prefixLengthMax) after the /")
            }
            prefixLength = length
        }
        let masked = Self.masked(address, prefixLength)
        guard masked == address else {
            throw ConfigProblem("which has host bits set", suggestion: "\(masked)/\(prefixLength)")
        }
        if prefixLength >= 96, address.unmapped != address {
            throw ConfigProblem("an IPv4 range written as IPv6", suggestion: "\(address.unmapped)/\(prefixLength - 96)")
        }
        self.network = address
        self.prefixLength = prefixLength
    }

    /// Whether the address lies in the range. IPv4 peers of a dual-stack socket (`::ffff:10.0.0.1`) count as IPv4;
    /// a range of one family never contains an address of the other.
    public func contains(_ address: IPAddress) -> Bool {
        let address = address.unmapped
        switch (network, address) {
        case (.v4, .v4), (.v6, .v6): return Self.masked(address, prefixLength) == network
        case (.v4, .v6), (.v6, .v4): return false
        }
    }

    private static func bitCount(of address: IPAddress) -> Int {
        switch address {
        case .v4: 32
        case .v6: 128
        }
    }

    private static func prefixLength(_ digits: Substring) -> Int? {
        guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ $0.decimalDigit != nil }) else {
            return nil
        }
        guard digits.utf8.count == 1 || digits.utf8.first != UInt8(ascii: "0") else { return nil }
        return Int(digits)
    }

    private static func masked(_ address: IPAddress, _ prefixLength: Int) -> IPAddress {
        // Swift's shifts are total: shifting by the whole width leaves 0.
        switch address {
        case .v4(let bits): .v4(bits & (UInt32.max << (32 - prefixLength)))
        case .v6(let bits): .v6(bits & (UInt128.max << (128 - prefixLength)))
        }
    }
}

extension CIDR: CustomStringConvertible {
    public var description: String { "\(network)/\(prefixLength)" }
}
