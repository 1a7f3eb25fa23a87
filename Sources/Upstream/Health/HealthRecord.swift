/// How a health check ended.
package enum HealthCheckResult: Equatable, Sendable {
    case passed
    case failed(HealthCheckFailure)
}

package enum HealthCheckFailure: Equatable, Sendable {
    /// The endpoint answered with a status that was not expected. It is there and says that it cannot work, so this
    /// decides at once, unless the status is one that `retriable_statuses` lists.
    case status(UInt16, isRetriable: Bool)
    /// The endpoint answered a gRPC check with a status other than OK.
    case grpcStatus(UInt64)
    /// The endpoint says in a gRPC check that it does not serve; its number for how.
    case notServing(UInt64)
    /// Connected, and then neither HTTP nor what was expected came.
    case invalidAnswer
    /// The connection did not come about, or ended without an answer.
    case connection(reason: String)
    case timeout

    /// Whether one such result makes an endpoint unhealthy, whatever the threshold.
    var decidesAtOnce: Bool {
        switch self {
        case .status(_, let isRetriable): !isRetriable
        case .grpcStatus, .notServing: true
        case .invalidAnswer, .connection, .timeout: false
        }
    }

    /// For logs.
    package var text: String {
        switch self {
        case .status(let status, _): "status \(status)"
        case .grpcStatus(let status): "grpc-status \(status)"
        case .notServing(let status): status == 2 ? "NOT_SERVING" : "serving status \(status)"
        case .invalidAnswer: "invalid answer"
        case .connection(let reason): reason
        case .timeout: "timeout"
        }
    }
}

/// How many results in a row change an endpoint's health.
package struct HealthThresholds: Equatable, Sendable {
    /// To become healthy, from 1.
    package var healthy: Int
    /// To become unhealthy, from 1.
    package var unhealthy: Int

    package init(healthy: Int, unhealthy: Int) {
        self.healthy = healthy
        self.unhealthy = unhealthy
    }
}

/// What the checks of one endpoint have come to. As in Envoy the first result decides alone, so that a start does not
/// take as many intervals as the thresholds say.
package struct HealthRecord: Equatable, Sendable {
    package private(set) var health: EndpointHealth
    /// Results in a row that speak against `health`.
    private var streak = 0

    package init(_ health: EndpointHealth = .unknown) { self.health = health }

    /// - Returns: whether `health` is another now
    package mutating func note(_ result: HealthCheckResult, _ thresholds: HealthThresholds) -> Bool {
        let isFirst = health.contains(.pendingCheck)
        switch result {
        case .passed:
            guard !isFirst else { return change(to: .healthy) }
            guard health.contains(.failedCheck) else { return agree() }
            streak += 1
            return streak >= thresholds.healthy ? change(to: .healthy) : false
        case .failed(let failure):
            guard !isFirst else { return change(to: .failedCheck) }
            guard !health.contains(.failedCheck) else { return agree() }
            streak += 1
            return failure.decidesAtOnce || streak >= thresholds.unhealthy ? change(to: .failedCheck) : false
        }
    }

    private mutating func agree() -> Bool {
        streak = 0
        return false
    }

    private mutating func change(to next: EndpointHealth) -> Bool {
        streak = 0
        health = next
        return true
    }
}
