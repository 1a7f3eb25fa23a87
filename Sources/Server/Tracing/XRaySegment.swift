internal import Filters

/// An exchange as X-Ray's segment document, each try a subsegment
/// (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html).
struct XRaySegment {
    let json: JSON

    /// Letters of a name beyond those and digits.
    private static let nameMarks = Set(" _.:/%&#=+\\-@")
    private static let nameMax = 200

    init(_ exchange: ExchangeSpans, name: String) {
        guard let server = exchange.spans.first else {
            json = .object([])
            return
        }
        var fields: [(String, JSON)] = [
            ("name", .string(Self.name(name))), ("id", .string(server.id.hex16)),
            ("trace_id", .string(Self.traceID(server))), ("start_time", Self.seconds(server.startedNs)),
            ("end_time", Self.seconds(server.endedNs)), ("http", Self.http(server)),
            ("annotations", Self.annotations(server)), ("origin", .string("AWS::EC2::Instance")),
        ]
        fields += Self.failure(server)
        if server.parentID != 0 { fields.append(("parent_id", .string(server.parentID.hex16))) }
        let tries = exchange.spans.dropFirst().map(Self.subsegment)
        if !tries.isEmpty { fields.append(("subsegments", .array(tries))) }
        json = .object(fields)
    }

    private static func subsegment(_ span: Span) -> JSON {
        .object(
            [
                ("name", .string(name(span.peer.isEmpty ? span.name : span.peer))), ("id", .string(span.id.hex16)),
                ("start_time", seconds(span.startedNs)), ("end_time", seconds(span.endedNs)),
                ("namespace", .string("remote")), ("http", http(span)), ("annotations", annotations(span)),
            ] + failure(span))
    }

    private static func traceID(_ span: Span) -> String {
        let high = span.traceHigh.hex16
        return "1-\(high.prefix(8))-\(high.dropFirst(8))\(span.traceLow.hex16)"
    }

    /// With six decimals, as numbers that a Double does not round.
    private static func seconds(_ ns: UInt64) -> JSON {
        let micros = String(ns / 1000 % 1_000_000)
        return .literal("\(ns / 1_000_000_000).\(String(repeating: "0", count: 6 - micros.count))\(micros)")
    }

    private static func http(_ span: Span) -> JSON {
        let tags = Dictionary(span.tags.map { ($0.key, $0.value.text) }) { first, _ in first }
        var request: [(String, JSON)] = []
        for (field, tag) in [("method", "http.method"), ("url", "http.url"), ("user_agent", "user_agent")] {
            if let text = tags[tag] { request.append((field, .string(text))) }
        }
        if span.kind == .server, let peer = PeerAddress(span.peer) { request.append(("client_ip", .string(peer.ip))) }
        var response: [(String, JSON)] = []
        if span.status > 0 { response.append(("status", .number(UInt64(span.status)))) }
        if let size = tags["response_size"].flatMap(UInt64.init) { response.append(("content_length", .number(size))) }
        return .object([("request", .object(request)), ("response", .object(response))])
    }

    /// Names of annotations have letters, digits and underscores.
    private static func annotations(_ span: Span) -> JSON {
        var seen: Set<String> = []
        return .object(
            span.tags.compactMap { tag in
                let key = String(tag.key.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
                return seen.insert(key).inserted ? (key, .string(tag.value.text)) : nil
            })
    }

    private static func failure(_ span: Span) -> [(String, JSON)] {
        var fields: [(String, JSON)] = []
        if span.isError { fields.append(("fault", .bool(true))) }
        if (400..<500).contains(span.status) { fields.append(("error", .bool(true))) }
        if span.status == 429 { fields.append(("throttle", .bool(true))) }
        return fields
    }

    private static func name(_ text: String) -> String {
        let allowed = text.filter { $0.isLetter || $0.isNumber || nameMarks.contains($0) }
        return String((allowed.isEmpty ? "ringway" : allowed).prefix(nameMax))
    }
}
