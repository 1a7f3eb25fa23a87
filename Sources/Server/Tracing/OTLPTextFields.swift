internal import HTTP

/// What stands before a text that no other span may have, such as an address or a path: its key and its lengths, as the
/// library writes them for a text of so many bytes. The text comes last in its field, so it is appended as it is.
@safe
final class OTLPTextFields {
    enum Field: Int, CaseIterable {
        /// The span's own.
        case name
        case url, peerAddress, userAgent, downstreamCluster, requestID, clientTraceID

        /// The tag's; nil for what is a field of the span.
        var key: String? {
            switch self {
            case .name: nil
            case .url: "http.url"
            case .peerAddress: "peer.address"
            case .userAgent: "user_agent"
            case .downstreamCluster: "downstream_cluster"
            case .requestID: "guid:x-request-id"
            case .clientTraceID: "guid:x-client-trace-id"
            }
        }
    }

    /// Bytes of the longest text that has a place here.
    static let textMax = 511
    private static let placeBytes = 64
    private static let placeCount = Field.allCases.count * (textMax + 1)

    /// Bytes that stand before a text, plus one; 0 for what was not asked for yet.
    private var counts = [UInt8](repeating: 0, count: placeCount)
    /// 224 KiB at most; pages get memory when they are first written.
    private let places: UnsafeMutableRawPointer

    init() { unsafe places = .allocate(byteCount: Self.placeCount * Self.placeBytes, alignment: 64) }

    deinit { unsafe places.deallocate() }

    /// Appends what stands before a text of `textCount` bytes, at most `textMax`.
    ///
    /// - Parameter make: gives the whole field with the text that it gets
    func appendStart(of field: Field, textCount: Int, to span: SpanBytes, make: (String) -> [UInt8]) {
        precondition(textCount <= Self.textMax, "longer texts have no place")
        let index = field.rawValue &* (Self.textMax &+ 1) &+ textCount
        let place = unsafe places + index &* Self.placeBytes
        if counts[index] == 0 {
            let start = make(String(repeating: "0", count: textCount)).dropLast(textCount)
            precondition(start.count < Self.placeBytes, "keys and lengths are short")
            unsafe start.withUnsafeBytes { source in
                if let base = source.baseAddress { unsafe place.copyMemory(from: base, byteCount: source.count) }
            }
            counts[index] = UInt8(start.count + 1)
        }
        unsafe span.append(UnsafeRawBufferPointer(start: place, count: Int(counts[index]) &- 1))
    }
}
