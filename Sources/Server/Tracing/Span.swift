internal import Filters

/// A span as all exporters see it, whatever their backend calls its parts.
struct Span {
    enum Kind {
        /// What the client asked this proxy for.
        case server
        /// One try of an endpoint.
        case client
    }

    enum Value {
        case text(String)
        case number(UInt64)

        var text: String {
            switch self {
            case .text(let text): text
            case .number(let number): "\(number)"
            }
        }
    }

    var kind: Kind
    var traceHigh: UInt64
    var traceLow: UInt64
    var id: UInt64
    /// 0 for the first of its trace.
    var parentID: UInt64
    var name: String
    /// Nanoseconds since 1970.
    var startedNs: UInt64
    var endedNs: UInt64
    /// 0 without a response.
    var status: UInt16
    var isError: Bool
    /// `IP:PORT` of the other side; empty where it is not known.
    var peer: String
    /// Named and spelled as Envoy's.
    var tags: [(key: String, value: Value)]
}

/// What an exchange left behind, as spans: the server's, and one for each try that was written down.
struct ExchangeSpans {
    let spans: [Span]
    /// Of a request that came with SkyWalking's header.
    let skyWalking: SkyWalkingCaller?

    init(_ view: SpanView) {
        let record = view.record
        var texts = Texts()
        view.forEachText { texts.take($0, $1, $2) }
        var server = Span(
            kind: .server, traceHigh: record.traceHigh, traceLow: record.traceLow, id: record.spanID,
            parentID: record.parentID, name: texts[.name] ?? "", startedNs: record.startedNs, endedNs: record.endedNs,
            status: record.status, isError: record.isError, peer: texts[.peerAddress] ?? "", tags: [])
        server.tags = Self.serverTags(record, texts)
        if server.name.isEmpty { server.name = "ingress" }
        let tries = view.tries
        let clients = tries.indices.map { index in
            Self.client(
                tries[index], index, address: index < texts.addresses.count ? texts.addresses[index] : "", server, texts
            )
        }
        skyWalking = texts[.skyWalking].flatMap(SkyWalkingCaller.init)
        spans = [server] + clients
    }

    private struct Texts {
        private var known: [SpanText: String] = [:]
        private(set) var addresses: [String] = []
        private(set) var custom: [(key: String, value: Span.Value)] = []

        subscript(kind: SpanText) -> String? { known[kind] }

        mutating func take(_ kind: SpanText, _ key: String, _ value: String) {
            switch kind {
            case .custom: custom.append((key, .text(value)))
            case .upstreamAddress: addresses.append(value)
            default: known[kind] = value
            }
        }

        var url: String { "\(self[.scheme] ?? "http")://\(self[.host] ?? "")\(self[.path] ?? "")" }
    }

    private static func serverTags(_ record: SpanRecord, _ texts: Texts) -> [(key: String, value: Span.Value)] {
        var tags: [(key: String, value: Span.Value)] = [("component", .text("proxy"))]
        func add(_ key: String, _ kind: SpanText) {
            if let text = texts[kind] { tags.append((key, .text(text))) }
        }
        add("guid:x-request-id", .requestID)
        add("guid:x-client-trace-id", .clientTraceID)
        if let method = texts[.method] {
            tags.append(("http.url", .text(texts.url)))
            tags.append(("http.method", .text(method)))
        }
        add("http.protocol", .version)
        tags.append(("http.status_code", .number(UInt64(record.status))))
        add("user_agent", .userAgent)
        tags.append(("downstream_cluster", .text(texts[.downstreamCluster] ?? "-")))
        add("peer.address", .peerAddress)
        tags.append(("request_size", .number(record.requestBytes)))
        tags.append(("response_size", .number(record.responseBytes)))
        tags.append(("response_flags", .text(texts[.responseFlags] ?? "-")))
        addUpstream(texts, address: texts.addresses.last ?? "", &tags)
        add("listener", .listener)
        add("route", .route)
        if record.grpcStatus >= 0 { tags.append(("grpc.status_code", .number(UInt64(record.grpcStatus)))) }
        if record.isError { tags.append(("error", .text("true"))) }
        if record.reason == TraceReason.late.rawValue { tags.append(("sampling.late", .text("true"))) }
        return tags + texts.custom
    }

    private static func addUpstream(
        _ texts: Texts, address: String, _ tags: inout [(key: String, value: Span.Value)]
    ) {
        if let cluster = texts[.upstreamCluster] {
            tags.append(("upstream_cluster", .text(cluster)))
            tags.append(("upstream_cluster.name", .text(cluster)))
        }
        if !address.isEmpty { tags.append(("upstream_address", .text(address))) }
    }

    private static func client(
        _ attempt: TraceTry, _ index: Int, address: String, _ server: Span, _ texts: Texts
    ) -> Span {
        let isError = attempt.failed || attempt.status >= 500
        var tags: [(key: String, value: Span.Value)] = [("component", .text("proxy"))]
        if attempt.status > 0 { tags.append(("http.status_code", .number(UInt64(attempt.status)))) }
        addUpstream(texts, address: address, &tags)
        if index > 0 { tags.append(("retry.count", .number(UInt64(index)))) }
        if isError { tags.append(("error", .text("true"))) }
        return Span(
            kind: .client, traceHigh: server.traceHigh, traceLow: server.traceLow, id: attempt.spanID,
            parentID: server.id, name: "router \(texts[.upstreamCluster] ?? "-") egress",
            startedNs: attempt.startedNs, endedNs: max(attempt.endedNs, attempt.startedNs), status: attempt.status,
            isError: isError, peer: address, tags: tags)
    }
}

extension UInt64 {
    /// Sixteen digits.
    var hex16: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The most significant first.
    var bigEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> UInt64(56 - $0 * 8)) } }
}
