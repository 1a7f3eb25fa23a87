package import Config
package import Engine

/// Whether a connection is one that a chain's `match` is for.
package struct FilterChainMatcher: Sendable {
    /// The condition that does not hold.
    package enum Mismatch: Sendable, Equatable {
        case destinationPort, source, transport, serverName, applicationProtocol
    }

    package enum Verdict: Sendable, Equatable {
        case fits
        /// The rest depends on the client's first bytes.
        case needsFirstBytes
        case not(Mismatch)
    }

    private let match: FilterChainMatch
    private let exactNames: Set<[UInt8]>
    /// With the dot: `.example.com`.
    private let nameSuffixes: [[UInt8]]
    private let applicationProtocols: Set<[UInt8]>

    package init(_ match: FilterChainMatch) {
        self.match = match
        var exactNames: Set<[UInt8]> = []
        var nameSuffixes: [[UInt8]] = []
        for pattern in match.serverNames {
            switch pattern {
            case .any: nameSuffixes.append([])
            case .exact(let name): exactNames.insert(Array(name.utf8))
            case .subdomains(let parent): nameSuffixes.append(Array(".\(parent)".utf8))
            }
        }
        self.exactNames = exactNames
        self.nameSuffixes = nameSuffixes
        applicationProtocols = Set(match.applicationProtocols.map { Array($0.utf8) })
    }

    package var looksAtAddress: Bool { match.destinationPort != nil || !match.sourceRanges.isEmpty }

    /// - Parameters:
    ///   - port: that the client connected to; nil for Unix sockets
    ///   - source: the client's address; nil for Unix sockets
    package func verdict(port: UInt16?, source: IPAddress?, _ firstBytes: FirstBytes) -> Verdict {
        if let wanted = match.destinationPort, wanted != port { return .not(.destinationPort) }
        if !match.sourceRanges.isEmpty {
            guard let source, match.sourceRanges.contains(where: { $0.contains(source) }) else { return .not(.source) }
        }
        guard match.looksAtFirstBytes else { return .fits }
        switch firstBytes {
        case .unknown: return .needsFirstBytes
        case .plain: return match.transport == .rawBuffer ? .fits : .not(.transport)
        case .hello(let hello):
            if match.transport == .rawBuffer { return .not(.transport) }
            if !match.serverNames.isEmpty, !isOurs(hello.serverName) { return .not(.serverName) }
            let fits =
                applicationProtocols.isEmpty
                || hello.applicationProtocols.contains(where: applicationProtocols.contains)
            return fits ? .fits : .not(.applicationProtocol)
        }
    }

    private func isOurs(_ name: [UInt8]) -> Bool {
        if exactNames.contains(name) { return true }
        return nameSuffixes.contains { name.count > $0.count && name.suffix($0.count).elementsEqual($0) }
    }
}

extension ChainSelector {
    /// Chains of a listener with several: a connection gets the first that fits.
    ///
    /// - Parameters:
    ///   - matchers: one for each chain
    ///   - access: who may connect, asked before anything else; nil for everybody
    package convenience init(
        _ chains: [ListenerChain], matchers: [FilterChainMatcher], access: IPAccessFilter.Settings?,
        firstBytesTimeoutNs: UInt64
    ) {
        precondition(chains.count == matchers.count)
        let looksAtAddress = access != nil || matchers.contains(where: \.looksAtAddress)
        self.init(chains, firstBytesTimeoutNs: firstBytesTimeoutNs) { connection, firstBytes in
            var source: IPAddress?
            var port: UInt16?
            if looksAtAddress {
                source = connection.peerAddress?.ipAddress
                port = connection.localAddress.flatMap { $0.isUnix ? nil : $0.port }
            }
            if let access, let source, !access.admits(source) { return .denied }
            for (index, matcher) in matchers.enumerated() {
                switch matcher.verdict(port: port, source: source, firstBytes) {
                case .fits: return .chain(index)
                case .needsFirstBytes: return .needsFirstBytes
                case .not: continue
                }
            }
            return .none
        }
    }
}
