/// How slowly the body of a request may come.
struct RequestBodyLimit: Sendable {
    /// Nanoseconds that a client may keep us waiting before it has sent anything; 0 for no limit.
    let timeoutNs: UInt64
    /// Bytes that make up for a second of waiting.
    let bytesPerSecond: UInt64

    /// Waiting that `count` bytes make up for. A piece is far below the 2^34 bytes at which this would overflow.
    func ns(for count: Int) -> UInt64 { UInt64(count) &* 1_000_000_000 / bytesPerSecond }
}

/// Measures how long a client keeps us waiting for the body of its request.
///
/// It has `RequestBodyLimit.timeoutNs` to its credit. Waiting uses that up; bytes give it back, at the least rate that
/// is accepted, and never beyond where it began: who sent a lot at first may not dribble for an hour. Only time in which
/// we read counts. While filters or the endpoint keep the body waiting the clock stands still.
struct RequestBodyClock {
    /// Whether this request is measured at all.
    private(set) var isOn = false
    /// What was left when the clock was last looked at.
    private var leftNs: UInt64 = 0
    /// Since when we wait; nil while the clock stands still.
    private var waitingSinceNs: UInt64?

    mutating func start(_ limit: RequestBodyLimit) {
        isOn = true
        leftNs = limit.timeoutNs
    }

    mutating func stop() { self = RequestBodyClock() }

    /// We wait for the client from now on, or do not.
    mutating func setWaiting(_ isWaiting: Bool, nowNs: UInt64) {
        leftNs = leftNs(atNs: nowNs)
        waitingSinceNs = isWaiting ? nowNs : nil
    }

    mutating func received(_ count: Int, _ limit: RequestBodyLimit, nowNs: UInt64) {
        leftNs = min(leftNs(atNs: nowNs) &+ limit.ns(for: count), limit.timeoutNs)
        if waitingSinceNs != nil { waitingSinceNs = nowNs }
    }

    /// How long the client may keep us waiting from now on; 0 when time is over.
    func leftNs(atNs nowNs: UInt64) -> UInt64 {
        guard let waitingSinceNs else { return leftNs }
        let waitedNs = nowNs - waitingSinceNs
        return waitedNs < leftNs ? leftNs - waitedNs : 0
    }
}
