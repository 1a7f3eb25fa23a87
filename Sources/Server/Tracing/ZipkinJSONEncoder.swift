internal import Filters

/// Zipkin's v2 JSON: https://zipkin.io/zipkin-api/#/default/post_spans
final class ZipkinJSONEncoder: SpanEncoder {
    let contentType = "application/json"
    private let source: SpanSource
    private var body: [UInt8] = []
    private(set) var count = 0

    init(_ source: SpanSource) { self.source = source }

    var byteCount: Int { body.count }

    func append(_ view: SpanView) -> Int {
        let exchange = ExchangeSpans(view)
        for span in exchange.spans {
            body.append(count == 0 ? UInt8(ascii: "[") : UInt8(ascii: ","))
            body.append(contentsOf: json(span).text.utf8)
            count += 1
        }
        return exchange.spans.count
    }

    func finish() -> EncodedSpans {
        defer {
            body = []
            count = 0
        }
        return EncodedSpans(body: body + [UInt8(ascii: "]")])
    }

    private func json(_ span: Span) -> JSON {
        let traceID = (span.traceHigh == 0 ? "" : span.traceHigh.hex16) + span.traceLow.hex16
        var fields: [(String, JSON)] = [
            ("traceId", .string(traceID)), ("id", .string(span.id.hex16)),
            ("kind", .string(span.kind == .server ? "SERVER" : "CLIENT")), ("name", .string(span.name)),
            ("timestamp", .number(span.startedNs / 1000)),
            // Zero would be no duration at all.
            ("duration", .number(max((span.endedNs - span.startedNs) / 1000, 1))),
            ("localEndpoint", .object([("serviceName", .string(source.serviceName))])),
            ("tags", .object(tags(of: span))),
        ]
        if span.parentID != 0 { fields.append(("parentId", .string(span.parentID.hex16))) }
        if let remote = PeerAddress(span.peer) {
            fields.append(
                (
                    "remoteEndpoint",
                    .object([
                        (remote.isV6 ? "ipv6" : "ipv4", .string(remote.ip)), ("port", .number(UInt64(remote.port))),
                    ])
                ))
        }
        return .object(fields)
    }

    /// A name is there once, whoever gives it.
    private func tags(of span: Span) -> [(String, JSON)] {
        var seen: Set<String> = []
        let tags = span.tags + [(key: "node_id", value: .text(source.nodeID))]
        return tags.compactMap { seen.insert($0.key).inserted ? ($0.key, .string($0.value.text)) : nil }
    }
}
