/// What becomes of some connections of a listener: TLS, filters, and what the bytes are for.
package struct FilterChainConfiguration: Sendable, Equatable {
    /// For people; nil without one. Unique within the listener.
    package var name: String?
    package var match: FilterChainMatch
    /// nil for bytes as they come.
    package var tls: ListenerTLSConfiguration?
    /// In the order of the chain, before `proxy`.
    package var networkFilters: [NetworkFilterConfiguration]
    /// The last of the chain; nil when the last of `networkFilters` takes that part.
    package var proxy: ProxyConfiguration?
    package var origin: ConfigOrigin

    package init(
        name: String? = nil, match: FilterChainMatch = FilterChainMatch(), tls: ListenerTLSConfiguration? = nil,
        networkFilters: [NetworkFilterConfiguration] = [], proxy: ProxyConfiguration? = nil,
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.name = name
        self.match = match
        self.tls = tls
        self.networkFilters = networkFilters
        self.proxy = proxy
        self.origin = origin
    }
}

/// Which connections a chain is for. What is empty or nil holds for all of them.
package struct FilterChainMatch: Sendable, Hashable {
    package enum Transport: String, Sendable, Hashable {
        /// The client's first bytes are a TLS handshake.
        case tls
        /// They are anything else.
        case rawBuffer = "raw_buffer"
    }

    /// Of these the client names one (SNI); never `any`.
    package var serverNames: [DomainPattern]
    /// Of these the client offers one (ALPN).
    package var applicationProtocols: [String]
    package var transport: Transport?
    /// The port that the client connected to.
    package var destinationPort: UInt16?
    /// In one of these is the client's address.
    package var sourceRanges: [CIDR]

    package init(
        serverNames: [DomainPattern] = [], applicationProtocols: [String] = [], transport: Transport? = nil,
        destinationPort: UInt16? = nil, sourceRanges: [CIDR] = []
    ) {
        self.serverNames = serverNames
        self.applicationProtocols = applicationProtocols
        self.transport = transport
        self.destinationPort = destinationPort
        self.sourceRanges = sourceRanges
    }

    package var isAny: Bool { self == FilterChainMatch() }

    /// Whether it is about what the client's first bytes say.
    package var looksAtFirstBytes: Bool {
        !serverNames.isEmpty || !applicationProtocols.isEmpty || transport != nil
    }

    /// Whether every connection that `other` is for is one that this is for, as far as that can be told from each
    /// condition by itself.
    package func covers(_ other: FilterChainMatch) -> Bool {
        Self.covers(serverNames, other.serverNames) { $0.covers($1) }
            && Self.covers(applicationProtocols, other.applicationProtocols, ==)
            && Self.covers(sourceRanges, other.sourceRanges) { $0.contains($1) }
            && (transport == nil || transport == other.impliedTransport)
            && (destinationPort == nil || destinationPort == other.destinationPort)
    }

    /// Names and protocols are said in a TLS handshake only.
    private var impliedTransport: Transport? {
        transport ?? (serverNames.isEmpty && applicationProtocols.isEmpty ? nil : .tls)
    }

    private static func covers<Value>(
        _ own: [Value], _ others: [Value], _ includes: (Value, Value) -> Bool
    ) -> Bool {
        if own.isEmpty { return true }
        return !others.isEmpty && others.allSatisfy { other in own.contains { includes($0, other) } }
    }
}

extension FilterChainMatch: CustomStringConvertible {
    /// For people: `server_names *.example.com, destination_port 443`.
    package var description: String {
        var parts: [String] = []
        if !serverNames.isEmpty {
            parts.append("server_names \(serverNames.map(\.description).joined(separator: " "))")
        }
        if !applicationProtocols.isEmpty {
            parts.append("application_protocols \(applicationProtocols.joined(separator: " "))")
        }
        if let transport { parts.append("transport_protocol \(transport.rawValue)") }
        if let destinationPort { parts.append("destination_port \(destinationPort)") }
        if !sourceRanges.isEmpty {
            parts.append("source_ranges \(sourceRanges.map(\.description).joined(separator: " "))")
        }
        return parts.isEmpty ? "every connection" : parts.joined(separator: ", ")
    }
}

extension DomainPattern {
    /// Whether every host of `other` is one of this one's.
    fileprivate func covers(_ other: DomainPattern) -> Bool {
        switch (self, other) {
        case (.any, _): true
        case (.exact(let own), .exact(let host)): own == host
        case (.subdomains(let own), .exact(let host)): host.hasSuffix(".\(own)")
        case (.subdomains(let own), .subdomains(let host)): host == own || host.hasSuffix(".\(own)")
        case (.exact, _), (.subdomains, .any): false
        }
    }
}

extension CIDR {
    /// Whether all addresses of `other` are in this range.
    fileprivate func contains(_ other: CIDR) -> Bool {
        prefixLength <= other.prefixLength && contains(other.network)
    }
}
