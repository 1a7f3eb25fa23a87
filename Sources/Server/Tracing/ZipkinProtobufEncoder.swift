internal import Config
internal import Filters
internal import FoundationEssentials
internal import SwiftProtobuf
internal import TracingProtocols

/// Zipkin's v2 spans in protobuf: `ListOfSpans` of zipkin.proto.
final class ZipkinProtobufEncoder: SpanEncoder {
    let contentType = "application/x-protobuf"
    private let source: SpanSource
    private var list = Zipkin_Proto3_ListOfSpans()
    private(set) var byteCount = 0

    init(_ source: SpanSource) { self.source = source }

    var count: Int { list.spans.count }

    func append(_ view: SpanView) -> Int {
        let exchange = ExchangeSpans(view)
        for span in exchange.spans {
            list.spans.append(message(span))
            byteCount += span.tags.reduce(64) { $0 + $1.key.utf8.count + $1.value.text.utf8.count + 8 }
        }
        return exchange.spans.count
    }

    func finish() -> EncodedSpans {
        defer {
            list = Zipkin_Proto3_ListOfSpans()
            byteCount = 0
        }
        return EncodedSpans(body: encoded(list))
    }

    private func message(_ span: Span) -> Zipkin_Proto3_Span {
        var message = Zipkin_Proto3_Span()
        message.traceID = Data(
            (span.traceHigh == 0 ? [] : span.traceHigh.bigEndianBytes) + span.traceLow.bigEndianBytes)
        message.id = Data(span.id.bigEndianBytes)
        if span.parentID != 0 { message.parentID = Data(span.parentID.bigEndianBytes) }
        message.kind = span.kind == .server ? .server : .client
        message.name = span.name
        message.timestamp = span.startedNs / 1000
        message.duration = max((span.endedNs - span.startedNs) / 1000, 1)
        message.localEndpoint.serviceName = source.serviceName
        if let remote = PeerAddress(span.peer), let address = IPAddress(remote.ip) {
            switch address {
            case .v4(let bits):
                message.remoteEndpoint.ipv4 = Data(
                    (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32(24 - $0 * 8)) })
            case .v6(let bits):
                message.remoteEndpoint.ipv6 = Data(
                    (0..<16).map { UInt8(truncatingIfNeeded: bits >> UInt128(120 - $0 * 8)) })
            }
            message.remoteEndpoint.port = Int32(remote.port)
        }
        message.tags = Dictionary(span.tags.map { ($0.key, $0.value.text) }) { first, _ in first }
        message.tags["node_id"] = source.nodeID
        return message
    }
}

/// The messages that are made here have nothing that could fail: text is UTF-8, and no field is required.
func encoded(_ message: some SwiftProtobuf.Message) -> [UInt8] {
    do {
        let bytes: [UInt8] = try message.serializedBytes()
        return bytes
    } catch {
        preconditionFailure("a message of ours can be written: \(error)")
    }
}
