internal import HTTP

/// `traceparent` of https://www.w3.org/TR/trace-context/: `00-TRACE ID-SPAN ID-FLAGS`. `tracestate` passes as it is:
/// this proxy has nothing to add to it.
enum W3CTraceContext {
    private static let byteCount = 55

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let text = headers.single(.traceparent), text.count >= byteCount, isLowerCase(text.prefix(byteCount)),
            text[2] == dash, text[35] == dash, text[52] == dash,
            let version = text[0..<2].hexadecimal, version != 0xFF, let id = text[3..<35].traceID,
            let span = text[36..<52].spanID, let flags = text[53..<55].hexadecimal
        else { return nil }
        // A later version may have more, behind another dash (§3.2.4).
        guard text.count == byteCount || version > 0 && text[byteCount] == dash else { return nil }
        return TraceContext(
            traceHigh: id.high, traceLow: id.low, spanID: span, sampled: flags & 1 == 1 ? .yes : .no)
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(.traceparent, room: byteCount) { writer in
            // Text in numbers, the first letter lowest: "00-".
            writer.append(text: 0x2D_3030, count: 3)
            writer.append(traceID: context)
            writer.append(dash)
            writer.append(hex16: context.spanID)
            // "-01", or "-00".
            writer.append(text: context.isSampled ? 0x31_302D : 0x30_302D, count: 3)
        }
    }

    private static let dash = UInt8(ascii: "-")

    private static func isLowerCase(_ text: ByteSlice) -> Bool {
        for index in 0..<text.count where text[index] &- UInt8(ascii: "A") < 26 { return false }
        return true
    }
}
