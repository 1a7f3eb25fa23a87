internal import Config
internal import HTTP

/// Finds the virtual host for the authority of a request: the exact domain, else the wildcard with the longest suffix,
/// else the host for any domain.
struct DomainIndex: Sendable {
    /// A domain of the configuration.
    struct Domain: Sendable {
        /// In lower case. A wildcard is what follows its asterisk, so it starts with a dot, as no host does.
        let key: RouteText
        let host: Int
    }

    private let domains: RouteArray<Domain>
    /// Number of a domain plus one, 0 for none; at most half full, collisions sit in the following slots.
    private let slots: RouteArray<UInt32>
    /// The host for any domain, nil without one.
    private let anyHost: Int?

    /// - Parameter hosts: the domains of each host; no domain twice
    init(_ hosts: [[DomainPattern]], in memory: RouteMemory) {
        var domains: [Domain] = []
        var anyHost: Int?
        for (host, patterns) in hosts.enumerated() {
            for pattern in patterns {
                switch pattern {
                case .any: anyHost = host
                case .exact(let name): domains.append(Domain(key: memory.store(name), host: host))
                case .subdomains(let suffix): domains.append(Domain(key: memory.store(".\(suffix)"), host: host))
                }
            }
        }
        var capacity = 2
        while capacity < domains.count * 2 { capacity *= 2 }
        var slots = [UInt32](repeating: 0, count: domains.isEmpty ? 0 : capacity)
        for (number, domain) in domains.enumerated() {
            var hash = Self.seed
            for index in (0..<domain.key.bytes.count).reversed() { hash = Self.extend(hash, domain.key.bytes[index]) }
            var slot = Self.slot(of: hash, mask: capacity - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
            slots[slot] = UInt32(number + 1)
        }
        self.domains = memory.store(domains)
        self.slots = memory.store(slots)
        self.anyHost = anyHost
    }

    /// Number of the host for an authority, nil when there is none. Ports do not count.
    func host(for authority: ByteSlice) -> Int? {
        guard !slots.isEmpty else { return anyHost }
        let name = authority.withoutPort
        // Longer ones are in no configuration, and this bounds the work below.
        guard name.count <= DomainPattern.bytesMax else { return anyHost }
        var hash = Self.seed
        var wildcardHost: Int?
        var index = name.count
        // From the end, so that the hash of every suffix comes by on the way to that of the whole name.
        while index > 0 {
            index &-= 1
            let byte = Self.lowercase(name[index])
            hash = Self.extend(hash, byte)
            if byte == UInt8(ascii: "."), index > 0, let host = find(name[index..<name.count], hash) {
                wildcardHost = host
            }
        }
        if name.first != UInt8(ascii: "."), let host = find(name, hash) { return host }
        return wildcardHost ?? anyHost
    }

    private func find(_ name: ByteSlice, _ hash: UInt64) -> Int? {
        let mask = slots.count &- 1
        var slot = Self.slot(of: hash, mask: mask)
        while slots[slot] != 0 {
            let number = Int(slots[slot]) &- 1
            if domains[number].key.bytes.equalsIgnoringCase(name) { return domains[number].host }
            slot = (slot &+ 1) & mask
        }
        return nil
    }

    private static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

    /// FNV-1a.
    @inline(__always)
    private static func extend(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
        (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }

    @inline(__always)
    private static func slot(of hash: UInt64, mask: Int) -> Int {
        Int(truncatingIfNeeded: RouteHash.mix(hash)) & mask
    }

    @inline(__always)
    private static func lowercase(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }
}

extension ByteSlice {
    /// The host of an authority that the parser has let through, with the brackets of an IPv6 address.
    var withoutPort: ByteSlice {
        let start = first == UInt8(ascii: "[") ? firstIndex(of: UInt8(ascii: "]")) ?? 0 : 0
        guard let colon = firstIndex(of: UInt8(ascii: ":"), from: start) else { return self }
        return self[0..<colon]
    }
}
