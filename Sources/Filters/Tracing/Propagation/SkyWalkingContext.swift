internal import HTTP

/// `sw8` of https://skywalking.apache.org/docs/main/latest/en/api/x-process-propagation-headers-v3/: eight parts with
/// dashes between them, texts in base64: sampled, trace, segment, number of the span in it, service, instance, endpoint,
/// and the address that the request was sent to.
///
/// SkyWalking's ids are texts. One of 32 hexadecimal digits is a trace's id as everybody has them; others are known by
/// a hash here and go on as they are.
enum SkyWalkingContext {
    static let name = HeaderKey(constant: "sw8")
    private static let partCount = 8
    private static let bytesMax = 2048
    private static let idBytesMax = 256

    static func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        guard let text = headers[name]?.trimmed, let parts = parts(of: text), let trace = id(parts[1]),
            let segment = id(parts[2]), let index = parts[3].decimal, index <= Int32.max,
            (4..<partCount).allSatisfy({ Base64.decode(parts[$0]) { _ in } })
        else { return nil }
        let isSampled: Bool
        switch parts[0].first {
        case UInt8(ascii: "1"): isSampled = true
        case UInt8(ascii: "0"): isSampled = false
        default: return nil
        }
        let span = (segment.high ^ segment.low) &+ index &* 0x9E37_79B9_7F4A_7C15
        return TraceContext(
            traceHigh: trace.high, traceLow: trace.low, spanID: max(span, 1), sampled: isSampled ? .yes : .no)
    }

    static func inject(_ context: TraceContext, _ segment: SkyWalkingSegment, into headers: inout HeaderTable) {
        unsafe withUnsafeTemporaryAllocation(byteCount: bytesMax, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: bytesMax)
            write(context, segment, to: &writer)
            guard writer.fits else { return }
            headers.set(name, unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }

    private static func write(_ context: TraceContext, _ segment: SkyWalkingSegment, to writer: inout ByteWriter) {
        writer.append(context.isSampled ? "1-" : "0-")
        if let known = parts(of: segment.caller),
            id(known[1]).map({ $0 == (context.traceHigh, context.traceLow) }) == true
        {
            writer.append(known[1])
        } else {
            writer.append(base64Of: 32) { $0.append(traceID: context) }
        }
        writer.append(UInt8(ascii: "-"))
        writer.append(base64Of: 48) {
            $0.append(traceID: context)
            $0.append(hex16: segment.serverSpanID)
        }
        writer.append(UInt8(ascii: "-"))
        writer.append(decimal: UInt64(segment.spanIndex))
        for text in [segment.service, segment.instance, segment.endpoint, segment.target] {
            writer.append(UInt8(ascii: "-"))
            writer.append(base64: text.prefix(idBytesMax))
        }
    }

    /// nil unless there are as many as there have to be.
    private static func parts(of text: ByteSlice) -> InlineArray<8, ByteSlice>? {
        guard !text.isEmpty, text.count <= bytesMax else { return nil }
        var parts = InlineArray<8, ByteSlice>(repeating: .empty)
        var start = 0
        for index in 0..<partCount {
            let end = text.firstIndex(of: UInt8(ascii: "-"), from: start) ?? text.count
            if index < partCount - 1, end == text.count { return nil }
            parts[index] = text[start..<(index == partCount - 1 ? text.count : end)]
            start = end + 1
        }
        return parts
    }

    /// The number that an id stands for: its own, or a hash (FNV-1a from two starts).
    private static func id(_ text: ByteSlice) -> (high: UInt64, low: UInt64)? {
        guard !text.isEmpty, text.count <= idBytesMax * 2 else { return nil }
        var (high, low): (UInt64, UInt64) = (0, 0)
        var (first, second): (UInt64, UInt64) = (0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4)
        var count = 0
        var isHexadecimal = true
        let isBase64 = Base64.decode(text) { byte in
            first = (first ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
            second = (second ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
            count += 1
            guard let digit = byte.hexadecimalDigit else {
                isHexadecimal = false
                return
            }
            high = high << 4 | low >> 60
            low = low << 4 | UInt64(digit)
        }
        guard isBase64, count > 0 else { return nil }
        return isHexadecimal && count == 32 && high | low != 0 ? (high, low) : (first, second)
    }
}

/// What `sw8` says beyond a context.
struct SkyWalkingSegment {
    /// What names the segment of this exchange, beside its trace.
    var serverSpanID: UInt64 = 0
    /// Of the span in the segment that the next service is called by: 0 for the server span, then the tries.
    var spanIndex = 0
    /// The `sw8` that the request came with; empty without one.
    var caller = ByteSlice.empty
    var service = ByteSlice.empty
    var instance = ByteSlice.empty
    /// What the service was asked for.
    var endpoint = ByteSlice.empty
    /// Where the request goes.
    var target = ByteSlice.empty
}

extension UInt8 {
    fileprivate var hexadecimalDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

extension ByteWriter {
    /// Appends bytes in base64 (RFC 4648 §4).
    fileprivate mutating func append(base64 bytes: ByteSlice) {
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let first = UInt32(bytes[index]) << 16
            let second = left > 1 ? UInt32(bytes[index + 1]) << 8 : 0
            let third = left > 2 ? UInt32(bytes[index + 2]) : 0
            let bits = first | second | third
            append(Self.base64Digit(bits >> 18))
            append(Self.base64Digit(bits >> 12))
            append(left > 1 ? Self.base64Digit(bits >> 6) : UInt8(ascii: "="))
            append(left > 2 ? Self.base64Digit(bits) : UInt8(ascii: "="))
            index += 3
        }
    }

    /// Appends in base64 what `body` writes, `count` bytes.
    fileprivate mutating func append(base64Of count: Int, _ body: (inout ByteWriter) -> Void) {
        unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var text = unsafe ByteWriter(start: start, capacity: count)
            body(&text)
            precondition(text.count == count, "an id has its length")
            append(base64: unsafe ByteSlice(start: start, count: count))  // written just now
        }
    }

    private static func base64Digit(_ bits: UInt32) -> UInt8 {
        let value = UInt8(bits & 63)
        return switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }
}
