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
    package let upstreamProtocol: UpstreamProtocol
    package let http2: HTTP2Configuration
    /// nil where the kernel asks nobody.
    package let keepAlive: TCPKeepAlive?
    package let healthCheck: HealthCheck?
    package let outlierDetection: OutlierDetection?
    /// Of `endpoints`; nil when nobody checks them.
    package let health: ClusterHealth?
    /// Where a smaller share of the endpoints is healthy, all of them are used.
    package let panicThreshold: Percent
    package let stats: StatsRegistry.Range
    package let names: ClusterNames

    /// - Parameter previous: the cluster that this one replaces. What is known about the health of endpoints that both
    ///   have stays known.
    package init(
        name: String, endpoints: [Endpoint], policy: LoadBalancingPolicy, connectTimeoutNs: UInt64,
        connectionsMax: UInt64?, pool: PoolConfiguration = PoolConfiguration(),
        upstreamProtocol: UpstreamProtocol = .http1, http2: HTTP2Configuration = HTTP2Configuration(),
        tls: TLSClientContext? = nil, keepAlive: TCPKeepAlive? = nil,
        healthCheck: HealthCheck? = nil, outlierDetection: OutlierDetection? = nil,
        panicThreshold: Percent = ClusterConfiguration.defaultPanicThreshold, replacing previous: Cluster? = nil,
        stats: StatsRegistry.Range
    ) {
        self.name = name
        self.endpoints = endpoints
        self.policy = policy
        self.connectTimeoutNs = connectTimeoutNs
        self.connectionsMax = connectionsMax
        self.pool = pool
        self.tls = tls
        self.upstreamProtocol = upstreamProtocol
        self.http2 = http2
        self.keepAlive = keepAlive
        self.healthCheck = healthCheck
        self.outlierDetection = outlierDetection
        self.panicThreshold = panicThreshold
        self.stats = stats
        names = ClusterNames([name] + endpoints.map(\.name))
        guard healthCheck != nil || outlierDetection != nil else {
            health = nil
            return
        }
        let checks = previous?.knownHealth(\.healthCheck) ?? [:]
        let outliers = previous?.knownHealth(\.outlierDetection) ?? [:]
        health = ClusterHealth(
            endpoints.map { endpoint in
                var health = EndpointHealth.healthy
                if healthCheck != nil {
                    health = (checks[endpoint.name] ?? .unknown).intersection(.checks)
                }
                if outlierDetection != nil {
                    health.formUnion((outliers[endpoint.name] ?? .healthy).intersection(.ejected))
                }
                return health
            })
    }

    deinit { names.deallocate() }

    /// By the name of the endpoint; empty where the cluster does not have what finds it out.
    private func knownHealth<Source>(_ source: KeyPath<Cluster, Source?>) -> [String: EndpointHealth] {
        guard self[keyPath: source] != nil, let health else { return [:] }
        return Dictionary(uniqueKeysWithValues: endpoints.enumerated().map { ($1.name, health[$0]) })
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
    /// Connections of TCP clients refused because the cluster had as many as it may.
    case overflowed = 56
    /// Connects that another endpoint was tried after.
    case retries
    /// Connections that were established.
    case connects
    /// Health checks by what came of them. Counted by the thread that checks.
    case healthChecksPassed, healthChecksAnsweredBadly, healthChecksUnconnected, healthChecksTimedOut
    /// Connections and requests that were balanced over all endpoints because too few were healthy.
    case panicPicks
    /// Time from the start of a connect to its end, for those that came about.
    case connectTime = 64

    /// Times that an endpoint failed too often in a row on a worker, after the connect times.
    case strikes = 176
    /// Endpoints that were taken out, and those that were not because too many were out. Counted by the thread that
    /// checks.
    case ejections, ejectionsOverflowed

    /// Copies of requests for other clusters, by what came of them: answered, or not; given up because the cluster did
    /// not take them fast enough or the original broke off; not begun.
    case mirrorsCompleted = 184
    case mirrorsFailed, mirrorsCutOff, mirrorsRefused
    /// Requests refused because as many waited for a connection, or were in progress, as may.
    case pendingOverflowed, requestsOverflowed
    /// Tries that ran out of the time of one try.
    case triesTimedOut
    /// Requests that were given to a connection, each try by itself.
    case requestsStarted

    // HTTP.
    /// Requests that wait for a connection.
    case pendingRequests = 192
    case requestsActive
    /// One cell a class of status, 1xx to 5xx.
    case responses1xx, responses2xx, responses3xx, responses4xx, responses5xx
    /// Retries that were started, by what came of them.
    case retriesSucceeded, retriesFailed, retriesOverflowed
    case retriesActive
    /// Requests that ran out of their time as a whole.
    case timeouts
    /// Health checks that this process had no descriptor for.
    case healthChecksSkipped
    /// Endpoints that became what they had not been.
    case becameHealthy, becameUnhealthy
    case requestTime = 208
    /// One cell a status of gRPC, 0 to 16.
    case grpcResponses = 320
    /// Requests that the endpoint broke off, and those that this process did.
    case resetsReceived = 337
    case resetsSent
    /// One cell a `ResponseCode`.
    case responseCodes

    package static let grpcStatusCount = 17
    package static let cellCount = responseCodes.rawValue + ResponseCode.count

    /// - Parameter place: in `ResponseCode.all`
    package static func response(at place: Int) -> StatCell { StatCell(rawValue: responseCodes.rawValue + place) }

    package static func grpc(status: Int) -> StatCell {
        StatCell(rawValue: grpcResponses.rawValue + min(status, grpcStatusCount - 1))
    }
}

/// What is counted for each endpoint. The first cells are `ConnectionStat`'s `opened` and `active`.
package enum EndpointStat: Int, Sendable {
    case opened = 0
    case active = 1
    case connectFailures = 2
    /// Requests in flight, and connections whose bytes are proxied: what load balancing looks at.
    case load = 3
    /// Responses of 500 and more and what went for one, without a better one between, on this worker. For outlier
    /// detection.
    case failuresInARow = 4
    /// Times that there were too many of them.
    case strikes = 5

    package static let cellCount = 6
}
