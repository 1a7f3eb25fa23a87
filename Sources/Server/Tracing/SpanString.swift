internal import HTTP

/// Text of a span: bytes where the worker left them, good only as long as they are read there. Exporters that need a
/// `String` make one; the others copy the bytes.
enum SpanString {
    case bytes(ByteSlice)
    case url(scheme: ByteSlice, host: ByteSlice, path: ByteSlice)
    /// The name of a try's span.
    case egress(cluster: ByteSlice)
    /// A copy, where bytes had to be changed.
    case copy([UInt8])

    init(_ text: StaticString) { self = .bytes(ByteSlice(text)) }

    /// A copy. What is not UTF-8 is repaired.
    var text: String {
        var all: [UInt8] = []
        forEachPiece { piece in
            piece.withSpan { span in unsafe span.withUnsafeBytes { unsafe all.append(contentsOf: $0) } }
        }
        return String(decoding: all, as: UTF8.self)
    }

    var isEmpty: Bool { count == 0 }

    var count: Int {
        var count = 0
        forEachPiece { count += $0.count }
        return count
    }

    @inline(__always)
    func forEachPiece(_ body: (ByteSlice) -> Void) {
        switch self {
        case .bytes(let bytes): body(bytes)
        case .url(let scheme, let host, let path):
            body(scheme)
            body(ByteSlice("://"))
            body(host)
            body(path)
        case .egress(let cluster):
            body(ByteSlice("router "))
            body(cluster)
            body(ByteSlice(" egress"))
        case .copy(let bytes): ByteSlice.withBytes(of: bytes) { body($0) }
        }
    }

    /// The same in UTF-8: what is not is repaired.
    var utf8: SpanString {
        var isASCII = true
        forEachPiece { piece in
            for index in 0..<piece.count where piece[index] >= 0x80 { isASCII = false }
        }
        return isASCII ? self : .copy(Array(text.utf8))
    }
}
