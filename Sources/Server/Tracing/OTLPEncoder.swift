internal import Filters
internal import FoundationEssentials
internal import SwiftProtobuf
internal import TracingProtocols

/// OTLP (https://opentelemetry.io/docs/specs/otlp/): `ExportTraceServiceRequest`, over HTTP as it is, over gRPC with five
/// bytes before it.
struct OTLPEncoder: SpanEncoder {
    let contentType: String
    private let isGRPC: Bool
    private let resource: Opentelemetry_Proto_Resource_V1_Resource
    private var spans: [Opentelemetry_Proto_Trace_V1_Span] = []
    private(set) var byteCount = 0

    init(_ source: SpanSource, isGRPC: Bool) {
        self.isGRPC = isGRPC
        contentType = isGRPC ? "application/grpc" : "application/x-protobuf"
        var resource = Opentelemetry_Proto_Resource_V1_Resource()
        resource.attributes = [
            Self.attribute("service.name", .text(source.serviceName)),
            Self.attribute("service.instance.id", .text(source.nodeID)),
        ]
        self.resource = resource
    }

    var count: Int { spans.count }

    mutating func append(_ exchange: ExchangeSpans) {
        for span in exchange.spans {
            spans.append(Self.message(span))
            byteCount += span.tags.reduce(96) { $0 + $1.key.utf8.count + 16 }
        }
    }

    mutating func finish() -> EncodedSpans {
        var scope = Opentelemetry_Proto_Trace_V1_ScopeSpans()
        scope.scope.name = "ringway"
        scope.scope.version = RingwayVersion.current
        scope.spans = spans
        var resourceSpans = Opentelemetry_Proto_Trace_V1_ResourceSpans()
        resourceSpans.resource = resource
        resourceSpans.scopeSpans = [scope]
        var request = Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceRequest()
        request.resourceSpans = [resourceSpans]
        spans = []
        byteCount = 0
        let body = encoded(request)
        return EncodedSpans(body: isGRPC ? GRPCFrame.message(body) : body)
    }

    private static func message(_ span: Span) -> Opentelemetry_Proto_Trace_V1_Span {
        var message = Opentelemetry_Proto_Trace_V1_Span()
        message.traceID = Data(span.traceHigh.bigEndianBytes + span.traceLow.bigEndianBytes)
        message.spanID = Data(span.id.bigEndianBytes)
        if span.parentID != 0 { message.parentSpanID = Data(span.parentID.bigEndianBytes) }
        message.kind = span.kind == .server ? .server : .client
        message.name = span.name
        message.startTimeUnixNano = span.startedNs
        message.endTimeUnixNano = span.endedNs
        message.attributes = span.tags.map { attribute($0.key, $0.value) }
        if span.isError { message.status.code = .error }
        return message
    }

    private static func attribute(_ key: String, _ value: Span.Value) -> Opentelemetry_Proto_Common_V1_KeyValue {
        var attribute = Opentelemetry_Proto_Common_V1_KeyValue()
        attribute.key = key
        switch value {
        case .text(let text): attribute.value.stringValue = text
        case .number(let number): attribute.value.intValue = Int64(clamping: number)
        }
        return attribute
    }
}

/// gRPC's framing of messages: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
enum GRPCFrame {
    /// One message, not compressed.
    static func message(_ body: [UInt8]) -> [UInt8] {
        [0] + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - $0 * 8)) } + body
    }
}
