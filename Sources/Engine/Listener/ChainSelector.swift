/// What a connection of a listener gets: filters, and TLS in front of them.
package struct ListenerChain {
    package var filters: NetworkFilterChain
    /// nil for bytes as they come.
    package var tls: TLSServerContext?

    package init(filters: NetworkFilterChain, tls: TLSServerContext? = nil) {
        self.filters = filters
        self.tls = tls
    }
}

/// What is known of a client's first bytes.
package enum FirstBytes: Sendable, Equatable {
    /// Nobody has looked.
    case unknown
    /// They are no TLS.
    case plain
    case hello(ClientHello)
}

/// Which chain of a listener a connection gets. On one worker.
package final class ChainSelector {
    package enum Choice {
        /// By its place in `chains`.
        case chain(Int)
        /// That depends on the client's first bytes.
        case needsFirstBytes
        /// No chain is for this connection.
        case none
        case denied
    }

    package let chains: [ListenerChain]
    /// Nanoseconds that the client's first bytes may take.
    let firstBytesTimeoutNs: UInt64
    /// nil where there is nothing to choose.
    private let chooser: ((Connection, FirstBytes) -> Choice)?

    /// One chain for all connections.
    package init(_ chain: ListenerChain) {
        chains = [chain]
        firstBytesTimeoutNs = 0
        chooser = nil
    }

    /// - Parameter chooser: told of each connection when it is accepted, and once more with its first bytes if it
    ///   needs them
    package init(
        _ chains: [ListenerChain], firstBytesTimeoutNs: UInt64,
        chooser: @escaping (Connection, FirstBytes) -> Choice
    ) {
        self.chains = chains
        self.firstBytesTimeoutNs = firstBytesTimeoutNs
        self.chooser = chooser
    }

    private init(_ other: ChainSelector, chains: [ListenerChain]) {
        self.chains = chains
        firstBytesTimeoutNs = other.firstBytesTimeoutNs
        chooser = other.chooser
    }

    func choose(for connection: Connection, _ firstBytes: FirstBytes) -> Choice {
        if let chooser { chooser(connection, firstBytes) } else { .chain(0) }
    }

    /// The same choices with other contexts of TLS, one for each chain.
    package func replacing(tls: [TLSServerContext?]) -> ChainSelector {
        ChainSelector(self, chains: zip(chains, tls).map { ListenerChain(filters: $0.filters, tls: $1) })
    }
}
