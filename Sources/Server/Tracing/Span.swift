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
    var tags: [SpanTags.Tag]
}

/// What an exchange left behind, as spans: the server's, and one for each try that was written down.
struct ExchangeSpans {
    let spans: [Span]
    /// Of a request that came with SkyWalking's header.
    let skyWalking: SkyWalkingCaller?

    init(_ view: SpanView) {
        let record = view.record
        let texts = SpanTexts(SpanTextGroup.allCases.map { view[$0] })
        let server = Span(
            kind: .server, traceHigh: record.traceHigh, traceLow: record.traceLow, id: record.spanID,
            parentID: record.parentID, name: SpanTags.name(texts), startedNs: record.startedNs,
            endedNs: record.endedNs, status: record.status, isError: record.isError, peer: texts[.peerAddress] ?? "",
            tags: SpanTags.client(texts) + SpanTags.target(texts) + SpanTags.way(texts) + SpanTags.result(record)
                + SpanTags.sizes(record) + SpanTags.own(texts))
        let tries = view.tries
        let clients = tries.enumerated().map { index, attempt in
            let address = index < texts.addresses.count ? texts.addresses[index] : ""
            return Span(
                kind: .client, traceHigh: server.traceHigh, traceLow: server.traceLow, id: attempt.spanID,
                parentID: server.id, name: SpanTags.name(ofTryIn: texts, isLast: index == tries.count - 1),
                startedNs: attempt.startedNs,
                endedNs: max(attempt.endedNs, attempt.startedNs), status: attempt.status, isError: attempt.isError,
                peer: address, tags: SpanTags.attempt(attempt, index, address: address, texts))
        }
        skyWalking = texts[.skyWalking].flatMap(SkyWalkingCaller.init)
        spans = [server] + clients
    }
}

extension TraceTry {
    var isError: Bool { failed || status >= 500 }
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
