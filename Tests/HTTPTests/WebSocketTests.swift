import Testing

@testable import HTTP

@Suite struct WebSocketHandshakeTests {
    static let request = """
        GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n
        """

    @Test func acceptsTheHandshakeOfTheRFC() {
        #expect(judged(Self.request) == .accepted(key: Array("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".utf8)))
        let many = Self.request.replacing("Upgrade: websocket", with: "Upgrade: h3, WebSocket")
        #expect(judged(many) == .accepted(key: Array("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".utf8)))
    }

    @Test(arguments: [
        ("Upgrade: websocket\r\n", ""), ("Connection: Upgrade", "Connection: close"), ("Version: 13", "Version: 8"),
        ("Upgrade: websocket", "Upgrade: h3"), ("Sec-WebSocket-Version: 13\r\n", ""),
    ])
    func asksForAnUpgrade(part: String, instead: String) {
        #expect(judged(Self.request.replacing(part, with: instead)) == .upgradeRequired)
    }

    @Test(arguments: [
        ("GET", "POST"), ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), ("ZQ==", "ZQ="), ("ZQ==", "ZQQQ"),
        ("dGhl", "d hl"), ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version"),
        ("Host: a", "Host: a\r\nContent-Length: 1"),
    ])
    func refusesWhatIsMalformed(part: String, instead: String) {
        #expect(judged(Self.request.replacing(part, with: instead)) == .malformed)
    }

    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (String(repeating: "a", count: 1000), "291e9a6c66994949b57ba5e650361e98fc36b1ba"),
    ])
    func computesSHA1(text: String, digest: String) {
        let hex = SHA1.digest(Array(text.utf8)).map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        #expect(hex.joined() == digest)
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ])
    func encodesBase64(text: String, encoded: String) {
        #expect(WebSocketHandshake.base64(Array(text.utf8)) == Array(encoded.utf8))
    }

    private func judged(_ text: String) -> WebSocketHandshake.Outcome {
        var head = RequestHead(headersMax: 20)
        var parser = HTTP1RequestParser()
        return ByteSlice.withBytes(of: Array(text.utf8)) { bytes in
            guard case .complete = parser.parse(bytes, limits: HTTP1Limits(), into: &head) else { return .malformed }
            return WebSocketHandshake.judge(head)
        }
    }
}

@Suite struct WebSocketReaderTests {
    /// What a reader makes of frames: messages in full, and everything else as it comes.
    enum Event: Equatable {
        case text(String), binary([UInt8]), ping([UInt8]), pong, close(UInt16?), failed(UInt16)
    }

    static let euro: [UInt8] = [0xE2, 0x82, 0xAC]
    static let accepted: [([UInt8], [Event])] = [
        (frame(1, "Hello"), [.text("Hello")]),
        (frame(1, ""), [.text("")]),
        (frame(2, [0, 255]), [.binary([0, 255])]),
        (frame(2, Array(repeating: 7, count: 125)), [.binary(Array(repeating: 7, count: 125))]),
        (frame(2, Array(repeating: 7, count: 126)), [.binary(Array(repeating: 7, count: 126))]),
        (frame(2, Array(repeating: 7, count: 1000)), [.binary(Array(repeating: 7, count: 1000))]),
        (frame(1, "Hel", isFinal: false) + frame(0, "lo"), [.text("Hello")]),
        (frame(1, "", isFinal: false) + frame(0, "", isFinal: false) + frame(0, "lo"), [.text("lo")]),
        (frame(1, "lo", isFinal: false) + frame(0, ""), [.text("lo")]),
        // A control frame between the frames of a message, and a character over two of them.
        (frame(1, [0xE2], isFinal: false) + frame(9, "p") + frame(0, [0x82, 0xAC]), [.ping([0x70]), .text("€")]),
        (frame(1, euro + [0xF0, 0x9F, 0x98, 0x80, 0xED, 0x9F, 0xBF, 0xC2, 0x80]), [.text("€😀\u{D7FF}\u{80}")]),
        (
            frame(9, "") + frame(10, "x") + frame(9, Array(repeating: 1, count: 125)),
            [.ping([]), .pong, .ping(Array(repeating: 1, count: 125))]
        ),
        (frame(8, ""), [.close(nil)]),
        (frame(8, [0x03, 0xE8] + Array("bye €".utf8)), [.close(1000)]),
        (frame(8, [0x0F, 0xA0]), [.close(4000)]),
    ]

