internal import HTTP

/// Zipkin's https://github.com/openzipkin/b3-propagation: one header, or one for each part. Both are read.
enum B3TraceContext {
    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        if let single = headers.single(.b3) { return extractSingle(single) }
        guard let id = headers.single(.xB3Traceid)?.traceID, let span = headers.single(.xB3Spanid)?.spanID else {
            return nil
        }
        var context = TraceContext(traceHigh: id.high, traceLow: id.low, spanID: span)
        context.parentID = headers.single(.xB3Parentspanid)?.spanID ?? 0
        context.sampled = decisionOfMany(headers)
        return context
    }

    /// What was decided, with or without a trace: it may stand alone
    /// (https://github.com/openzipkin/b3-propagation#sampling-state).
    static func decision(_ headers: borrowing HeaderTable) -> TraceContext.Sampled {
        guard let single = headers.single(.b3) else { return decisionOfMany(headers) }
        if let context = extractSingle(single) { return context.sampled }
        return single.count == 1 ? decision(single[0]) ?? .undecided : .undecided
    }

    private static func decisionOfMany(_ headers: borrowing HeaderTable) -> TraceContext.Sampled {
        if let flags = headers.single(.xB3Flags), flags == "1" { return .debug }
        guard let sampled = headers.single(.xB3Sampled) else { return .undecided }
        // Some tracers write words.
        if sampled == "1" || sampled.equalsIgnoringCase("true") { return .yes }
        if sampled == "0" || sampled.equalsIgnoringCase("false") { return .no }
        return .undecided
    }

    private static func decision(_ letter: UInt8) -> TraceContext.Sampled? {
        switch letter {
        case UInt8(ascii: "1"): .yes
        case UInt8(ascii: "0"): .no
        case UInt8(ascii: "d"): .debug
        default: nil
        }
    }

    /// `TRACE ID-SPAN ID`, perhaps with the decision and the parent's id behind it.
    private static func extractSingle(_ text: ByteSlice) -> TraceContext? {
        guard let dash = text.firstIndex(of: UInt8(ascii: "-")), let id = text[0..<dash].traceID,
            text.count >= dash + 17, let span = text[(dash + 1)..<(dash + 17)].spanID
        else { return nil }
        var context = TraceContext(traceHigh: id.high, traceLow: id.low, spanID: span)
        var rest = text[(dash + 17)..<text.count]
        guard !rest.isEmpty else { return context }
        guard rest.count >= 2, rest[0] == UInt8(ascii: "-"), let sampled = decision(rest[1]) else { return nil }
        context.sampled = sampled
        rest = rest[2..<rest.count]
        guard !rest.isEmpty else { return context }
        guard rest[0] == UInt8(ascii: "-"), let parent = rest[1..<rest.count].spanID else { return nil }
        context.parentID = parent
        return context
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.remove(.b3)
        headers.set(.xB3Traceid) { $0.append(shortTraceID: context) }
        headers.set(.xB3Spanid) { $0.append(hex16: context.spanID) }
        if context.parentID != 0 {
            headers.set(.xB3Parentspanid) { $0.append(hex16: context.parentID) }
        } else {
            headers.remove(.xB3Parentspanid)
        }
        if context.sampled == .debug {
            // Flags say it all: https://github.com/openzipkin/b3-propagation#sampling-state
            headers.set(.xB3Flags, ByteSlice("1"))
            headers.remove(.xB3Sampled)
        } else {
            headers.remove(.xB3Flags)
            headers.set(.xB3Sampled) { $0.append(context.isSampled ? UInt8(ascii: "1") : UInt8(ascii: "0")) }
        }
    }

    static func injectSingle(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(.b3) { writer in
            writer.append(shortTraceID: context)
            writer.append(UInt8(ascii: "-"))
            writer.append(hex16: context.spanID)
            writer.append(context.sampled == .debug ? "-d" : context.isSampled ? "-1" : "-0")
            guard context.parentID != 0 else { return }
            writer.append(UInt8(ascii: "-"))
            writer.append(hex16: context.parentID)
        }
    }
}
