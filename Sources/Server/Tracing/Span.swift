internal import Filters
internal import HTTP

/// A span as all exporters see it, whatever their backend calls its parts.
struct Span {
    enum Kind {
        /// What the client asked this proxy for.
        case server
        /// One try of an endpoint.
        case client
    }

    enum Value {
        case text(SpanString)
        case number(UInt64)

        var text: String {
            switch self {
            case .text(let text): text.text
            case .number(let number): "\(number)"
            }
        }
    }

    struct Tag {
        let name: SpanString
        let value: Value

        init(_ name: SpanString, _ value: Value) {
            self.name = name
            self.value = value
        }

        init(_ name: StaticString, _ value: Value) { self.init(SpanString(name), value) }

        init(_ name: StaticString, _ text: ByteSlice) { self.init(name, .text(.bytes(text))) }

        init(_ name: StaticString, number: UInt64) { self.init(name, .number(number)) }

        var key: String { name.text }
    }

    var kind: Kind
    var traceHigh: UInt64
    var traceLow: UInt64
    var id: UInt64
    /// 0 for the first of its trace.
    var parentID: UInt64
    var label: SpanString
    /// Nanoseconds since 1970.
    var startedNs: UInt64
    var endedNs: UInt64
    /// 0 without a response.
    var status: UInt16
    var isError: Bool
    /// `IP:PORT` of the other side; empty where it is not known.
    var address: ByteSlice
    /// Named and spelled as Envoy's.
    var tags: [Tag]

    var name: String { label.text }
    var peer: String { address.text }
}

/// What an exchange left behind, as spans: the server's, and one for each try that was written down. Good as long as the
/// record that it was read from.
struct ExchangeSpans {
    let spans: [Span]
    /// Of a request that came with SkyWalking's header.
    let skyWalking: SkyWalkingCaller?

    init(_ view: SpanView) {
        let record = view.record
        var texts = Texts()
        view.forEachText { texts.take($0, $1, $2) }
        let label: SpanString =
            texts[.name].map { $0.isEmpty ? SpanString("ingress") : .bytes($0) } ?? SpanString("ingress")
        let server = Span(
            kind: .server, traceHigh: record.traceHigh, traceLow: record.traceLow, id: record.spanID,
            parentID: record.parentID, label: label, startedNs: record.startedNs, endedNs: record.endedNs,
            status: record.status, isError: record.isError, address: texts[.peerAddress] ?? .empty,
            tags: Self.serverTags(record, texts))
        let clients = view.tries.enumerated().map { index, attempt in
            Self.client(attempt, index, server, texts)
        }
        spans = [server] + clients
        skyWalking = texts[.skyWalking].flatMap { SkyWalkingCaller($0.text) }
    }

    /// By kind.
    private struct Texts {
        private var known = InlineArray<32, ByteSlice>(repeating: .empty)
        private var present: UInt32 = 0
        private(set) var addresses: [ByteSlice] = []
        private(set) var custom: [Span.Tag] = []

        subscript(kind: SpanText) -> ByteSlice? {
            present & 1 << UInt32(kind.rawValue) == 0 ? nil : known[Int(kind.rawValue)]
        }

        mutating func take(_ kind: SpanText, _ key: ByteSlice, _ value: ByteSlice) {
            switch kind {
            case .custom: custom.append(Span.Tag(.bytes(key), .text(.bytes(value))))
            case .upstreamAddress: addresses.append(value)
            default:
                known[Int(kind.rawValue)] = value
                present |= 1 << UInt32(kind.rawValue)
            }
        }

        func address(ofTry index: Int) -> ByteSlice { index < addresses.count ? addresses[index] : .empty }
    }

    private static func serverTags(_ record: SpanRecord, _ texts: Texts) -> [Span.Tag] {
        var tags: [Span.Tag] = []
        tags.reserveCapacity(24)
        func add(_ name: StaticString, _ kind: SpanText) {
            if let text = texts[kind] { tags.append(Span.Tag(name, text)) }
        }
        tags.append(Span.Tag("component", ByteSlice("proxy")))
        add("guid:x-request-id", .requestID)
        add("guid:x-client-trace-id", .clientTraceID)
        if let method = texts[.method] {
            let scheme = texts[.scheme] ?? ByteSlice("http")
            let url = SpanString.url(scheme: scheme, host: texts[.host] ?? .empty, path: texts[.path] ?? .empty)
            tags.append(Span.Tag("http.url", .text(url)))
            tags.append(Span.Tag("http.method", method))
        }
        add("http.protocol", .version)
        tags.append(Span.Tag("http.status_code", number: UInt64(record.status)))
        add("user_agent", .userAgent)
        tags.append(Span.Tag("downstream_cluster", texts[.downstreamCluster] ?? ByteSlice("-")))
        add("peer.address", .peerAddress)
        tags.append(Span.Tag("request_size", number: record.requestBytes))
        tags.append(Span.Tag("response_size", number: record.responseBytes))
        tags.append(Span.Tag("response_flags", texts[.responseFlags] ?? ByteSlice("-")))
        addUpstream(texts, address: texts.addresses.last ?? .empty, &tags)
        add("listener", .listener)
        add("route", .route)
        if record.grpcStatus >= 0 { tags.append(Span.Tag("grpc.status_code", number: UInt64(record.grpcStatus))) }
        if record.isError { tags.append(Span.Tag("error", ByteSlice("true"))) }
        if record.reason == TraceReason.late.rawValue { tags.append(Span.Tag("sampling.late", ByteSlice("true"))) }
        return tags + texts.custom
    }

    private static func addUpstream(_ texts: Texts, address: ByteSlice, _ tags: inout [Span.Tag]) {
        if let cluster = texts[.upstreamCluster] {
            tags.append(Span.Tag("upstream_cluster", cluster))
            tags.append(Span.Tag("upstream_cluster.name", cluster))
        }
        if !address.isEmpty { tags.append(Span.Tag("upstream_address", address)) }
    }

    private static func client(_ attempt: TraceTry, _ index: Int, _ server: Span, _ texts: Texts) -> Span {
        let isError = attempt.failed || attempt.status >= 500
        let address = texts.address(ofTry: index)
        var tags = [Span.Tag("component", ByteSlice("proxy"))]
        if attempt.status > 0 { tags.append(Span.Tag("http.status_code", number: UInt64(attempt.status))) }
        addUpstream(texts, address: address, &tags)
        if index > 0 { tags.append(Span.Tag("retry.count", number: UInt64(index))) }
        if isError { tags.append(Span.Tag("error", ByteSlice("true"))) }
        return Span(
            kind: .client, traceHigh: server.traceHigh, traceLow: server.traceLow, id: attempt.spanID,
            parentID: server.id, label: .egress(cluster: texts[.upstreamCluster] ?? ByteSlice("-")),
            startedNs: attempt.startedNs, endedNs: max(attempt.endedNs, attempt.startedNs), status: attempt.status,
            isError: isError, address: address, tags: tags)
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
