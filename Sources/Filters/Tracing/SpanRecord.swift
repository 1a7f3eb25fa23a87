internal import HTTP

/// One exchange on its way from a worker to the exporters: a head of fixed size, the tries, and texts. Lies in one
/// piece in the worker's ring.
package struct SpanRecord: BitwiseCopyable, Sendable {
    /// Of the whole record.
    package var byteCount: UInt32 = 0
    package var tryCount: UInt16 = 0
    package var textCount: UInt16 = 0
    /// One bit an exporter.
    package var exporters: UInt32 = 0
    /// 0 without a response.
    package var status: UInt16 = 0
    /// -1 where it was not gRPC.
    package var grpcStatus: Int16 = -1
    package var reason: UInt8 = 0
    package var isError = false
    package var traceHigh: UInt64 = 0
    package var traceLow: UInt64 = 0
    package var spanID: UInt64 = 0
    package var parentID: UInt64 = 0
    /// Nanoseconds since 1970.
    package var startedNs: UInt64 = 0
    package var endedNs: UInt64 = 0
    package var requestBytes: UInt64 = 0
    package var responseBytes: UInt64 = 0

    package init() {}

    /// The most that a record takes: head, tries, and texts that are cut to fit.
    static let bytesMax = 16_384
}

/// What a text of a record is. The raw values stand in the ring, which nobody outside of this process reads.
package enum SpanText: UInt8, Sendable {
    case name, requestID, clientTraceID, method, scheme, host, path, version, userAgent, downstreamCluster
    case peerAddress, upstreamCluster, route, listener, responseFlags
    /// The `sw8` that the request came with.
    case skyWalking
    /// Of a try: the texts of this kind stand in the order of the tries.
    case upstreamAddress
    /// With a key of its own.
    case custom
}

/// Writes the texts of a record behind its head.
struct SpanTextWriter {
    private(set) var out: ByteWriter
    private(set) var count: UInt16 = 0
    private let bytesMax: Int

    init(_ out: ByteWriter, bytesMax: Int) {
        self.out = out
        self.bytesMax = bytesMax
    }

    /// Leaves out what has no room.
    mutating func append(_ kind: SpanText, key: ByteSlice = .empty, _ value: ByteSlice, max: Int = 256) {
        let kept = value.prefix(max)
        guard out.count + 4 + key.count + kept.count <= bytesMax, key.count < 256 else { return }
        out.append(kind.rawValue)
        out.append(UInt8(key.count))
        out.append(UInt8(truncatingIfNeeded: kept.count))
        out.append(UInt8(truncatingIfNeeded: kept.count >> 8))
        out.append(key)
        out.append(kept)
        count += 1
    }

    mutating func append(_ kind: SpanText, utf8 text: String) {
        _ = unsafe text.utf8.withContiguousStorageIfAvailable { buffer in
            guard let start = buffer.baseAddress else { return }
            append(kind, unsafe ByteSlice(start: start, count: buffer.count))  // the string outlives the call
        }
    }
}
