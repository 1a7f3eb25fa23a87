internal import Filters
internal import HTTP
internal import SwiftProtobuf
internal import TracingProtocols

/// OTLP (https://opentelemetry.io/docs/specs/otlp/): `ExportTraceServiceRequest`, over HTTP as it is, over gRPC with five
/// bytes before it.
///
/// With every request traced this is where the CPU time of tracing goes, and the message of one span is dozens of
/// objects. So the library is asked for each part of a span by itself, and what it made is used again where the part
/// comes again: as it is, or with the ids, times and texts in it that are this span's. Parts of a message in a row are
/// the message, and a message of one field ends with the field's value
/// (https://protobuf.dev/programming-guides/encoding/).
final class OTLPEncoder: SpanEncoder {
    private typealias Message = Opentelemetry_Proto_Trace_V1_Span

    let contentType: String
    private let isGRPC: Bool
    private var nesting: OTLPNesting
    private let serverFrame = OTLPSpanFrame(.server)
    private let clientFrame = OTLPSpanFrame(.client)
    private let parentField = OTLPSpanFrame.parentField
    private let fields = OTLPTextFields()
    private let parts = SpanPartCache()
    /// The span that is put together.
    private let span = SpanBytes()
    private let key = SpanBytes()
    /// The spans since the last request, one after the other.
    private var bytes: [UInt8] = []
    private(set) var count = 0

    init(_ source: SpanSource, isGRPC: Bool) {
        self.isGRPC = isGRPC
        contentType = isGRPC ? "application/grpc" : "application/x-protobuf"
        var resource = Opentelemetry_Proto_Resource_V1_Resource()
        resource.attributes = Self.attributes([
            ("service.name", .text(source.serviceName)), ("service.instance.id", .text(source.nodeID)),
        ])
        var scope = Opentelemetry_Proto_Common_V1_InstrumentationScope()
        scope.name = "ringway"
        scope.version = RingwayVersion.current
        nesting = OTLPNesting(resource: resource, scope: scope)
    }

    var byteCount: Int { bytes.count }

    func append(_ view: SpanView) -> Int {
        let before = count
        appendServer(view)
        if view.record.tryCount > 0 { appendTries(view) }
        return count - before
    }

    func finish() -> EncodedSpans {
        let body = bytes
        bytes = []
        // As much as the last time, so that the next spans are not moved while they come.
        bytes.reserveCapacity(body.count)
        count = 0
        let start = nesting.start(spansCount: body.count)
        let prefix = isGRPC ? GRPCFrame.prefix(count: start.count + body.count) : []
        return EncodedSpans(prefix: prefix + start, body: body)
    }

    // MARK: Spans

    private func appendServer(_ view: SpanView) {
        let record = view.record
        span.removeAll()
        serverFrame.append(
            traceHigh: record.traceHigh, traceLow: record.traceLow, id: record.spanID, startedNs: record.startedNs,
            endedNs: record.endedNs, to: span)
        if record.parentID != 0 { append(parent: record.parentID) }
        let way = view[.way]
        parts.append(.way, way, to: span) { Self.part(SpanTags.way(SpanTexts([way]))) }
        appendClient(view[.client])
        appendTarget(view[.target])
        appendOwn(view[.own])
        cached(.requestSize, record.requestBytes) { Self.part([SpanTags.requestSize(record.requestBytes)]) }
        cached(.responseSize, record.responseBytes) { Self.part([SpanTags.responseSize(record.responseBytes)]) }
        let result =
            UInt64(record.status) | UInt64(UInt16(bitPattern: record.grpcStatus)) &<< 16
            | UInt64(record.reason) &<< 32 | (record.isError ? 1 &<< 40 : 0)
        cached(.result, result) { Self.part(SpanTags.result(record), isError: record.isError) }
        spanEnds()
    }

    private func appendClient(_ group: ByteSlice) {
        var hasCluster = false
        SpanView.forEachText(in: group) { kind, _, value in
            switch kind {
            case .peerAddress: append(.peerAddress, value)
            case .userAgent: append(.userAgent, value)
            case .downstreamCluster:
                append(.downstreamCluster, value)
                hasCluster = true
            default: break
            }
        }
        if !hasCluster { append(.downstreamCluster, ByteSlice("-")) }
    }

