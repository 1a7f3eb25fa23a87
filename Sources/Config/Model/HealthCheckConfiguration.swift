/// Active health checks of a cluster's endpoints: what is asked, how often, and how many answers decide.
package struct HealthCheckConfiguration: Sendable, Equatable {
    package enum Question: Sendable, Equatable {
        case http(HTTPHealthCheckConfiguration)
        case tcp(TCPHealthCheckConfiguration)
        case grpc(GRPCHealthCheckConfiguration)
    }

    package var question: Question
    /// From the end of a check to the start of the next.
    package var interval: TimeSpan
    /// The same while the endpoint is unhealthy; nil for `interval`.
    package var unhealthyInterval: TimeSpan?
    /// Instead of both as long as the cluster was never used; nil for no difference.
    package var noTrafficInterval: TimeSpan?
    /// Of one check, the connect included.
    package var timeout: TimeSpan
    /// Each wait is longer by a random share of itself, up to this.
    package var jitter: Percent
    /// Checks in a row that an unhealthy endpoint has to pass.
    package var healthy: Int
    /// Checks in a row that a healthy endpoint has to fail.
    package var unhealthy: Int

    package static let defaultInterval = TimeSpan.seconds(5)
    package static let defaultTimeout = TimeSpan.seconds(1)
    package static let defaultJitter = Percent(partsPerMillion: 100_000)
    package static let defaultHealthy = 2
    package static let defaultUnhealthy = 3

    package init(
        question: Question,
        interval: TimeSpan = HealthCheckConfiguration.defaultInterval,
        unhealthyInterval: TimeSpan? = nil,
        noTrafficInterval: TimeSpan? = nil,
        timeout: TimeSpan = HealthCheckConfiguration.defaultTimeout,
        jitter: Percent = HealthCheckConfiguration.defaultJitter,
        healthy: Int = HealthCheckConfiguration.defaultHealthy,
        unhealthy: Int = HealthCheckConfiguration.defaultUnhealthy
    ) {
        self.question = question
        self.interval = interval
        self.unhealthyInterval = unhealthyInterval
        self.noTrafficInterval = noTrafficInterval
        self.timeout = timeout
        self.jitter = jitter
        self.healthy = healthy
        self.unhealthy = unhealthy
    }
}

/// A request and the statuses that answer it well.
package struct HTTPHealthCheckConfiguration: Sendable, Equatable {
    package enum Method: String, Sendable, CaseIterable {
        case get = "GET"
        case head = "HEAD"
        case options = "OPTIONS"
    }

    package var method: Method
    /// A path, and perhaps a query.
    package var path: String
    /// nil for the name of the cluster.
    package var host: String?
    package var headers: [HeaderConfiguration]
    /// Of a healthy endpoint.
    package var expectedStatuses: [ClosedRange<Int>]
    /// Counted like no answer; any other status makes the endpoint unhealthy at once.
    package var retriableStatuses: [ClosedRange<Int>]
    /// Whether a connection serves more than one check.
    package var reusesConnection: Bool

    package static let defaultExpectedStatuses = [200...200]

    package init(
        method: Method = .get,
        path: String,
        host: String? = nil,
        headers: [HeaderConfiguration] = [],
        expectedStatuses: [ClosedRange<Int>] = HTTPHealthCheckConfiguration.defaultExpectedStatuses,
        retriableStatuses: [ClosedRange<Int>] = [],
        reusesConnection: Bool = true
    ) {
        self.method = method
        self.path = path
        self.host = host
        self.headers = headers
        self.expectedStatuses = expectedStatuses
        self.retriableStatuses = retriableStatuses
        self.reusesConnection = reusesConnection
    }
}

/// A call of the gRPC health checking protocol.
package struct GRPCHealthCheckConfiguration: Sendable, Equatable {
    /// Empty for the server as a whole.
    package var service: String
    /// nil for the name of the cluster.
    package var host: String?
    /// Metadata of the call.
    package var headers: [HeaderConfiguration]

    package init(service: String = "", host: String? = nil, headers: [HeaderConfiguration] = []) {
        self.service = service
        self.host = host
        self.headers = headers
    }
}

/// A connection, and perhaps bytes that are sent and bytes that are expected.
package struct TCPHealthCheckConfiguration: Sendable, Equatable {
    /// Empty for nothing.
    package var send: [UInt8]
    /// To be found anywhere in what the endpoint says; empty when being connected is enough.
    package var expect: [UInt8]

    package init(send: [UInt8] = [], expect: [UInt8] = []) {
        self.send = send
        self.expect = expect
    }
}
