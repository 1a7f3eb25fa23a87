package import Config
package import Engine

/// A named set of endpoints and how to reach them: the immutable part that all workers share.
package final class Cluster: Sendable {
    package let name: String
    package let endpoints: [Endpoint]
    package let policy: LoadBalancingPolicy
    /// Nanoseconds.
    package let connectTimeoutNs: UInt64
    /// Bound on open connections to the whole cluster, over all workers; nil for none.
    package let connectionsMax: UInt64?
    package let pool: PoolConfiguration
    /// nil for bytes as they come.
    package let tls: TLSClientContext?
    package let stats: StatsRegistry.Range

    package init(
        name: String, endpoints: [Endpoint], policy: LoadBalancingPolicy, connectTimeoutNs: UInt64,
        connectionsMax: UInt64?, pool: PoolConfiguration = PoolConfiguration(),
        tls: TLSClientContext? = nil, stats: StatsRegistry.Range
    ) {
        self.name = name
        self.endpoints = endpoints
        self.policy = policy
        self.connectTimeoutNs = connectTimeoutNs
        self.connectionsMax = connectionsMax
        self.pool = pool
        self.tls = tls
        self.stats = stats
    }
}

/// One address of a cluster.
package final class Endpoint: Sendable {
    package let address: NetworkAddress
    /// As configured: `IP:PORT` or `unix:PATH`.
    package let name: String
    /// Share of new connections relative to the cluster's other endpoints, from 1.
    package let weight: UInt32
    package let stats: StatsRegistry.Range

    package init(address: NetworkAddress, name: String, weight: UInt32, stats: StatsRegistry.Range) {
        self.address = address
        self.name = name
        self.weight = weight
        self.stats = stats
    }
}

/// What is counted for each cluster, after `ConnectionStat`.
package enum ClusterStat: Int, Sendable {
    /// Connections refused because the cluster was at its limit.
    case overflowed = 44
    /// Connects that another endpoint was tried after.
    case retries
    /// Connections that were established.
    case connects
    /// Time from the start of a connect to its end, for those that came about.
    case connectTime = 48

    // HTTP, after the connect times.
    /// Requests that wait for a connection.
    case pendingRequests = 176
    case requestsActive
    /// One cell a class of status, 1xx to 5xx.
    case responses1xx, responses2xx, responses3xx, responses4xx, responses5xx
    /// Retries that were started, by what came of them.
    case retriesSucceeded, retriesFailed, retriesOverflowed
    case retriesActive
    case timeouts
    case requestTime = 192

    package static let cellCount = requestTime.rawValue + Histogram.cellCount
}

/// What is counted for each endpoint. The first cells are `ConnectionStat`'s `opened` and `active`.
package enum EndpointStat: Int, Sendable {
    case opened = 0
    case active = 1
    case connectFailures = 2
    /// Requests in flight, and connections whose bytes are proxied: what load balancing looks at.
    case load = 3

    package static let cellCount = 4
}