    private func appendTarget(_ group: ByteSlice) {
        var name = ByteSlice.empty
        var scheme = ByteSlice("http")
        var host: ByteSlice?
        var path = ByteSlice.empty
        SpanView.forEachText(in: group) { kind, _, value in
            switch kind {
            case .name: name = value
            case .scheme: scheme = value
            case .host: host = value
            case .path: path = value
            default: break
            }
        }
        append(.name, name.isEmpty ? ByteSlice(SpanTags.nameOfNone) : name)
        guard let host else { return }
        let slashes = ByteSlice("://")
        let urlCount = scheme.count + slashes.count + host.count + path.count
        guard urlCount <= OTLPTextFields.textMax, scheme.isASCII, host.isASCII, path.isASCII else {
            return span.append(Self.part(SpanTags.target(SpanTexts([group]))))
        }
        fields.appendStart(of: .url, textCount: urlCount, to: span) { Self.part(.url, $0) }
        span.append(scheme)
        span.append(slashes)
        span.append(host)
        span.append(path)
    }

    private func appendOwn(_ group: ByteSlice) {
        SpanView.forEachText(in: group) { kind, key, value in
            switch kind {
            case .requestID: append(.requestID, value)
            case .clientTraceID: append(.clientTraceID, value)
            case .custom: span.append(Self.part([(key.text, .text(value.text))]))
            default: break
            }
        }
    }

    private func appendTries(_ view: SpanView) {
        let way = view[.way]
        let tries = view.tries
        for (index, attempt) in tries.enumerated() {
            span.removeAll()
            clientFrame.append(
                traceHigh: view.record.traceHigh, traceLow: view.record.traceLow, id: attempt.spanID,
                startedNs: attempt.startedNs, endedNs: max(attempt.endedNs, attempt.startedNs), to: span)
            append(parent: view.record.spanID)
            let isLast = index == tries.count - 1
            let number =
                UInt64(attempt.status) | UInt64(index) &<< 16 | (attempt.failed ? 1 &<< 32 : 0)
                | (isLast ? 1 &<< 33 : 0)
            key.removeAll()
            unsafe withUnsafeBytes(of: number) { unsafe key.append($0) }
            key.append(way)
            key.withSlice { key in
                parts.append(.attempt, key, to: span) {
                    let texts = SpanTexts([way])
                    let address = index < texts.addresses.count ? texts.addresses[index] : ""
                    return Self.part(
                        SpanTags.attempt(attempt, index, address: address, texts),
                        name: SpanTags.name(ofTryIn: texts, isLast: isLast), isError: attempt.isError)
                }
            }
            spanEnds()
        }
    }

    /// The span is whole.
    private func spanEnds() {
        nesting.appendSpanStart(count: span.count, to: &bytes)
        unsafe span.withBytes { unsafe bytes.append(contentsOf: $0) }
        count += 1
    }

    private func append(parent id: UInt64) {
        span.append(parentField)
        span.replace(before: span.count, with: id.byteSwapped)
    }

    /// Whatever is not plain and short is encoded for each.
    private func append(_ field: OTLPTextFields.Field, _ text: ByteSlice) {
        guard text.count <= OTLPTextFields.textMax, text.isASCII else {
            return span.append(Self.part(field, text.text))
        }
        fields.appendStart(of: field, textCount: text.count, to: span) { Self.part(field, $0) }
        span.append(text)
    }

    private func cached(_ kind: SpanPartCache.Kind, _ number: UInt64, make: () -> [UInt8]) {
        unsafe withUnsafeBytes(of: number) { bytes in
            guard let start = bytes.baseAddress else { return }
            let key = unsafe ByteSlice(start: start, count: bytes.count)  // there during the call
            parts.append(kind, key, to: span, make: make)
        }
    }

    // MARK: Parts, by the library

    private static func part(_ field: OTLPTextFields.Field, _ text: String) -> [UInt8] {
        guard let key = field.key else { return part([], name: text) }
        return part([(key, .text(text))])
    }

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
    /// What stands before a message of `count` bytes that is not compressed.
    static func prefix(count: Int) -> [UInt8] {
        [0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - $0 * 8)) }
    }
}
