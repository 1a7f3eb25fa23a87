internal import Synchronization

/// A rate with a burst, drawn from by all workers.
///
/// The state is one word: when the bucket will be full again, as monotonic time (the generic cell rate algorithm,
/// ITU-T I.371). Workers share it, once per connection or request and only where a limit is configured.
package final class TokenBucket: Sendable {
    private let intervalNs: UInt64
    private let burstNs: UInt64
    private let fullAtNs = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - perSecond: tokens that come back each second, 1 to 1,000,000,000.
    ///   - burst: tokens that a full bucket holds, from 1.
    package init(perSecond: Int, burst: Int) {
        intervalNs = 1_000_000_000 / UInt64(perSecond)
        burstNs = intervalNs * UInt64(burst)
    }

    /// False when the bucket is empty.
    package func take(nowNs: UInt64) -> Bool {
        var current = fullAtNs.load(ordering: .relaxed)
        while true {
            let next = max(current, nowNs) + intervalNs
            guard next <= nowNs + burstNs else { return false }
            let result = fullAtNs.compareExchange(expected: current, desired: next, ordering: .relaxed)
            if result.exchanged { return true }
            current = result.original
        }
    }
}
