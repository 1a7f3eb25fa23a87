internal import HTTP

/// Datadog's headers: ids in decimal, of 64 bits; the high half of a trace's id of 128 bits is a tag of its own
/// (https://docs.datadoghq.com/tracing/trace_collection/trace_context_propagation/).
enum DatadogTraceContext {
    private static let traceID = HeaderKey(constant: "x-datadog-trace-id")
    private static let parentID = HeaderKey(constant: "x-datadog-parent-id")
    private static let priority = HeaderKey(constant: "x-datadog-sampling-priority")
    private static let tags = HeaderKey(constant: "x-datadog-tags")
    /// What a list of tags may measure; beyond, Datadog's tracers leave it out as well.
    private static let tagsBytesMax = 512

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let low = headers[traceID]?.trimmed.decimal, low != 0 else { return nil }
        let span = headers[parentID]?.trimmed.decimal ?? 0
        var context = TraceContext(traceHigh: 0, traceLow: low, spanID: span)
        if let list = headers[tags], list.count <= tagsBytesMax { context.traceHigh = high(in: list) ?? 0 }
        if let text = headers[priority]?.trimmed, let first = text.first {
            // -1 and 0: not, as a user or the tracer wants it; 1 and 2: yes.
            let isNegative = first == UInt8(ascii: "-")
            guard let number = text[(isNegative ? 1 : 0)..<text.count].decimal else { return context }
            context.sampled = isNegative || number == 0 ? .no : number == 1 ? .yes : .debug
        }
        return context
    }

    /// `_dd.p.tid=` and 16 digits.
    private static func high(in list: ByteSlice) -> UInt64? {
        let name: ByteSlice = ByteSlice("_dd.p.tid=")
        var elements = ListElements(list)
        while let element = elements.next() {
            if element.hasPrefix(name), element.count == name.count + 16 {
                return element[name.count..<element.count].hexadecimal
            }
        }
        return nil
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(traceID) { $0.append(decimal: context.traceLow) }
        headers.set(parentID) { $0.append(decimal: context.spanID) }
        let digit =
            switch context.sampled {
            case .debug: UInt8(ascii: "2")
            case .yes: UInt8(ascii: "1")
            case .no, .undecided: UInt8(ascii: "0")
            }
        headers.set(priority) { $0.append(digit) }
        // Tags that came with the trace stay with it, those of another one do not.
        let told = headers[tags].flatMap { $0.count <= tagsBytesMax ? high(in: $0) : nil }
        guard told ?? 0 != context.traceHigh else { return }
        guard context.traceHigh != 0 else {
            headers.remove(tags)
            return
        }
        headers.set(tags) { writer in
            writer.append("_dd.p.tid=")
            writer.append(hex16: context.traceHigh)
        }
    }
}
