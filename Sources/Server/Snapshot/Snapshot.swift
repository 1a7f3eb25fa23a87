package import Config
package import Engine
package import Filters
package import Upstream

/// One generation of the configuration, compiled: what workers swap to as a whole. Immutable.
package final class Snapshot: Sendable {
    package let generation: UInt64
    package let configuration: Configuration
    /// The text that it came from, for `GET /config`.
    package let source: String
    /// What the text is called in errors: the path of a file.
    package let file: String
    package let clusters: [String: Cluster]
    /// Of those clusters that speak TLS, by name.
    package let clusterTLS: [String: ClusterTLS]
    package let listeners: [ListenerPlan]
    let tracing: TracingPlan
    /// The paths of its access logs.
    let accessLogs: Set<String>

    init(
        generation: UInt64, configuration: Configuration, source: String, file: String, clusters: [String: Cluster],
        clusterTLS: [String: ClusterTLS], listeners: [ListenerPlan], tracing: TracingPlan,
        accessLogs: Set<String>
    ) {
        self.generation = generation
        self.configuration = configuration
        self.source = source
        self.file = file
        self.clusters = clusters
        self.clusterTLS = clusterTLS
        self.listeners = listeners
        self.tracing = tracing
        self.accessLogs = accessLogs
    }
}

/// A listener, compiled: what workers need to accept for it.
package final class ListenerPlan: Sendable {
    package let configuration: ListenerConfiguration
    package let address: NetworkAddress
    package let isDualStack: Bool
    package let stats: StatsRegistry.Range
    /// One for all connections, or those of `filter_chains`.
    package let chains: [ChainPlan]

    init(
        configuration: ListenerConfiguration, address: NetworkAddress, isDualStack: Bool, stats: StatsRegistry.Range,
        chains: [ChainPlan]
    ) {
        self.configuration = configuration
        self.address = address
        self.isDualStack = isDualStack
        self.stats = stats
        self.chains = chains
    }

    /// Whether connections can end for a reason of TLS.
    var speaksTLS: Bool { chains.contains { $0.tls != nil || $0.configuration.match.looksAtFirstBytes } }

    var proxiesBytes: Bool { chains.contains { if case .tcpProxy = $0.terminal { true } else { false } } }

    /// What its chains with `http:` have.
    var httpPlans: [HTTPServerPlan] {
        chains.compactMap { if case .http(let http) = $0.terminal { http } else { nil } }
    }

    var servesHTTP: Bool { chains.contains { if case .http = $0.terminal { true } else { false } } }

    /// Of accepted connections.
    var keepAlive: TCPKeepAlive? { configuration.tcpKeepAlive.map(TCPKeepAlive.init) }

    /// What its sockets are known by: listeners of two generations with the same key share them. Port 0 is any
    /// port, so there each listener has its own.
    var socketKey: String {
        let address = configuration.address.description
        return configuration.address.port == 0 ? "\(address) \(configuration.name)" : address
    }
}

/// A chain of a listener, compiled.
package final class ChainPlan: Sendable {
    package let configuration: FilterChainConfiguration
    package let filters: [NetworkFilterPlan]
    package let terminal: Terminal
    /// nil for bytes as they come.
    package let tls: ListenerTLS?

    /// What stands at the end of the chain.
    package enum Terminal: Sendable {
        case tcpProxy(TCPProxyPlan)
        case http(HTTPServerPlan)
        /// The last of `filters`.
        case filter
    }

    init(
        configuration: FilterChainConfiguration, filters: [NetworkFilterPlan], terminal: Terminal, tls: ListenerTLS?
    ) {
        self.configuration = configuration
        self.filters = filters
        self.terminal = terminal
        self.tls = tls
    }

    /// What it is called for people: its name, or which connections it is for.
    var title: String { configuration.name ?? configuration.match.description }
}

/// `tcp:` with its clusters looked up.
package struct TCPProxyPlan: Sendable {
    package var clusters: [(cluster: Cluster, weight: UInt32)]
    package var idleTimeoutNs: UInt64
    package var connectAttempts: Int
    package var accessLogs: [AccessLogPlan]
}
