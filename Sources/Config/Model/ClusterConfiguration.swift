/// A named set of endpoints that do the same work.
package struct ClusterConfiguration: Sendable, Equatable {
    /// Unique among clusters.
    package var name: String
    /// At least one; no address twice.
    package var endpoints: [EndpointConfiguration]
    package var loadBalancing: LoadBalancingPolicy
    /// From the first SYN to the established connection.
    package var connectTimeout: TimeSpan
    package var pool: PoolConfiguration
    /// nil for bytes as they come.
    package var tls: ClusterTLSConfiguration?
    /// Of requests; a cluster behind `tcp_proxy` has none.
    package var upstreamProtocol: UpstreamProtocol
    /// Of connections that speak it.
    package var http2: HTTP2Configuration
    /// Of connections to the endpoints; nil for none.
    package var tcpKeepAlive: TCPKeepAliveConfiguration?
    /// nil for none: all endpoints count as healthy.
    package var healthCheck: HealthCheckConfiguration?
    package var outlierDetection: OutlierDetectionConfiguration?
    /// Where a smaller share of the endpoints is healthy, all of them are used; zero never does that.
    package var panicThreshold: Percent
    package var origin: ConfigOrigin

    package static let defaultConnectTimeout = TimeSpan.seconds(5)
    package static let defaultPanicThreshold = Percent(partsPerMillion: 500_000)

    package init(
        name: String,
        endpoints: [EndpointConfiguration],
        loadBalancing: LoadBalancingPolicy = .roundRobin,
        connectTimeout: TimeSpan = ClusterConfiguration.defaultConnectTimeout,
        pool: PoolConfiguration = PoolConfiguration(),
        tls: ClusterTLSConfiguration? = nil,
        upstreamProtocol: UpstreamProtocol = .http1,
        http2: HTTP2Configuration = HTTP2Configuration(),
        tcpKeepAlive: TCPKeepAliveConfiguration? = nil,
        healthCheck: HealthCheckConfiguration? = nil,
        outlierDetection: OutlierDetectionConfiguration? = nil,
        panicThreshold: Percent = ClusterConfiguration.defaultPanicThreshold,
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.name = name
        self.endpoints = endpoints
        self.loadBalancing = loadBalancing
        self.connectTimeout = connectTimeout
        self.pool = pool
        self.tls = tls
        self.upstreamProtocol = upstreamProtocol
        self.http2 = http2
        self.tcpKeepAlive = tcpKeepAlive
        self.healthCheck = healthCheck
        self.outlierDetection = outlierDetection
        self.panicThreshold = panicThreshold
        self.origin = origin
    }
}

package struct EndpointConfiguration: Sendable, Hashable {
    package var address: SocketAddress
    /// Its share is this weight by the sum of all weights in the cluster.
    package var weight: Int
    package var origin: ConfigOrigin

    package static let defaultWeight = 1

    package init(
        address: SocketAddress, weight: Int = EndpointConfiguration.defaultWeight,
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.address = address
        self.weight = weight
        self.origin = origin
    }
}

/// How an endpoint is chosen.
package enum LoadBalancingPolicy: Sendable, Hashable {
    case roundRobin
    /// The less loaded of two taken at random: by requests in flight, or by open connections where bytes are proxied.
    case leastRequest
    case random
}

/// The circuit limits of a cluster, and how long its connections are kept. All numbers are over all endpoints and
/// workers together.
package struct PoolConfiguration: Sendable, Equatable {
    /// Open connections; nil for no limit.
    package var maxConnections: Int?
    /// Requests that wait for a connection.
    package var maxPending: Int
    /// Requests in progress; nil for no limit.
    package var maxRequests: Int?
    /// Retries in progress.
    package var maxRetries: Int
    /// Without a request; nil for no limit.
    package var idleTimeout: TimeSpan?
    /// After which a connection is closed; nil for no limit.
    package var maxRequestsPerConnection: Int?
    /// After which a connection takes no other request; nil for no limit.
    package var maxConnectionDuration: TimeSpan?

    package static let defaultMaxPending = 1024
    package static let defaultMaxRetries = 3
    package static let defaultIdleTimeout: TimeSpan? = .seconds(60)

    package init(
        maxConnections: Int? = nil,
        maxPending: Int = PoolConfiguration.defaultMaxPending,
        maxRequests: Int? = nil,
        maxRetries: Int = PoolConfiguration.defaultMaxRetries,
        idleTimeout: TimeSpan? = PoolConfiguration.defaultIdleTimeout,
        maxRequestsPerConnection: Int? = nil,
        maxConnectionDuration: TimeSpan? = nil
    ) {
        self.maxConnections = maxConnections
        self.maxPending = maxPending
        self.maxRequests = maxRequests
        self.maxRetries = maxRetries
        self.idleTimeout = idleTimeout
        self.maxRequestsPerConnection = maxRequestsPerConnection
        self.maxConnectionDuration = maxConnectionDuration
    }
}
