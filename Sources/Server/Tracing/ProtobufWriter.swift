internal import HTTP

/// Writes messages of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/) straight from bytes, for the
/// one kind of message that there may be of each request: OTLP's spans.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    private enum Wire: UInt64 {
        case varint = 0
        case fixed64 = 1
        case length = 2
    }

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    mutating func field(_ number: UInt64, varint value: UInt64) {
        key(number, .varint)
        varint(value)
    }

    mutating func field(_ number: UInt64, fixed64 value: UInt64) {
        key(number, .fixed64)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    /// An id, the most significant byte first.
    mutating func field(_ number: UInt64, id words: UInt64...) {
        header(number, count: words.count * 8)
        for word in words {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
    }

    mutating func field(_ number: UInt64, bytes message: [UInt8]) {
        header(number, count: message.count)
        bytes += message
    }

    /// Text in UTF-8.
    mutating func field(_ number: UInt64, text: SpanString) {
        header(number, count: text.count)
        text.forEachPiece { piece in
            piece.withSpan { span in unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) } }
        }
    }

    /// A message in a message, of which the length is known.
    mutating func header(_ number: UInt64, count: Int) {
        key(number, .length)
        varint(UInt64(count))
    }

    private mutating func key(_ number: UInt64, _ wire: Wire) { varint(number << 3 | wire.rawValue) }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// What a length-delimited field of a small number takes.
    static func size(ofLength count: Int) -> Int { 1 + size(ofVarint: UInt64(count)) + count }

    static func size(ofVarint value: UInt64) -> Int { max(1, (70 - value.leadingZeroBitCount) / 7) }
}
