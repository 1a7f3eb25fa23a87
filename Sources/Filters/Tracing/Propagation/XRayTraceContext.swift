internal import HTTP

/// `x-amzn-trace-id: Root=1-SECONDS-REST;Parent=SPAN ID;Sampled=1`
/// (https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader).
enum XRayTraceContext {
    private static let name = HeaderKey(constant: "x-amzn-trace-id")
    private static let bytesMax = 512

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let text = headers[name], text.count <= bytesMax else { return nil }
        var context: TraceContext?
        var parent: UInt64 = 0
        var sampled = TraceContext.Sampled.undecided
        var start = 0
        while start < text.count {
            let end = text.firstIndex(of: UInt8(ascii: ";"), from: start) ?? text.count
            let part = text[start..<end].trimmed
            if part.hasPrefix(ByteSlice("Root=")) { context = root(part[5..<part.count]) }
            if part.hasPrefix(ByteSlice("Parent=")) { parent = part[7..<part.count].spanID ?? 0 }
            if part == "Sampled=1" { sampled = .yes }
            if part == "Sampled=0" { sampled = .no }
            start = end + 1
        }
        context?.spanID = parent
        context?.sampled = sampled
        return context
    }

    /// `1-5759e988-bd862e3fe1be46a994272793`
    private static func root(_ text: ByteSlice) -> TraceContext? {
        guard text.count == 35, text[0] == UInt8(ascii: "1"), text[1] == dash, text[10] == dash,
            let seconds = text[2..<10].hexadecimal, let middle = text[11..<19].hexadecimal,
            let low = text[19..<35].hexadecimal, seconds | middle | low != 0
        else { return nil }
        return TraceContext(traceHigh: seconds << 32 | middle, traceLow: low, spanID: 0)
    }

    static func inject(_ context: TraceContext, into headers: inout HeaderTable) {
        headers.set(name) { writer in
            writer.append("Root=")
            writer.append(xrayID: context.traceHigh, context.traceLow)
            writer.append(";Parent=")
            writer.append(hex16: context.spanID)
            writer.append(context.isSampled ? ";Sampled=1" : ";Sampled=0")
        }
    }

    private static let dash = UInt8(ascii: "-")
}

extension ByteWriter {
    mutating func append(xrayID high: UInt64, _ low: UInt64) {
        append("1-")
        append(text: Self.hex8(UInt32(truncatingIfNeeded: high >> 32)), count: 8)
        append(UInt8(ascii: "-"))
        append(text: Self.hex8(UInt32(truncatingIfNeeded: high)), count: 8)
        append(hex16: low)
    }
}