    static let refused: [([UInt8], UInt16)] = [
        ([0x81, 0x05] + Array("Hello".utf8), 1002),  // not masked
        ([0xC1], 1002), ([0xA1], 1002), ([0x91], 1002),  // reserved bits
        ([0x83], 1002), ([0x87], 1002), ([0x8B], 1002), ([0x8F], 1002),  // reserved opcodes
        ([0x09], 1002), ([0x08], 1002),  // control frames in fragments
        ([0x89, 0xFE], 1002), ([0x88, 0xFF], 1002),  // longer than 125 bytes
        (frame(0, "x"), 1002),  // continues nothing
        (frame(1, "x", isFinal: false) + frame(1, "y"), 1002),  // a message within a message
        (frame(1, "x", isFinal: false) + frame(0, "y") + frame(0, "z"), 1002),
        ([0x82, 0xFE, 0, 125], 1002), ([0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 1002),  // lengths too long
        ([0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),  // 64 bits
        ([0x82, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0], 1009), ([0x82, 0xFE, 0x07, 0xD1], 1009),  // beyond the limit
        (frame(2, Array(repeating: 0, count: 1500), isFinal: false) + frame(0, Array(repeating: 0, count: 501)), 1009),
        (frame(1, [0xFF]), 1007), (frame(1, [0x80]), 1007), (frame(1, [0xC0, 0x80]), 1007),
        (frame(1, [0xE0, 0x80, 0x80]), 1007), (frame(1, [0xED, 0xA0, 0x80]), 1007),
        (frame(1, [0xF0, 0x80, 0x80, 0x80]), 1007), (frame(1, [0xF4, 0x90, 0x80, 0x80]), 1007),
        (frame(1, [0xF5]), 1007), (frame(1, [0xE2, 0x82]), 1007), (frame(1, [0xE2, 0x28, 0xA1]), 1007),
        (frame(8, [0x03]), 1002), (frame(8, [0x03, 0xED]), 1002), (frame(8, [0, 0]), 1002),  // 1005
        (frame(8, [0x03, 0xE7]), 1002), (frame(8, [0x07, 0xD0]), 1002), (frame(8, [0x13, 0x88]), 1002),
        (frame(8, [0x03, 0xE8, 0xFF]), 1007), (frame(8, [0x03, 0xE8, 0xE2]), 1007),
    ]

    @Test(arguments: accepted) func readsFrames(bytes: [UInt8], events: [Event]) {
        for pieceBytes in [bytes.count, 1, 2, 3, 7] {
            #expect(read(bytes, in: pieceBytes) == events, "in pieces of \(pieceBytes)")
        }
    }

    @Test(arguments: refused) func refusesFrames(bytes: [UInt8], code: UInt16) {
        for pieceBytes in [bytes.count, 1, 2, 3, 7] {
            #expect(read(bytes, in: pieceBytes).last == .failed(code), "in pieces of \(pieceBytes)")
        }
    }

    @Test func isNotReadToTheEndBeforeAllIsThere() {
        for (bytes, events) in Self.accepted {
            for length in 0..<bytes.count {
                #expect(read(Array(bytes[..<length]), in: 1).count < max(events.count, 1) + 1)
                #expect(!read(Array(bytes[..<length]), in: 1).contains { if case .failed = $0 { true } else { false } })
            }
        }
    }

    @Test(arguments: [
        (0, [0x82, 0]), (125, [0x82, 125]), (126, [0x82, 126, 0, 126]), (65_535, [0x82, 126, 255, 255]),
        (65_536, [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ])
    func writesHeaders(byteCount: Int, header: [UInt8]) {
        #expect(wrote { $0.appendWebSocketHeader(.binary, isFinal: true, byteCount: byteCount) } == header)
        #expect(wrote { $0.appendWebSocketHeader(.binary, isFinal: false, byteCount: byteCount) }[0] == 2)
    }

    private func read(_ bytes: [UInt8], in pieceBytes: Int) -> [Event] {
        var reader = WebSocketReader(messageBytesMax: 2000)
        var events: [Event] = []
        var message: [UInt8] = []
        var isText = false
        for start in stride(from: 0, to: bytes.count, by: max(pieceBytes, 1)) {
            let piece = Array(bytes[start..<min(start + pieceBytes, bytes.count)])
            var position = 0
            reading: while true {
                let step = ByteSlice.withBytes(of: piece) { reader.next($0, at: &position) }
                switch step {
                case .data(let data):
                    if data.opcode != .continuation {
                        message = []
                        isText = data.opcode == .text
                    }
                    message += wrote { writer in
                        ByteSlice.withBytes(of: piece) { writer.append($0[data.range], unmaskedBy: data.mask) }
                    }
                    if data.isLast {
                        events.append(isText ? .text(String(decoding: message, as: UTF8.self)) : .binary(message))
                    }
                case .ping(let payload): events.append(.ping(payload))
                case .pong: events.append(.pong)
                case .close(let code): events.append(.close(code?.rawValue))
                case .failed(let code):
                    events.append(.failed(code.rawValue))
                    return events
                case .incomplete:
                    #expect(position == piece.count)
                    break reading
                }
            }
        }
        return events
    }
}

/// A client's frame, with a mask that shows when it is taken off wrongly.
private func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
    let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
    var bytes = wrote { writer in
        writer.appendWebSocketHeader(WebSocketOpcode(rawValue: opcode)!, isFinal: isFinal, byteCount: payload.count)
    }
    bytes[1] |= 0x80
    return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
}

private func frame(_ opcode: UInt8, _ text: String, isFinal: Bool = true) -> [UInt8] {
    frame(opcode, Array(text.utf8), isFinal: isFinal)
}

private func wrote(_ write: (inout ByteWriter) -> Void) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
        var writer = unsafe ByteWriter(start: UnsafeMutableRawPointer(buffer.baseAddress!), capacity: buffer.count)
        write(&writer)
        count = writer.count
    }
}
