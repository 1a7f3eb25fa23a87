/// Where a request stands in its trace, as headers carry it from one service to the next.
struct TraceContext: Equatable {
    /// What the caller decided, as far as it says so.
    enum Sampled: UInt8 {
        case undecided, no, yes
        /// Traced, whatever anybody else thinks of it.
        case debug
    }

    /// The id of the trace; the high half is 0 for ids of 64 bits. Never both 0.
    var traceHigh: UInt64
    var traceLow: UInt64
    /// The caller's span, which is the parent of what comes; 0 when there is none.
    var spanID: UInt64
    /// The parent of that; 0 when there is none, or nobody says.
    var parentID: UInt64 = 0
    var sampled = Sampled.undecided

    var isSampled: Bool { sampled == .yes || sampled == .debug }
}
