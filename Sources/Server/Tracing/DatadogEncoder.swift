internal import Config
internal import Filters

/// What a Datadog agent takes, in MessagePack: traces, each an array of the spans that this proxy has of it.
///
/// At `/v0.4/traces` a span is a map of its fields
/// (https://docs.datadoghq.com/tracing/guide/send_traces_to_agent_by_api/); at `/v0.5/traces` it is an array of them in a
/// fixed order, and every text stands once, in a table before the traces, and is a number everywhere else.
final class DatadogEncoder: SpanEncoder {
    let contentType = "application/msgpack"
    private let source: SpanSource
    private let version: DatadogVersion
    private var traces = MessagePack()
    private var traceCount = 0
    private var table = DatadogTextTable()
    private(set) var count = 0

    init(_ source: SpanSource, _ version: DatadogVersion) {
        self.source = source
        self.version = version
    }

    var byteCount: Int { traces.bytes.count + table.byteCount }

    func append(_ view: SpanView) -> Int {
        let exchange = ExchangeSpans(view)
        traceCount += 1
        count += exchange.spans.count
        traces.array(exchange.spans.count)
        for span in exchange.spans {
            let meta = meta(of: span)
            switch version {
            case .v04: appendMap(span, meta)
            case .v05: appendArray(span, meta)
            }
        }
        return exchange.spans.count
    }

    func finish() -> EncodedSpans {
        var body = MessagePack()
        if version == .v05 {
            body.array(2)
            body.append(table.texts)
        }
        body.array(traceCount)
        body.append(traces)
        let encoded = EncodedSpans(
            body: body.bytes,
            headers: [
                ("x-datadog-trace-count", "\(traceCount)"), ("datadog-meta-lang", "swift"),
                ("datadog-meta-tracer-version", RingwayVersion.current),
            ])
        traces = MessagePack()
        table = DatadogTextTable()
        traceCount = 0
        count = 0
        return encoded
    }

    // MARK: Spans

    private static let type = "web"
    // What this proxy sends is to be kept: it decided already.
    private static let priority = (key: "_sampling_priority_v1", value: 1.0)
    private static let topLevel = "_dd.top_level"

    private static func name(of span: Span) -> String {
        span.kind == .server ? "ringway.request" : "ringway.try"
    }

    private static func topLevel(_ span: Span) -> Double { span.kind == .server ? 1 : 0 }

    /// Each name once, in an order that does not change.
    private func meta(of span: Span) -> [(key: String, value: String)] {
        var meta = span.tags.map { ($0.key, $0.value.text) }
        meta.append(("span.kind", span.kind == .server ? "server" : "client"))
        meta.append(("node_id", source.nodeID))
        // The upper half of an id of 128 bits, once in a trace's part.
        if span.kind == .server, span.traceHigh != 0 { meta.append(("_dd.p.tid", span.traceHigh.hex16)) }
        return Dictionary(meta) { first, _ in first }.sorted { $0.key < $1.key }
    }

    private func appendMap(_ span: Span, _ meta: [(key: String, value: String)]) {
        traces.map(12)
        traces.field("service", source.serviceName)
        traces.field("name", Self.name(of: span))
        traces.field("resource", span.name)
        traces.field("type", Self.type)
        traces.field("trace_id", span.traceLow)
        traces.field("span_id", span.id)
        traces.field("parent_id", span.parentID)
        traces.field("start", span.startedNs)
        traces.field("duration", span.endedNs - span.startedNs)
        traces.field("error", span.isError ? 1 : 0)
        traces.text("meta")
        traces.map(meta.count)
        for (key, value) in meta { traces.field(key, value) }
        traces.text("metrics")
        traces.map(2)
        traces.field(Self.priority.key, number: Self.priority.value)
        traces.field(Self.topLevel, number: Self.topLevel(span))
    }

    private func appendArray(_ span: Span, _ meta: [(key: String, value: String)]) {
        traces.array(12)
        for text in [source.serviceName, Self.name(of: span), span.name] { traces.number(table.number(of: text)) }
        for number in [span.traceLow, span.id, span.parentID, span.startedNs, span.endedNs - span.startedNs] {
            traces.number(number)
        }
        traces.number(span.isError ? UInt64(1) : 0)
        traces.map(meta.count)
        for (key, value) in meta {
            traces.number(table.number(of: key))
            traces.number(table.number(of: value))
        }
        traces.map(2)
        traces.number(table.number(of: Self.priority.key))
        traces.number(Self.priority.value)
        traces.number(table.number(of: Self.topLevel))
        traces.number(Self.topLevel(span))
        traces.number(table.number(of: Self.type))
    }
}

/// Texts in the order in which they were first asked for, the empty one first.
private struct DatadogTextTable {
    private var numbers: [String: UInt64] = ["": 0]
    private var written = MessagePack()

    init() { written.text("") }

    var byteCount: Int { written.bytes.count }

    /// All of them as an array.
    var texts: MessagePack {
        var texts = MessagePack()
        texts.array(numbers.count)
        texts.append(written)
        return texts
    }

    mutating func number(of text: String) -> UInt64 {
        if let number = numbers[text] { return number }
        let number = UInt64(numbers.count)
        numbers[text] = number
        written.text(text)
        return number
    }
}
