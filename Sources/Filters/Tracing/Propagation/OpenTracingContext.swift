internal import HTTP

/// What LightStep's and other OpenTracing tracers write: `ot-tracer-traceid` and its kin.
enum OpenTracingContext {
    private static let traceID = HeaderKey(constant: "ot-tracer-traceid")
    private static let spanID = HeaderKey(constant: "ot-tracer-spanid")
    private static let sampled = HeaderKey(constant: "ot-tracer-sampled")

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let id = headers[traceID]?.trimmed.traceID, let span = headers[spanID]?.trimmed.spanID else { return nil }
        var context = TraceContext(traceHigh: id.high, traceLow: id.low, spanID: span)
        if let text = headers[sampled]?.trimmed {
            if text == "1" || text.equalsIgnoringCase("true") { context.sampled = .yes }
            if text == "0" || text.equalsIgnoringCase("false") { context.sampled = .no }
        }
        return context
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(traceID) { $0.append(shortTraceID: context) }
        headers.set(spanID) { $0.append(hex16: context.spanID) }
        headers.set(sampled) { $0.append(context.isSampled ? "true" : "false") }
    }
}
