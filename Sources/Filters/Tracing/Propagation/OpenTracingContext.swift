internal import HTTP

/// What LightStep's and other OpenTracing tracers write: `ot-tracer-traceid` and its kin. Ids have 64 bits there, some
/// tracers leave out zeros in front, and some write 128
/// (https://github.com/open-telemetry/opentelemetry-ruby/tree/main/propagator/ottrace).
enum OpenTracingContext {
    private static let traceID = HeaderKey(constant: "ot-tracer-traceid")
    private static let spanID = HeaderKey(constant: "ot-tracer-spanid")
    private static let sampled = HeaderKey(constant: "ot-tracer-sampled")

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let id = headers[traceID]?.trimmed.shortenedTraceID,
            let span = headers[spanID]?.trimmed.hexadecimal, span != 0
        else { return nil }
        var context = TraceContext(traceHigh: id.high, traceLow: id.low, spanID: span)
        if let text = headers[sampled]?.trimmed {
            if text == "1" || text.equalsIgnoringCase("true") { context.sampled = .yes }
            if text == "0" || text.equalsIgnoringCase("false") { context.sampled = .no }
        }
        return context
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(traceID) { $0.append(hex16: context.traceLow) }
        headers.set(spanID) { $0.append(hex16: context.spanID) }
        headers.set(sampled) { $0.append(context.isSampled ? "true" : "false") }
    }
}

extension ByteSlice {
    /// An id of a trace in 1 to 32 hexadecimal digits that are not all zero.
    fileprivate var shortenedTraceID: (high: UInt64, low: UInt64)? {
        let start = max(count - 16, 0)
        guard count <= 32, let low = self[start..<count].hexadecimal,
            let high = start == 0 ? 0 : self[0..<start].hexadecimal, high | low != 0
        else { return nil }
        return (high, low)
    }
}
