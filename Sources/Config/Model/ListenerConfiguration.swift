/// An address to accept connections at, and what becomes of them.
package struct ListenerConfiguration: Sendable, Equatable {
    /// Unique among listeners.
    package var name: String
    package var address: SocketAddress
    /// Open connections at one time, over all workers; nil for no limit.
    package var maxConnections: Int?
    /// Connections go to the worker that has the least to do; otherwise they stay with the one that accepted them.
    package var balancesConnections: Bool
    /// Of accepted connections; nil for none.
    package var tcpKeepAlive: TCPKeepAliveConfiguration?
    package var access: AccessConfiguration
    /// nil for bytes as they come.
    package var tls: ListenerTLSConfiguration?
    /// In the order of the chain, before `proxy`.
    package var networkFilters: [NetworkFilterConfiguration]
    /// The last of the chain; nil when the last of `networkFilters` takes that part.
    package var proxy: ProxyConfiguration?
    /// Instead of `tls`, `networkFilters` and `proxy`: several chains, of which a connection gets the first that fits.
    package var filterChains: [FilterChainConfiguration]
    /// How long a client may take to say what chains are chosen by.
    package var clientHelloTimeout: TimeSpan
    package var origin: ConfigOrigin

    package static let defaultClientHelloTimeout = TimeSpan.seconds(10)

    package init(
        name: String,
        address: SocketAddress,
        maxConnections: Int? = nil,
        balancesConnections: Bool = true,
        tcpKeepAlive: TCPKeepAliveConfiguration? = nil,
        access: AccessConfiguration = AccessConfiguration(),
        tls: ListenerTLSConfiguration? = nil,
        networkFilters: [NetworkFilterConfiguration] = [],
        proxy: ProxyConfiguration? = nil,
        filterChains: [FilterChainConfiguration] = [],
        clientHelloTimeout: TimeSpan = ListenerConfiguration.defaultClientHelloTimeout,
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.name = name
        self.address = address
        self.maxConnections = maxConnections
        self.balancesConnections = balancesConnections
        self.tcpKeepAlive = tcpKeepAlive
        self.access = access
        self.tls = tls
        self.networkFilters = networkFilters
        self.proxy = proxy
        self.filterChains = filterChains
        self.clientHelloTimeout = clientHelloTimeout
        self.origin = origin
    }
}

extension ListenerConfiguration {
    /// What becomes of its connections: `filterChains`, or one chain for all.
    package var chains: [FilterChainConfiguration] {
        if !filterChains.isEmpty { return filterChains }
        return [FilterChainConfiguration(tls: tls, networkFilters: networkFilters, proxy: proxy, origin: origin)]
    }

    package var accessLogs: [AccessLogConfiguration] {
        chains.flatMap { chain -> [AccessLogConfiguration] in
            switch chain.proxy {
            case .tcp(let tcp): tcp.accessLogs
            case .http(let http): http.accessLogs
            case nil: []
            }
        }
    }
}

/// What a listener does with its connections in the end: `tcp` or `http`.
package enum ProxyConfiguration: Sendable, Equatable {
    case tcp(TCPProxyConfiguration)
    case http(HTTPConfiguration)
}

/// Who may connect, by the peer's address. `deny` wins over `allow`; an empty `allow` is everybody, which a file says
/// by leaving the key out.
package struct AccessConfiguration: Sendable, Equatable {
    package var allow: [CIDR]
    package var deny: [CIDR]

    package init(allow: [CIDR] = [], deny: [CIDR] = []) {
        self.allow = allow
        self.deny = deny
    }
}

/// A filter by name, with a configuration that only the filter itself can read.
package struct NetworkFilterConfiguration: Sendable, Equatable {
    package var name: String
    /// An empty object when the filter was named without a configuration.
    package var config: ConfigNode
    /// Where the name stands.
    package var origin: ConfigOrigin

    package init(name: String, config: ConfigNode = .emptyObject(at: .start), origin: ConfigOrigin = ConfigOrigin()) {
        self.name = name
        self.config = config
        self.origin = origin
    }
}
