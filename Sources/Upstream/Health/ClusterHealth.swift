internal import Synchronization

/// Why an endpoint is not to be used; empty for a healthy one.
package struct EndpointHealth: OptionSet, Hashable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package static let healthy: EndpointHealth = []
    /// Health checks fail, or have not passed yet.
    package static let failedCheck = EndpointHealth(rawValue: 1)
    /// No health check has come to an end yet. Only together with `failedCheck`.
    package static let pendingCheck = EndpointHealth(rawValue: 2)
    /// Outlier detection has taken it out.
    package static let ejected = EndpointHealth(rawValue: 4)
    /// What health checks have a say in.
    static let checks: EndpointHealth = [.failedCheck, .pendingCheck]

    /// Before the first result: an endpoint is not trusted until it has passed a check, as in Envoy.
    package static let unknown: EndpointHealth = [.failedCheck, .pendingCheck]
}

/// The health of a cluster's endpoints, by their index: written by the thread that checks them, read by all workers.
///
/// A word for each endpoint and one that counts the changes, so that a reader finds out with one load that nothing has
/// changed. Every word has one writer at a time: whoever makes the object until it is handed out, then the thread that
/// checks.
@safe
package final class ClusterHealth: @unchecked Sendable {
    /// Endpoints.
    package let count: Int
    /// The number of changes, then the endpoints.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    package init(_ initial: [EndpointHealth]) {
        count = initial.count
        unsafe words = .allocate(capacity: initial.count + 1)
        unsafe words.initialize(to: Atomic(0))
        for (index, health) in initial.enumerated() {
            unsafe (words + 1 + index).initialize(to: Atomic(health.rawValue))
        }
    }

    deinit {
        unsafe words.deinitialize(count: count + 1)
        unsafe words.deallocate()
    }

    /// Grows with every change. What is read after it is at least as new.
    package var version: UInt64 { unsafe words[0].load(ordering: .acquiring) }

    package subscript(endpoint: Int) -> EndpointHealth {
        precondition(endpoint >= 0 && endpoint < count, "an endpoint of the cluster")
        return EndpointHealth(rawValue: unsafe words[endpoint + 1].load(ordering: .relaxed))
    }

    /// Makes `flags` those of `mask` that are set, and leaves the others. Only on the thread that checks.
    package func set(_ flags: EndpointHealth, among mask: EndpointHealth, of endpoint: Int) {
        let before = self[endpoint]
        let health = before.subtracting(mask).union(flags)
        guard health != before else { return }
        unsafe words[endpoint + 1].store(health.rawValue, ordering: .relaxed)
        let version = unsafe words[0].load(ordering: .relaxed)
        unsafe words[0].store(version &+ 1, ordering: .releasing)
    }
}
