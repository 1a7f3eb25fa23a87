/// Names that must differ from each other, with the place where each was first used.
struct UniqueNames {
    private let kind: String
    private let diagnostics: Diagnostics
    private var firstPositions: [String: ConfigPosition] = [:]
    /// In the order of the file, so that suggestions do not depend on hashing.
    private(set) var inOrder: [String] = []

    init(kind: String, diagnostics: Diagnostics) {
        self.kind = kind
        self.diagnostics = diagnostics
    }

    var isEmpty: Bool { inOrder.isEmpty }

    func contains(_ name: String) -> Bool { firstPositions[name] != nil }

    mutating func insert(_ name: String, at position: ConfigPosition) {
        guard let first = firstPositions[name] else {
            firstPositions[name] = position
            inOrder.append(name)
            return
        }
        diagnostics.report(
            "duplicate \(kind) name \(name.quotedForMessage), first used at \(first.line):\(first.column)",
            expected: "a unique name", at: position)
    }
}

/// Addresses that sockets get bound to, which must not get in each other's way.
///
/// Workers bind with SO_REUSEPORT, so the kernel would accept a second listener at an address without a word and
/// share the connections out between the two. One at all addresses and one at a single address of the same port are
/// fine: the kernel prefers the single one.
struct BoundAddresses {
    private struct Owner {
        let name: String
        let position: ConfigPosition
    }

    private let diagnostics: Diagnostics
    private var owners: [SocketAddress: Owner] = [:]

    init(diagnostics: Diagnostics) {
        self.diagnostics = diagnostics
    }

    /// - Parameter owner: what errors call who binds it: `listener "edge"`
    mutating func insert(_ address: SocketAddress, of owner: String, at position: ConfigPosition) {
        // The kernel finds a free port for each.
        if address.port == 0 { return }
        for rival in Self.rivals(of: address) {
            guard let first = owners[rival] else { continue }
            let place = "\(first.position.line):\(first.position.column)"
            let problem =
                rival == Self.canonical(address)
                ? "\(owner) has the address of \(first.name) at \(place)"
                : "the address of \(owner) includes that of \(first.name) at \(place)"
            diagnostics.report(problem, expected: "an address of its own", at: position)
            return
        }
        owners[Self.canonical(address)] = Owner(name: owner, position: position)
    }

    /// What bind(2) takes for the same address.
    private static func canonical(_ address: SocketAddress) -> SocketAddress {
        guard case .ip(let ip, let port) = address else { return address }
        return .ip(ip.unmapped, port: port)
    }

    /// The addresses that cannot be bound beside this one. `:PORT` is both `0.0.0.0:PORT` and `[::]:PORT`.
    private static func rivals(of address: SocketAddress) -> [SocketAddress] {
        let address = canonical(address)
        switch address {
        case .any(let port): return [address, .ip(.v4(0), port: port), .ip(.v6(0), port: port)]
        case .ip(let ip, let port) where ip.isUnspecified: return [address, .any(port: port)]
        case .ip, .host, .unix: return [address]
        }
    }
}
