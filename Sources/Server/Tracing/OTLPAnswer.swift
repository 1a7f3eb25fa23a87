internal import HTTP
internal import SwiftProtobuf
internal import TracingProtocols

/// What an OTLP backend says of spans that it took: `ExportTraceServiceResponse`, over HTTP as it is, over gRPC in its
/// frame. https://opentelemetry.io/docs/specs/otlp/#partial-success
struct OTLPAnswer {
    /// An answer is a number and a sentence. A longer one is not kept, and says nothing.
    private static let bytesMax = 64 << 10
    private static let frameBytes = 5

    private let isGRPC: Bool
    private var isRead = false
    private var bytes: [UInt8] = []

    init(isGRPC: Bool) { self.isGRPC = isGRPC }

    mutating func begin() {
        isRead = false
        bytes.removeAll(keepingCapacity: true)
    }

    mutating func read(_ head: borrowing ResponseHead) {
        isRead = head.status.codeClass == 2 && (isGRPC || Self.isProtobuf(head.headers[.contentType]))
    }

    mutating func append(_ body: RawSpan) {
        guard isRead else { return }
        guard bytes.count + body.byteCount <= Self.bytesMax else { return begin() }
        unsafe body.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    }

    /// Spans that the backend did not take and does not want again; 0 as well when the answer is malformed.
    var rejectedSpans: Int {
        guard let message,
            let answer = try? Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceResponse(
                serializedBytes: message)
        else { return 0 }
        return max(0, Int(answer.partialSuccess.rejectedSpans))
    }

    /// Nil when there is none, or it is compressed, which nobody offered.
    private var message: [UInt8]? {
        guard isGRPC else { return bytes }
        guard bytes.count >= Self.frameBytes, bytes[0] == 0 else { return nil }
        let length = bytes[1..<Self.frameBytes].reduce(0) { $0 << 8 | Int($1) }
        return length == bytes.count - Self.frameBytes ? Array(bytes[Self.frameBytes...]) : nil
    }

    /// Parameters may follow.
    private static func isProtobuf(_ contentType: ByteSlice?) -> Bool {
        let wanted = ByteSlice("application/x-protobuf")
        guard let contentType, contentType.count >= wanted.count else { return false }
        return contentType[0..<wanted.count].equalsIgnoringCase(wanted)
    }
}
