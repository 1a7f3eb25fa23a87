internal import Filters

/// What a Datadog agent takes at `/v0.4/traces`: an array of traces, each an array of the spans that this proxy has of
/// it, in MessagePack (https://docs.datadoghq.com/tracing/guide/send_traces_to_agent_by_api/).
struct DatadogEncoder: SpanEncoder {
    let contentType = "application/msgpack"
    private let source: SpanSource
    private var traces = MessagePack()
    private var traceCount = 0
    private(set) var count = 0

    init(_ source: SpanSource) { self.source = source }

    var byteCount: Int { traces.bytes.count }

    mutating func append(_ exchange: ExchangeSpans) {
        traceCount += 1
        count += exchange.spans.count
        traces.array(exchange.spans.count)
        for span in exchange.spans { append(span, isFirst: span.kind == .server) }
    }

    mutating func finish() -> EncodedSpans {
        var body = MessagePack()
        body.array(traceCount)
        let encoded = EncodedSpans(
            body: body.bytes + traces.bytes,
            headers: [
                ("x-datadog-trace-count", "\(traceCount)"), ("datadog-meta-lang", "swift"),
                ("datadog-meta-tracer-version", RingwayVersion.current),
            ])
        traces = MessagePack()
        traceCount = 0
        count = 0
        return encoded
    }

    private mutating func append(_ span: Span, isFirst: Bool) {
        traces.map(12)
        traces.field("service", source.serviceName)
        traces.field("name", span.kind == .server ? "ringway.request" : "ringway.try")
        traces.field("resource", span.name)
        traces.field("type", "web")
        traces.field("trace_id", span.traceLow)
        traces.field("span_id", span.id)
        traces.field("parent_id", span.parentID)
        traces.field("start", span.startedNs)
        traces.field("duration", span.endedNs - span.startedNs)
        traces.field("error", span.isError ? 1 : 0)
        var meta = span.tags.map { ($0.key, $0.value.text) }
        meta.append(("span.kind", span.kind == .server ? "server" : "client"))
        meta.append(("node_id", source.nodeID))
        // The upper half of an id of 128 bits, once in a trace's part.
        if isFirst, span.traceHigh != 0 { meta.append(("_dd.p.tid", span.traceHigh.hex16)) }
        let unique = Dictionary(meta) { first, _ in first }.sorted { $0.key < $1.key }
        traces.text("meta")
        traces.map(unique.count)
        for (key, value) in unique { traces.field(key, value) }
        traces.text("metrics")
        traces.map(2)
        // What this proxy sends is to be kept: it decided already.
        traces.field("_sampling_priority_v1", number: 1)
        traces.field("_dd.top_level", number: isFirst ? 1 : 0)
    }
}

/// Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), as much of it as is needed here.
struct MessagePack {
    private(set) var bytes: [UInt8] = []

    mutating func array(_ count: Int) { header(count, short: 0x90, long: 0xDD) }
    mutating func map(_ count: Int) { header(count, short: 0x80, long: 0xDF) }

    mutating func text(_ text: String) {
        let utf8 = Array(text.utf8)
        if utf8.count < 32 {
            bytes.append(0xA0 | UInt8(utf8.count))
        } else {
            bytes.append(0xDB)
            append(UInt32(utf8.count))
        }
        bytes += utf8
    }

    mutating func number(_ value: UInt64) {
        guard value >= 128 else { return bytes.append(UInt8(value)) }
        bytes.append(0xCF)
        bytes += value.bigEndianBytes
    }

    mutating func number(_ value: Double) {
        bytes.append(0xCB)
        bytes += value.bitPattern.bigEndianBytes
    }

    mutating func field(_ key: String, _ value: String) {
        text(key)
        text(value)
    }

    mutating func field(_ key: String, _ value: UInt64) {
        text(key)
        number(value)
    }

    mutating func field(_ key: String, number value: Double) {
        text(key)
        number(value)
    }

    private mutating func header(_ count: Int, short: UInt8, long: UInt8) {
        guard count >= 16 else { return bytes.append(short | UInt8(count)) }
        bytes.append(long)
        append(UInt32(count))
    }

    private mutating func append(_ value: UInt32) {
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
        }
    }
}
