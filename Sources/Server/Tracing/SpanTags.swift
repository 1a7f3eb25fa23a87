internal import Filters
internal import HTTP

/// Texts of a record by their kind. What is not UTF-8 is repaired.
struct SpanTexts {
    private var known = [String?](repeating: nil, count: SpanText.allCases.count)
    /// Of the tries, in their order.
    private(set) var addresses: [String] = []
    private(set) var custom: [SpanTags.Tag] = []

    init(_ groups: [ByteSlice]) {
        for group in groups {
            SpanView.forEachText(in: group) { kind, key, value in
                switch kind {
                case .custom: custom.append((key.text, .text(value.text)))
                case .upstreamAddress: addresses.append(value.text)
                default: known[Int(kind.rawValue)] = value.text
                }
            }
        }
    }

    subscript(kind: SpanText) -> String? { known[Int(kind.rawValue)] }
}

/// Names and tags of spans, spelled as Envoy's: what each group of a record's texts says by itself, so that an exporter
/// can keep what it made of a group.
enum SpanTags {
    typealias Tag = (key: String, value: Span.Value)

    /// Of the span of a request that nobody named and that has no host.
    static let nameOfNone = StaticString("ingress")

    /// Of `SpanTextGroup.target`.
    static func name(_ texts: SpanTexts) -> String {
        guard let name = texts[.name], !name.isEmpty else { return "\(nameOfNone)" }
        return name
    }

    /// - Parameter isLast: of the exchange's tries, so that it was answered if any was
    static func name(ofTryIn way: SpanTexts, isLast: Bool) -> String {
        if isLast, let name = way[.tryName] { return name }
        return "router \(way[.upstreamCluster] ?? "-") egress"
    }

    static func way(_ texts: SpanTexts) -> [Tag] {
        var tags: [Tag] = [("component", .text("proxy"))]
        add("listener", .listener, of: texts, to: &tags)
        add("route", .route, of: texts, to: &tags)
        add("http.method", .method, of: texts, to: &tags)
        add("http.protocol", .version, of: texts, to: &tags)
        tags.append(("response_flags", .text(texts[.responseFlags] ?? "-")))
        addUpstream(texts, address: texts.addresses.last ?? "", &tags)
        return tags
    }

    static func client(_ texts: SpanTexts) -> [Tag] {
        var tags: [Tag] = [("downstream_cluster", .text(texts[.downstreamCluster] ?? "-"))]
        add("peer.address", .peerAddress, of: texts, to: &tags)
        add("user_agent", .userAgent, of: texts, to: &tags)
        return tags
    }

    static func target(_ texts: SpanTexts) -> [Tag] {
        guard let host = texts[.host] else { return [] }
        return [("http.url", .text("\(texts[.scheme] ?? "http")://\(host)\(texts[.path] ?? "")"))]
    }

    static func own(_ texts: SpanTexts) -> [Tag] {
        var tags: [Tag] = []
        add("guid:x-request-id", .requestID, of: texts, to: &tags)
        add("guid:x-client-trace-id", .clientTraceID, of: texts, to: &tags)
        return tags + texts.custom
    }

    /// How it went.
    static func result(_ record: SpanRecord) -> [Tag] {
        var tags: [Tag] = [("http.status_code", .number(UInt64(record.status)))]
        if record.grpcStatus >= 0 { tags.append(("grpc.status_code", .number(UInt64(record.grpcStatus)))) }
        if record.isError { tags.append(("error", .text("true"))) }
        if record.reason == TraceReason.late.rawValue { tags.append(("sampling.late", .text("true"))) }
        return tags
    }

    static func sizes(_ record: SpanRecord) -> [Tag] {
        [requestSize(record.requestBytes), responseSize(record.responseBytes)]
    }

    static func requestSize(_ bytes: UInt64) -> Tag { ("request_size", .number(bytes)) }
    static func responseSize(_ bytes: UInt64) -> Tag { ("response_size", .number(bytes)) }

    /// Of one try.
    ///
    /// - Parameter index: of the try, from 0
    static func attempt(_ attempt: TraceTry, _ index: Int, address: String, _ way: SpanTexts) -> [Tag] {
        var tags: [Tag] = [("component", .text("proxy"))]
        if attempt.status > 0 { tags.append(("http.status_code", .number(UInt64(attempt.status)))) }
        addUpstream(way, address: address, &tags)
        if index > 0 { tags.append(("retry.count", .number(UInt64(index)))) }
        if attempt.isError { tags.append(("error", .text("true"))) }
        return tags
    }

    private static func addUpstream(_ texts: SpanTexts, address: String, _ tags: inout [Tag]) {
        if let cluster = texts[.upstreamCluster] {
            tags.append(("upstream_cluster", .text(cluster)))
            tags.append(("upstream_cluster.name", .text(cluster)))
        }
        if !address.isEmpty { tags.append(("upstream_address", .text(address))) }
    }

    private static func add(_ key: String, _ kind: SpanText, of texts: SpanTexts, to tags: inout [Tag]) {
        if let text = texts[kind] { tags.append((key, .text(text))) }
    }
}
