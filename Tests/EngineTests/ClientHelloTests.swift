import Testing

@testable import Engine

/// A vector with its length in front of it (RFC 8446 §3.4).
private func vector(_ bytes: [UInt8], lengthBytes: Int) -> [UInt8] {
    (0..<lengthBytes).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
}

private func `extension`(_ kind: UInt8, _ content: [UInt8]) -> [UInt8] { [0, kind] + vector(content, lengthBytes: 2) }

private func name(_ name: String, kind: UInt8 = 0) -> [UInt8] {
    `extension`(0, vector([kind] + vector(Array(name.utf8), lengthBytes: 2), lengthBytes: 2))
}

private func protocols(_ names: String...) -> [UInt8] {
    `extension`(16, vector(names.flatMap { vector(Array($0.utf8), lengthBytes: 1) }, lengthBytes: 2))
}

/// The handshake message; nil for `extensions` leaves out even their length.
private func message(_ extensions: [UInt8]?) -> [UInt8] {
    var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32)
    body += vector([UInt8](repeating: 9, count: 32), lengthBytes: 1)
    body += vector([0x13, 0x01, 0x13, 0x02], lengthBytes: 2) + vector([0], lengthBytes: 1)
    if let extensions { body += vector(extensions, lengthBytes: 2) }
    return [1] + vector(body, lengthBytes: 3)
}

/// Cut into records of `size` bytes.
private func records(_ message: [UInt8], of size: Int = 16_384) -> [UInt8] {
    stride(from: 0, to: message.count, by: size).flatMap {
        [22, 3, 1] + vector(Array(message[$0..<min($0 + size, message.count)]), lengthBytes: 2)
    }
}

private func read(_ bytes: some Sequence<UInt8>) -> ClientHello.Reading {
    let bytes = Array(bytes)
    return unsafe ClientHello.read(bytes.span.bytes)
}

private let usual = message(`extension`(10, [0, 2, 0, 29]) + name("API.Example.com.") + protocols("h2", "http/1.1"))
private let expected = ClientHello(
    serverName: Array("api.example.com".utf8), applicationProtocols: [Array("h2".utf8), Array("http/1.1".utf8)])

@Test func aHelloTellsNameAndProtocols() {
    #expect(read(records(usual)) == .hello(expected))
    #expect(read(records(usual) + [22, 3, 3]) == .hello(expected), "what follows is not looked at")
}

@Test func aHelloMayBeCutIntoRecordsOfAnySize() {
    for size in [1, 2, 3, 7, 64, 150] { #expect(read(records(usual, of: size)) == .hello(expected), "\(size)") }
}

@Test func aHelloThatIsNotWholeNeedsMoreAndSaysHowMuch() {
    for bytes in [records(usual), records(usual, of: 50), records(usual, of: 1)] {
        for count in 0..<bytes.count {
            guard case .incomplete(let bytesMin) = read(bytes[..<count]) else {
                Issue.record("\(count) of \(bytes.count) bytes: \(read(bytes[..<count]))")
                continue
            }
            #expect(bytesMin > count && bytesMin <= bytes.count, "\(count) bytes")
        }
    }
}

@Test func aHelloNeedNotNameAnything() {
    #expect(read(records(message(nil))) == .hello(ClientHello()))
    #expect(read(records(message([]))) == .hello(ClientHello()))
    #expect(read(records(message(name("x", kind: 1)))) == .hello(ClientHello()), "a name of another kind")
}

@Test func whatIsNotTLSIsPlain() {
    for text in ["GET / HTTP/1.1\r\n", "SSH-2.0-x", "\u{80}\u{2e}"] { #expect(read(text.utf8) == .plain) }
}

@Test func whatNoClientSendsIsMalformed() {
    let good = records(usual)
    var cases: [(String, [UInt8])] = [
        ("a record of another version", [22, 2, 0, 0, 5]), ("an empty record", [22, 3, 1, 0, 0]),
        ("a record that is too long", [22, 3, 1, 0x40, 0x01]), ("a server's hello", records([2, 0, 0, 0])),
        ("a message that is too long", records([1, 0, 0x40, 0])), ("an empty message", records([1, 0, 0, 0])),
        ("an alert in between", records(Array(usual[..<20])) + [21, 3, 1, 0, 2]),
        ("two names", records(message(name("a") + name("b")))),
        ("two lists of protocols", records(message(protocols("h2") + protocols("h2")))),
        ("an empty name", records(message(name("")))), ("an empty protocol", records(message(protocols("")))),
        ("a name with a zero", records(message(name("a\u{0}b")))),
        ("a name that is too long", records(message(name(String(repeating: "a", count: 255))))),
        ("extensions behind their end", records([1] + vector(Array(usual[4...]) + [0], lengthBytes: 3))),
    ]
    // A length inside that points behind the end.
    var broken = good
    broken[5 + 4 + 34] = 200
    cases.append(("a session id behind the end", broken))
    for (what, bytes) in cases { #expect(read(bytes) == .malformed, "\(what)") }
}

@Test func aHelloHasABound() {
    let large = message(`extension`(21, [UInt8](repeating: 0, count: 16_000)))
    #expect(read(records(large, of: 4096)) == .hello(ClientHello()))
    #expect(read(records(large, of: 100)) == .malformed, "its records' headers count as well")
}

@Test func anyByteMayBeAnything() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
        var bytes = records(usual, of: [40, 300].randomElement()!)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        // Whatever comes out: no trap, and no demand for more than the bound.
        if case .incomplete(let bytesMin) = read(bytes) { #expect(bytesMin <= ClientHello.bytesMax + 16_384 + 5) }
    }
}
