internal import HTTP

/// One exchange on its way from a worker to the exporters: a head of fixed size, the tries, and texts, group by group.
/// Lies in one piece in the worker's ring.
package struct SpanRecord: BitwiseCopyable, Sendable {
    /// Of the whole record.
    package var byteCount: UInt32 = 0
    package var tryCount: UInt16 = 0
    /// 0 without a response.
    package var status: UInt16 = 0
    /// One bit an exporter.
    package var exporters: UInt32 = 0
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

    /// Bytes of each group of texts.
    package var groupBytes: [4 of UInt16] = [0, 0, 0, 0]

    package init() {}

    /// The most that a record takes: head, tries, and texts that are cut to fit.
    static let bytesMax = 16_384
}

/// What a text of a record is. The raw values stand in the ring, which nobody outside of this process reads.
package enum SpanText: UInt8, Sendable, CaseIterable {
    case name, requestID, clientTraceID, method, scheme, host, path, version, userAgent, downstreamCluster
    case peerAddress, upstreamCluster, route, listener, responseFlags
    /// What the endpoint that answered calls what it did.
    case tryName
    /// The `sw8` that the request came with.
    case skyWalking
    /// Of a try: the texts of this kind stand in the order of the tries.
    case upstreamAddress
    /// With a key of its own.
    case custom
}

/// Texts that stand together because they are likely to come again together, byte for byte: an exporter can keep what it
/// made of them. In this order, all of them in every record.
package enum SpanTextGroup: Int, Sendable, CaseIterable {
    /// Where the exchange went: listener, route, cluster, endpoints, flags, method and version.
    case way
    /// Who asked: address, agent and cluster.
    case client
    /// What for: name, scheme, host and path.
    case target
    /// Ids, and what the configuration adds.
    case own
}

/// Writes the texts of a record behind its head.
@safe
struct SpanTextWriter {
    private(set) var out: ByteWriter
    private(set) var groupBytes: [4 of UInt16] = [0, 0, 0, 0]
    private var groupStart = 0
    private let bytesMax: Int

    private let start: UnsafeMutableRawPointer

    /// Writes to the `bytesMax` bytes at `start`, which the caller keeps to itself while it writes.
    @unsafe
    init(start: UnsafeMutableRawPointer, bytesMax: Int) {
        unsafe self.start = start
        unsafe out = ByteWriter(start: start, capacity: bytesMax)
        self.bytesMax = bytesMax
    }

    /// What was appended since the last group ended.
    var openGroup: ByteSlice {
        // Nothing is appended that has no room.
        unsafe ByteSlice(start: start + groupStart, count: out.count - groupStart)
    }

    /// Texts that another writer has written.
    mutating func append(group: ByteSlice) {
        guard out.count + group.count <= bytesMax else { return }
        out.append(group)
    }

    /// What was appended since the last group makes up this one.
    mutating func end(_ group: SpanTextGroup) {
        groupBytes[group.rawValue] = UInt16(out.count - groupStart)
        groupStart = out.count
    }

    /// Leaves out what has no room.
    mutating func append(_ kind: SpanText, key: ByteSlice = .empty, _ value: ByteSlice, max: Int = 256) {
        let kept = value.prefix(max)
        guard out.count + 4 + key.count + kept.count <= bytesMax, key.count < 256 else { return }
        out.append(text: UInt64(kind.rawValue) | UInt64(key.count) &<< 8 | UInt64(kept.count) &<< 16, count: 4)
        if !key.isEmpty { out.append(key) }
        out.append(kept)
    }
}
