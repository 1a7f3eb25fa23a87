internal import HTTP

/// What is known of the trace of one exchange, while it goes on.
struct TraceState {
    /// The tries that are told of; the ones in between are left out when there are more.
    static let triesMax = 16

    /// The place of this proxy's span: `spanID` is its own, `parentID` its caller's.
    var context = TraceContext(traceHigh: 0, traceLow: 0, spanID: 0)
    var reason = TraceReason.notTraced
    /// The decision was made.
    var isDecided = false
    /// Whatever happens, nothing is exported.
    var isLeftOut = false
    /// In the settings of the listener; -1 for a route that has none of its own.
    var route: Int32 = -1
    private(set) var tryCount = 0
    var tries = InlineArray<16, TraceTry>(repeating: TraceTry())
    /// This and the next stay where they are until the next exchange, in the head's bytes or where a tunnel keeps them.
    var decoratedName = ByteSlice.empty
    /// The `sw8` that the request came with.
    var skyWalking = ByteSlice.empty
    /// What the endpoint that answered calls what it did.
    var tryName = TraceName()
    /// The client is told what the route calls it.
    var tellsClient = false

    /// Everything but `tries`, of which `tryCount` says how many mean something.
    mutating func reset() {
        context = TraceContext(traceHigh: 0, traceLow: 0, spanID: 0)
        reason = .notTraced
        isDecided = false
        isLeftOut = false
        route = -1
        tryCount = 0
        decoratedName = .empty
        skyWalking = .empty
        tryName.count = 0
        tellsClient = false
    }

    /// The number of the current try, from 0; -1 without one.
    var currentTry: Int { tryCount - 1 }

    mutating func beginTry(spanID: UInt64, nowNs: UInt64) {
        if tryCount < Self.triesMax { tryCount += 1 }
        tries[tryCount - 1] = TraceTry(spanID: spanID, startedNs: nowNs)
    }

    /// The current try is over. Does nothing when it was before.
    mutating func endTry(endpoint: Int32, nowNs: UInt64, failed: Bool) {
        guard tryCount > 0, tries[tryCount - 1].endedNs == 0 else { return }
        tries[tryCount - 1].endpoint = endpoint
        tries[tryCount - 1].endedNs = nowNs
        if failed { tries[tryCount - 1].failed = true }
    }
}

/// One try of an endpoint.
package struct TraceTry: BitwiseCopyable, Sendable {
    package var spanID: UInt64 = 0
    /// Monotonic nanoseconds while the exchange goes on, then nanoseconds since 1970.
    package var startedNs: UInt64 = 0
    /// 0 while it goes on.
    package var endedNs: UInt64 = 0
    /// Of the cluster's endpoints; -1 for none.
    var endpoint: Int32 = -1
    /// 0 without a response.
    package var status: UInt16 = 0
    /// No response came of it, or not all of it.
    package var failed = false
}

/// A name that outlives the head that it came in; longer ones are cut.
struct TraceName {
    private var bytes = InlineArray<128, UInt8>(repeating: 0)
    fileprivate(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func set(_ name: ByteSlice) {
        count = min(name.count, bytes.count)
        for index in 0..<count { bytes[index] = name[index] }
    }

    func withBytes(_ body: (ByteSlice) -> Void) {
        unsafe ByteSlice.withBytes(of: bytes.span.bytes) { body($0.prefix(count)) }
    }
}
