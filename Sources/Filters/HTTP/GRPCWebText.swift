internal import HTTP

/// Base64 as gRPC-Web text streams have it: one or more pieces behind each other, each padded where it ends, cut anywhere
/// on the way (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
///
/// What of a group of four characters has come is kept in one word, so that a filter can keep it in the stream.
struct GRPCWebTextDecoder: Equatable {
    /// Six bits for each character of the group, the first ones highest.
    private var bits: UInt32 = 0
    /// Characters of the group, 0 to 3, and how many of them are padding.
    private var count: UInt32 = 0
    private var padding: UInt32 = 0

    init() {}

    init(word: UInt32) {
        bits = word & 0xFF_FFFF
        count = word >> 24 & 3
        padding = word >> 26 & 3
    }

    var word: UInt32 { bits | count << 24 | padding << 26 }

    /// Between two groups, where a stream may end.
    var isComplete: Bool { count == 0 }

    /// Bytes that `count` more characters stand for at most.
    static func decodedMax(_ count: Int) -> Int { (count + 3) / 4 * 3 }

    /// - Parameter writer: with room for `decodedMax`
    /// - Returns: false when `text` is not base64; some bytes may have been written then
    mutating func decode(_ text: ByteSlice, into writer: inout ByteWriter) -> Bool {
        for index in 0..<text.count {
            guard take(text[index], &writer) else { return false }
        }
        return true
    }

    private mutating func take(_ character: UInt8, _ writer: inout ByteWriter) -> Bool {
        if character == UInt8(ascii: "=") {
            guard count >= 2 else { return false }
            padding += 1
            bits <<= 6
        } else {
            guard padding == 0, let value = Base64.value(of: character) else { return false }
            bits = bits << 6 | UInt32(value)
        }
        count += 1
        guard count == 4 else { return true }
        // What padding stands for must be zero: otherwise two texts would mean the same.
        guard bits & (1 << (8 * padding) - 1) == 0 else { return false }
        for shift in [UInt32(16), 8, 0].prefix(3 - Int(padding)) {
            writer.append(UInt8(truncatingIfNeeded: bits >> shift))
        }
        self = GRPCWebTextDecoder()
        return true
    }
}

enum GRPCWebText {
    /// Characters that stand for `count` bytes.
    static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    /// Hands on `bytes` as one padded piece, character by character, so that a client can read all of it at once.
    @inline(__always)
    static func encode(_ bytes: ByteSlice, _ emit: (UInt8) -> Void) {
        var index = 0
        while index < bytes.count {
            let left = min(bytes.count - index, 3)
            var group = UInt32(bytes[index]) << 16
            if left > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if left > 2 { group |= UInt32(bytes[index + 2]) }
            for position in 0..<4 {
                let value = UInt8(truncatingIfNeeded: group >> UInt32(18 - 6 * position)) & 63
                emit(position <= left ? character(value) : UInt8(ascii: "="))
            }
            index += 3
        }
    }

    private static func character(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: value + UInt8(ascii: "A")
        case 26..<52: value - 26 + UInt8(ascii: "a")
        case 52..<62: value - 52 + UInt8(ascii: "0")
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }
}
