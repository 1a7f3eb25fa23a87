internal import Filters
internal import FoundationEssentials
internal import HTTP
internal import SwiftProtobuf
internal import TracingProtocols

/// OTLP (https://opentelemetry.io/docs/specs/otlp/): `ExportTraceServiceRequest`, over HTTP as it is, over gRPC with five
/// bytes before it.
///
/// With every request traced this is where the CPU time of tracing goes, and the message of one span is dozens of
/// objects. So the library is asked for each part of a span by itself, and what it made is used again where the part
/// comes again. Parts of a message in a row are the message, and a message of one field ends with the field's value
/// (https://protobuf.dev/programming-guides/encoding/), which is where ids and times are put in.
final class OTLPEncoder: SpanEncoder {
    private typealias Message = Opentelemetry_Proto_Trace_V1_Span

    let contentType: String
    private let isGRPC: Bool
    private let resource: Data
    private let scope: Data
    private let serverFrame = OTLPSpanFrame(.server)
    private let clientFrame = OTLPSpanFrame(.client)
    private let parentField = OTLPSpanFrame.parentField
    private let requestIDField: [UInt8]
    private let parts = SpanPartCache()
    /// The spans since the last request, one after the other, and where each ends.
    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private var key: [UInt8] = []

    private static let requestIDBytes = 36

    init(_ source: SpanSource, isGRPC: Bool) {
        self.isGRPC = isGRPC
        contentType = isGRPC ? "application/grpc" : "application/x-protobuf"
        var resource = Opentelemetry_Proto_Resource_V1_Resource()
        resource.attributes = Self.attributes([
            ("service.name", .text(source.serviceName)), ("service.instance.id", .text(source.nodeID)),
        ])
        self.resource = Data(encoded(resource))
        var scope = Opentelemetry_Proto_Common_V1_InstrumentationScope()
        scope.name = "ringway"
        scope.version = RingwayVersion.current
        self.scope = Data(encoded(scope))
        requestIDField = Self.part([
            ("guid:x-request-id", .text(String(repeating: "0", count: Self.requestIDBytes)))
        ])
    }

    var count: Int { ends.count }
    var byteCount: Int { bytes.count }

    func append(_ view: SpanView) -> Int {
        let before = count
        appendServer(view)
        if view.record.tryCount > 0 { appendTries(view) }
        return count - before
    }

    func finish() -> EncodedSpans {
        let all = Data(bytes)
        var scopeSpans = Ringway_Tracing_EncodedScopeSpans()
        scopeSpans.scope = scope
        scopeSpans.spans.reserveCapacity(ends.count)
        var start = 0
        for end in ends {
            scopeSpans.spans.append(all[start..<end])
            start = end
        }
        var resourceSpans = Ringway_Tracing_EncodedResourceSpans()
        resourceSpans.resource = resource
        resourceSpans.scopeSpans = [scopeSpans]
        var request = Ringway_Tracing_EncodedTraces()
        request.resourceSpans = [resourceSpans]
        bytes.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        let body = encoded(request)
        return EncodedSpans(prefix: isGRPC ? GRPCFrame.prefix(of: body) : [], body: body)
    }

    // MARK: Spans

    private func appendServer(_ view: SpanView) {
        let record = view.record
        serverFrame.append(
            traceHigh: record.traceHigh, traceLow: record.traceLow, id: record.spanID, startedNs: record.startedNs,
            endedNs: record.endedNs, to: &bytes)
        if record.parentID != 0 { append(parent: record.parentID) }
        let way = view[.way]
        let client = view[.client]
        let target = view[.target]
        parts.append(.way, way, to: &bytes) { Self.part(SpanTags.way(SpanTexts([way]))) }
        parts.append(.client, client, to: &bytes) { Self.part(SpanTags.client(SpanTexts([client]))) }
        parts.append(.target, target, to: &bytes) {
            let texts = SpanTexts([target])
            return Self.part(SpanTags.target(texts), name: SpanTags.name(texts))
        }
        appendOwn(view[.own])
        number(record.requestBytes)
        cached(.requestSize) { Self.part([SpanTags.requestSize(record.requestBytes)]) }
        number(record.responseBytes)
        cached(.responseSize) { Self.part([SpanTags.responseSize(record.responseBytes)]) }
        number(
            UInt64(record.status) | UInt64(UInt16(bitPattern: record.grpcStatus)) &<< 16
                | UInt64(record.reason) &<< 32 | (record.isError ? 1 &<< 40 : 0))
        cached(.result) { Self.part(SpanTags.result(record), isError: record.isError) }
        ends.append(bytes.count)
    }

