internal import Filters
internal import SwiftProtobuf
internal import TracingProtocols

/// SkyWalking's trace segments, version 3, over gRPC: one stream of segments a request
/// (https://github.com/apache/skywalking-data-collect-protocol). An exchange is a segment: its first span is the entry,
/// each try an exit.
final class SkyWalkingEncoder: SpanEncoder {
    let contentType = "application/grpc"
    private let source: SpanSource
    private var body: [UInt8] = []
    private(set) var count = 0

    /// What SkyWalking knows proxies by, among its components.
    private static let component: Int32 = 9000

    init(_ source: SpanSource) { self.source = source }

    var byteCount: Int { body.count }

    func append(_ view: SpanView) -> Int {
        let exchange = ExchangeSpans(view)
        guard let server = exchange.spans.first else { return 0 }
        var segment = Skywalking_V3_SegmentObject()
        let caller = exchange.skyWalking
        segment.traceID = caller?.traceID ?? server.traceHigh.hex16 + server.traceLow.hex16
        segment.traceSegmentID = SkyWalkingCaller.segmentID(server.traceHigh, server.traceLow, server.id)
        segment.service = source.serviceName
        segment.serviceInstance = source.nodeID
        segment.spans = exchange.spans.enumerated().map { index, span in
            var object = Self.object(span, index)
            if index == 0, let caller { object.refs = [Self.reference(caller)] }
            return object
        }
        let message = encoded(segment)
        body += GRPCFrame.prefix(count: message.count)
        body += message
        count += exchange.spans.count
        return exchange.spans.count
    }

    func finish() -> EncodedSpans {
        defer {
            body = []
            count = 0
        }
        return EncodedSpans(body: body)
    }

    private static func object(_ span: Span, _ index: Int) -> Skywalking_V3_SpanObject {
        var object = Skywalking_V3_SpanObject()
        object.spanID = Int32(index)
        object.parentSpanID = index == 0 ? -1 : 0
        object.startTime = Int64(span.startedNs / 1_000_000)
        object.endTime = Int64(span.endedNs / 1_000_000)
        object.operationName = span.name
        object.spanType = span.kind == .server ? .entry : .exit
        object.spanLayer = .http
        object.componentID = component
        object.peer = span.kind == .client ? span.peer : ""
        object.isError = span.isError
        object.tags = span.tags.map { tag in
            var pair = Skywalking_V3_KeyStringValuePair()
            // As SkyWalking's own pages look for them.
            pair.key = ["http.url": "url", "http.status_code": "status_code"][tag.key] ?? tag.key
            pair.value = tag.value.text
            return pair
        }
        return object
    }

    private static func reference(_ caller: SkyWalkingCaller) -> Skywalking_V3_SegmentReference {
        var reference = Skywalking_V3_SegmentReference()
        reference.refType = .crossProcess
        reference.traceID = caller.traceID
        reference.parentTraceSegmentID = caller.segmentID
        reference.parentSpanID = caller.spanIndex
        reference.parentService = caller.service
        reference.parentServiceInstance = caller.instance
        reference.parentEndpoint = caller.endpoint
        reference.networkAddressUsedAtPeer = caller.address
        return reference
    }
}
