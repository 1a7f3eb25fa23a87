extension ConfigurationDecoder {
    /// `filter_chains` of a listener; empty without it. What belongs into the chains must not be beside them.
    func filterChains(_ listener: ConfigObject) -> [FilterChainConfiguration] {
        guard let entry = listener.entry("filter_chains") else {
            if let timeout = listener.entry("client_hello_timeout") {
                diagnostics.report(
                    "\"client_hello_timeout\" without \"filter_chains\"",
                    expected: "several chains, to choose from by what the client says first", at: timeout.keyPosition)
            }
            return []
        }
        for key in ["tls", "network_filters", "tcp", "http"] {
            guard let other = listener.entry(key) else { continue }
            diagnostics.report(
                "both \"filter_chains\" and \(key.quotedForMessage) in listener",
                expected: "\(key.quotedForMessage) in the chains that it is for",
                at: max(entry.keyPosition, other.keyPosition))
        }
        let chains =
            listener.optional(
                "filter_chains", .list(of: .object("filter chain", filterChain), count: ConfigLimits.filterChains))
            ?? []
        reportUnreachable(chains)
        return chains
    }

    private func filterChain(_ object: ConfigObject) -> FilterChainConfiguration? {
        let match = object.value("match", .object("match", filterChainMatch), default: FilterChainMatch())
        let tls = object.optional("tls", .object("tls", listenerTLS))
        if tls != nil, match.transport == .rawBuffer {
            diagnostics.report(
                "`tls` in a chain for clients that speak none",
                expected: "another \"transport_protocol\", or no \"tls\"", at: object.position(of: "tls"))
        }
        return FilterChainConfiguration(
            name: object.optional("name", .name), match: match, tls: tls, networkFilters: networkFilters(object),
            proxy: proxy(object, of: "filter chain"), origin: ConfigOrigin(object.position))
    }

    private func filterChainMatch(_ object: ConfigObject) -> FilterChainMatch? {
        let match = FilterChainMatch(
            serverNames: object.value(
                "server_names", .list(of: .serverNamePattern, count: ConfigLimits.serverNames), default: []),
            applicationProtocols: object.value(
                "application_protocols", .list(of: .applicationProtocol, count: ConfigLimits.applicationProtocols),
                default: []),
            transport: object.optional(
                "transport_protocol", .choice(["tls": FilterChainMatch.Transport.tls, "raw_buffer": .rawBuffer])),
            destinationPort: object.optional("destination_port", .int(in: ConfigLimits.port)).map { UInt16($0) },
            sourceRanges: object.value(
                "source_ranges", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []))
        if match.transport == .rawBuffer, !match.serverNames.isEmpty || !match.applicationProtocols.isEmpty {
            diagnostics.report(
                "names or protocols beside `transport_protocol: raw_buffer`",
                expected: "one of them: only clients that speak TLS say either",
                at: object.position(of: "transport_protocol"))
        }
        return match
    }

    /// The first chain that fits gets a connection, so one that an earlier one covers gets none.
    private func reportUnreachable(_ chains: [FilterChainConfiguration]) {
        var names: [String: ConfigPosition] = [:]
        for (index, chain) in chains.enumerated() {
            let position = chain.origin.position
            if let name = chain.name {
                if let first = names[name] {
                    diagnostics.report(
                        "duplicate filter chain name \(name.quotedForMessage), first used at \(first.line):\(first.column)",
                        expected: "a unique name", at: position)
                }
                names[name] = names[name] ?? position
            }
            guard let earlier = chains[..<index].first(where: { $0.match.covers(chain.match) }) else { continue }
            let place = "\(earlier.origin.position.line):\(earlier.origin.position.column)"
            diagnostics.report(
                earlier.match == chain.match
                    ? "the filter chain has the same match as the one at \(place)"
                    : "no connection reaches the filter chain: the one at \(place) comes first and takes all of its own",
                expected: "the chain with the narrower match first", at: position)
        }
    }
}

extension ConfigFormat where Value == DomainPattern {
    /// What clients name in SNI: a host name, or a wildcard for the names below one.
    static var serverNamePattern: ConfigFormat {
        ConfigFormat("a host name such as api.example.com or *.example.com") { value in
            guard let text = value.text else { return nil }
            do throws(ConfigProblem) {
                let pattern = try DomainPattern(parsing: text)
                if case .any = pattern { throw ConfigProblem("which is every name: leave \"server_names\" out") }
                guard !text.hasPrefix("["), IPAddress(text[...]) == nil else {
                    throw ConfigProblem("an address, which is never sent as a name (RFC 6066 §3)")
                }
                return pattern
            } catch {
                value.refuse(error.detail, suggestion: error.suggestion)
                return nil
            }
        }
    }
}