    /// What no other span has is encoded for each, but for the id of a request in its usual form.
    private func appendOwn(_ own: ByteSlice) {
        var rest: [Opentelemetry_Proto_Common_V1_KeyValue] = []
        SpanView.forEachText(in: own) { kind, key, value in
            switch kind {
            case .requestID where value.count == Self.requestIDBytes && value.isASCII:
                bytes += requestIDField
                bytes.replaceEnd(with: value)
            case .requestID: rest.append(Self.attribute("guid:x-request-id", .text(value.text)))
            case .clientTraceID: rest.append(Self.attribute("guid:x-client-trace-id", .text(value.text)))
            case .custom: rest.append(Self.attribute(key.text, .text(value.text)))
            default: break
            }
        }
        guard !rest.isEmpty else { return }
        var message = Message()
        message.attributes = rest
        bytes += encoded(message)
    }

    private func appendTries(_ view: SpanView) {
        let way = SpanTexts([view[.way]])
        let tries = view.tries
        for (index, attempt) in tries.enumerated() {
            clientFrame.append(
                traceHigh: view.record.traceHigh, traceLow: view.record.traceLow, id: attempt.spanID,
                startedNs: attempt.startedNs, endedNs: max(attempt.endedNs, attempt.startedNs), to: &bytes)
            append(parent: view.record.spanID)
            let address = index < way.addresses.count ? way.addresses[index] : ""
            number(UInt64(attempt.status) | UInt64(index) &<< 16 | (attempt.failed ? 1 &<< 32 : 0))
            let name = SpanTags.name(ofTryIn: way, isLast: index == tries.count - 1)
            ByteSlice.withBytes(of: "\(way[.upstreamCluster] ?? "-") \(address) \(name)") { key.append($0) }
            cached(.attempt) {
                Self.part(
                    SpanTags.attempt(attempt, index, address: address, way), name: name, isError: attempt.isError)
            }
            ends.append(bytes.count)
        }
    }

    private func append(parent id: UInt64) {
        bytes += parentField
        bytes.replaceEnd(with: id.bigEndian)
    }

    /// Begins a key with a number.
    private func number(_ value: UInt64) {
        key.removeAll(keepingCapacity: true)
        unsafe withUnsafeBytes(of: value) { unsafe key.append(contentsOf: $0) }
    }

    private func cached(_ kind: SpanPartCache.Kind, make: () -> [UInt8]) {
        ByteSlice.withBytes(of: key) { parts.append(kind, $0, to: &bytes, make: make) }
    }

    // MARK: Parts, by the library

    private static func part(_ tags: [SpanTags.Tag], name: String = "", isError: Bool = false) -> [UInt8] {
        var message = Message()
        message.name = name
        message.attributes = attributes(tags)
        if isError { message.status.code = .error }
        return encoded(message)
    }

    private static func attributes(_ tags: [SpanTags.Tag]) -> [Opentelemetry_Proto_Common_V1_KeyValue] {
        tags.map { attribute($0.key, $0.value) }
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
    /// What stands before a message that is not compressed.
    static func prefix(of body: [UInt8]) -> [UInt8] {
        [0] + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - $0 * 8)) }
    }
}
