internal import Config
internal import HTTP

/// Reading and writing a trace's place in the headers of a request. Each format has a file of its own.
extension TraceFormat {
    /// nil without one, and for what is not as the format wants it: a request never fails because of its trace.
    func extract(_ headers: borrowing HeaderTable) -> TraceContext? {
        switch self {
        case .w3c: W3CTraceContext.extract(headers)
        case .b3, .b3Single: B3TraceContext.extract(headers)
        case .datadog: DatadogTraceContext.extract(headers)
        case .skyWalking: SkyWalkingContext.extract(headers)
        case .xray: XRayTraceContext.extract(headers)
        case .openTracing: OpenTracingContext.extract(headers)
        }
    }

    /// Replaces what is there. `context.spanID` becomes the parent of what the next service does.
    func inject(
        _ context: TraceContext, _ segment: SkyWalkingSegment = SkyWalkingSegment(), into headers: inout HeaderTable
    ) {
        switch self {
        case .w3c: W3CTraceContext.inject(context, into: &headers)
        case .b3: B3TraceContext.inject(context, into: &headers)
        case .b3Single: B3TraceContext.injectSingle(context, into: &headers)
        case .datadog: DatadogTraceContext.inject(context, into: &headers)
        case .skyWalking: SkyWalkingContext.inject(context, segment, into: &headers)
        case .xray: XRayTraceContext.inject(context, into: &headers)
        case .openTracing: OpenTracingContext.inject(context, into: &headers)
        }
    }
}

extension HeaderTable {
    /// The value of the only field of a name; nil when there are several, which say nothing together.
    func single(_ name: HeaderName) -> ByteSlice? {
        guard let first = firstIndex(of: name), firstIndex(of: name, from: first + 1) == nil else { return nil }
        return field(at: first)?.value.trimmed
    }

    /// Sets a field to what `body` writes, at most 128 bytes.
    mutating func set(_ name: HeaderName, _ body: (inout ByteWriter) -> Void) {
        set(name, room: 128, trusted: body)
    }

    mutating func set(_ key: HeaderKey, _ body: (inout ByteWriter) -> Void) {
        withTraceText(body) { text in set(key, text) }
    }
}

/// Runs `use` on what `body` writes, at most 128 bytes.
private func withTraceText(_ body: (inout ByteWriter) -> Void, _ use: (ByteSlice) -> Void) {
    unsafe withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
        guard let start = buffer.baseAddress else { return }
        var writer = unsafe ByteWriter(start: start, capacity: 128)
        body(&writer)
        precondition(writer.fits, "no format of a trace is longer")
        use(unsafe ByteSlice(start: start, count: writer.count))  // written just now
    }
}

extension HeaderKey {
    /// A name that is in the program.
    init(constant text: String) {
        guard let key = HeaderKey(text) else { preconditionFailure("the program knows how to spell header names") }
        self = key
    }
}

extension ByteWriter {
    /// An id of 128 bits in 32 digits.
    mutating func append(traceID context: TraceContext) {
        append(hex16: context.traceHigh)
        append(hex16: context.traceLow)
    }

    /// In 16 digits where the id has 64 bits only.
    mutating func append(shortTraceID context: TraceContext) {
        if context.traceHigh != 0 { append(hex16: context.traceHigh) }
        append(hex16: context.traceLow)
    }
}

extension ByteSlice {
    /// An id of a trace: 16 or 32 hexadecimal digits that are not all zero.
    var traceID: (high: UInt64, low: UInt64)? {
        switch count {
        case 16:
            guard let low = hexadecimal, low != 0 else { return nil }
            return (0, low)
        case 32:
            guard let high = self[0..<16].hexadecimal, let low = self[16..<32].hexadecimal, high | low != 0 else {
                return nil
            }
            return (high, low)
        default: return nil
        }
    }

    /// An id of a span: 16 hexadecimal digits that are not all zero.
    var spanID: UInt64? {
        guard count == 16, let id = hexadecimal, id != 0 else { return nil }
        return id
    }
}
