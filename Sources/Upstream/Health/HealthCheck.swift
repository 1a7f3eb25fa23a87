package import Config
internal import HTTP

/// How the endpoints of a cluster are checked: `health_check` of the configuration, ready to be used.
package struct HealthCheck: Sendable {
    package enum Question: Sendable {
        case http(HTTPHealthCheck)
        case tcp(TCPHealthCheckConfiguration)
        case grpc(GRPCHealthCheck)
    }

    package let question: Question
    package let thresholds: HealthThresholds
    /// Of one check, the connect included.
    package let timeoutNs: UInt64
    private let intervalNs: UInt64
    private let unhealthyIntervalNs: UInt64
    private let noTrafficIntervalNs: UInt64?
    private let jitterPartsPerMillion: UInt64

    /// - Parameter cluster: the host of HTTP checks where the configuration names none
    package init(_ configuration: HealthCheckConfiguration, cluster: String) {
        question =
            switch configuration.question {
            case .http(let http): .http(HTTPHealthCheck(http, cluster: cluster))
            case .tcp(let tcp): .tcp(tcp)
            case .grpc(let grpc): .grpc(GRPCHealthCheck(grpc, cluster: cluster))
            }
        thresholds = HealthThresholds(healthy: configuration.healthy, unhealthy: configuration.unhealthy)
        timeoutNs = configuration.timeout.nanoseconds
        intervalNs = configuration.interval.nanoseconds
        unhealthyIntervalNs = (configuration.unhealthyInterval ?? configuration.interval).nanoseconds
        noTrafficIntervalNs = configuration.noTrafficInterval?.nanoseconds
        jitterPartsPerMillion = UInt64(configuration.jitter.partsPerMillion)
    }

    /// Nanoseconds until the next check of an endpoint, from its interval up to the interval and the whole jitter.
    ///
    /// - Parameters:
    ///   - health: after the check that has ended
    ///   - isUsed: whether the cluster has ever had a connection
    package func delayNs(
        after health: EndpointHealth, isUsed: Bool, using random: inout some RandomNumberGenerator
    ) -> UInt64 {
        var base = health.contains(.failedCheck) ? unhealthyIntervalNs : intervalNs
        if !isUsed, let noTrafficIntervalNs { base = noTrafficIntervalNs }
        // An interval is at most a day: the product stays below 2^64 in parts per million of its microseconds.
        let jitterNs = base / 1000 * jitterPartsPerMillion / 1000
        return base + (jitterNs > 0 ? UInt64.random(in: 0...jitterNs, using: &random) : 0)
    }
}

/// The request of an HTTP health check, written out for HTTP/1.1, and what its answers mean.
package struct HTTPHealthCheck: Sendable {
    package let request: [UInt8]
    package let isHead: Bool
    package let reusesConnection: Bool
    private let configuration: HTTPHealthCheckConfiguration
    private let authority: String
    private let expected: [ClosedRange<Int>]
    private let retriable: [ClosedRange<Int>]

    init(_ configuration: HTTPHealthCheckConfiguration, cluster: String) {
        var head = "\(configuration.method.rawValue) \(configuration.path) HTTP/1.1\r\n"
        head += "Host: \(configuration.host ?? cluster)\r\n"
        let names = configuration.headers.map { $0.name.lowercased() }
        if !names.contains("user-agent") { head += "User-Agent: Ringway/HC\r\n" }
        for header in configuration.headers { head += "\(header.name): \(header.value)\r\n" }
        if !configuration.reusesConnection { head += "Connection: close\r\n" }
        self.configuration = configuration
        authority = configuration.host ?? cluster
        request = Array((head + "\r\n").utf8)
        isHead = configuration.method == .head
        reusesConnection = configuration.reusesConnection
        expected = configuration.expectedStatuses
        retriable = configuration.retriableStatuses
    }

    /// The same request for a version of HTTP with heads of another form.
    func makeHead() -> RequestHead {
        var head = RequestHead(headersMax: 16 + configuration.headers.count)
        ByteSlice.withBytes(of: configuration.method.rawValue) { _ = head.setMethod($0) }
        let parts = configuration.path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        ByteSlice.withBytes(of: String(parts[0])) { _ = head.setPath($0) }
        if parts.count > 1 { ByteSlice.withBytes(of: String(parts[1])) { _ = head.setQuery($0) } }
        ByteSlice.withBytes(of: authority) { _ = head.setAuthority($0) }
        head.addHealthCheckFields(configuration.headers)
        return head
    }

    func result(of status: UInt16) -> HealthCheckResult {
        if expected.contains(where: { $0.contains(Int(status)) }) { return .passed }
        return .failed(.status(status, isRetriable: retriable.contains { $0.contains(Int(status)) }))
    }
}
