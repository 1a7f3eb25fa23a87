internal import Filters
internal import HTTP

/// OTLP (https://opentelemetry.io/docs/specs/otlp/): `ExportTraceServiceRequest`, over HTTP as it is, over gRPC with five
/// bytes before it.
///
/// Written field by field from where the worker left the texts: with every request traced this is where the CPU time
/// of tracing goes, and generated messages make dozens of objects a span. The numbers are those of
/// opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto.
struct OTLPEncoder: SpanEncoder {
    let contentType: String
    private let isGRPC: Bool
    private let resource: [UInt8]
    private let scope: [UInt8]
    /// `spans` of `ScopeSpans`, one after the other.
    private var spans = ProtobufWriter()
    private var span = ProtobufWriter()
    private(set) var count = 0

    init(_ source: SpanSource, isGRPC: Bool) {
        self.isGRPC = isGRPC
        contentType = isGRPC ? "application/grpc" : "application/x-protobuf"
        var resource = ProtobufWriter()
        for (key, value) in [("service.name", source.serviceName), ("service.instance.id", source.nodeID)] {
            var any = ProtobufWriter()
            any.field(1, bytes: Array(value.utf8))
            var attribute = ProtobufWriter()
            attribute.field(1, bytes: Array(key.utf8))
            attribute.field(2, bytes: any.bytes)
            resource.field(1, bytes: attribute.bytes)
        }
        self.resource = resource.bytes
        var scope = ProtobufWriter()
        scope.field(1, bytes: Array("ringway".utf8))
        scope.field(2, bytes: Array(RingwayVersion.current.utf8))
        self.scope = scope.bytes
    }

    var byteCount: Int { spans.bytes.count }

    mutating func append(_ exchange: ExchangeSpans) {
        for one in exchange.spans {
            span.removeAll()
            write(one)
            spans.field(2, bytes: span.bytes)
            count += 1
        }
    }

    mutating func finish() -> EncodedSpans {
        var scopeSpans = ProtobufWriter()
        scopeSpans.field(1, bytes: scope)
        let scopeSpansCount = scopeSpans.bytes.count + spans.bytes.count
        var resourceSpans = ProtobufWriter()
        resourceSpans.field(1, bytes: resource)
        resourceSpans.header(2, count: scopeSpansCount)
        var request = ProtobufWriter()
        request.header(1, count: resourceSpans.bytes.count + scopeSpansCount)
        let body = request.bytes + resourceSpans.bytes + scopeSpans.bytes + spans.bytes
        spans.removeAll()
        count = 0
        return EncodedSpans(body: isGRPC ? GRPCFrame.message(body) : body)
    }

    private mutating func write(_ one: Span) {
        span.field(1, id: one.traceHigh, one.traceLow)
        span.field(2, id: one.id)
        if one.parentID != 0 { span.field(4, id: one.parentID) }
        span.field(5, text: one.label.utf8)
        // SPAN_KIND_SERVER, SPAN_KIND_CLIENT
        span.field(6, varint: one.kind == .server ? 2 : 3)
        span.field(7, fixed64: one.startedNs)
        span.field(8, fixed64: one.endedNs)
        for tag in one.tags { write(tag) }
        if one.isError {
            span.header(15, count: 2)
            // STATUS_CODE_ERROR
            span.field(3, varint: 2)
        }
    }

    /// `KeyValue` with an `AnyValue` that is text or a number.
    private mutating func write(_ tag: Span.Tag) {
        let name = tag.name.utf8
        let nameSize = ProtobufWriter.size(ofLength: name.count)
        switch tag.value {
        case .text(let value):
            let text = value.utf8
            let size = ProtobufWriter.size(ofLength: text.count)
            span.header(9, count: nameSize + ProtobufWriter.size(ofLength: size))
            span.field(1, text: name)
            span.header(2, count: size)
            span.field(1, text: text)
        case .number(let number):
            let number = min(number, UInt64(Int64.max))
            let size = 1 + ProtobufWriter.size(ofVarint: number)
            span.header(9, count: nameSize + ProtobufWriter.size(ofLength: size))
            span.field(1, text: name)
            span.header(2, count: size)
            span.field(3, varint: number)
        }
    }
}

/// gRPC's framing of messages: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
enum GRPCFrame {
    /// One message, not compressed.
    static func message(_ body: [UInt8]) -> [UInt8] {
        [0] + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - $0 * 8)) } + body
    }
}
