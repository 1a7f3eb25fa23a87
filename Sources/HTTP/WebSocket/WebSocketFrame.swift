/// What a frame holds (RFC 6455 §5.2).
package enum WebSocketOpcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    /// Control frames are short, whole, and may stand between the frames of a message.
    var isControl: Bool { rawValue >= 8 }
}

/// Why a WebSocket ends (RFC 6455 §7.4).
package struct WebSocketCloseCode: Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let normal = Self(rawValue: 1000)
    package static let goingAway = Self(rawValue: 1001)
    package static let protocolError = Self(rawValue: 1002)
    /// Text that is not UTF-8.
    package static let invalidData = Self(rawValue: 1007)
    package static let messageTooBig = Self(rawValue: 1009)

    /// Whether a peer may send it: not those that stand for events without a frame, nor those that nobody has
    /// defined.
    var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension ByteWriter {
    /// The longest header of a frame from a server.
    package static var webSocketHeaderBytesMax: Int { 10 }

    /// Appends the header of a frame from a server, which is never masked (RFC 6455 §5.1).
    package mutating func appendWebSocketHeader(_ opcode: WebSocketOpcode, isFinal: Bool, byteCount: Int) {
        append((isFinal ? 0x80 : 0) | opcode.rawValue)
        let lengthBytes: Int
        if byteCount < 126 {
            append(UInt8(byteCount))
            lengthBytes = 0
        } else {
            lengthBytes = byteCount <= 0xFFFF ? 2 : 8
            append(lengthBytes == 2 ? 126 : 127)
        }
        for index in stride(from: lengthBytes - 1, through: 0, by: -1) {
            append(UInt8(truncatingIfNeeded: byteCount >> (8 * index)))
        }
    }

    /// Appends bytes with a client's mask taken off (RFC 6455 §5.3), or put on, which is the same.
    ///
    /// - Parameter mask: its first byte, for the first of `bytes`, highest.
    package mutating func append(_ bytes: ByteSlice, unmaskedBy mask: UInt32) {
        var mask = mask
        for index in 0..<bytes.count {
            mask = mask << 8 | mask >> 24
            append(bytes[index] ^ UInt8(truncatingIfNeeded: mask))
        }
    }
}
