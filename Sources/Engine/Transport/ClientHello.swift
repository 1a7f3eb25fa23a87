/// What a TLS client says first, as far as chains are chosen by it (RFC 8446 §4.1.2; the same in TLS 1.2).
///
/// Read without an SSL session, because what it says decides whether there is to be one. Nothing is changed and nothing
/// is answered: whoever gets the connection reads the same bytes again.
package struct ClientHello: Sendable, Equatable {
    /// The host name of SNI (RFC 6066 §3) in lower case, without a dot at its end; empty without one.
    package var serverName: [UInt8] = []
    /// The names of ALPN (RFC 7301 §3.1), in the client's order.
    package var applicationProtocols: [[UInt8]] = []

    package init(serverName: [UInt8] = [], applicationProtocols: [[UInt8]] = []) {
        self.serverName = serverName
        self.applicationProtocols = applicationProtocols
    }

    package enum Reading: Sendable, Equatable {
        /// More is needed: so many bytes from the start, at the least.
        case incomplete(bytesMin: Int)
        /// Not TLS.
        case plain
        /// A handshake record that no client sends, or a hello of more than `bytesMax` bytes.
        case malformed
        case hello(ClientHello)
    }

    /// Bytes that are looked at, headers of records included. A hello with post-quantum key shares has about 2,000.
    package static let bytesMax = 16 * 1024

    private static let recordHeaderBytes = 5
    private static let handshakeHeaderBytes = 4
    private static let handshakeRecord: UInt8 = 22
    private static let clientHello: UInt8 = 1
    /// RFC 8446 §5.1.
    private static let recordBytesMax = 1 << 14
    /// RFC 1035 §2.3.4, with the dot at the end.
    private static let nameBytesMax = 254

    /// - Parameter bytes: all that the client sent so far, from its first byte
    package static func read(_ bytes: RawSpan) -> Reading {
        // What lies behind the bound is not looked at, whoever gives it.
        let available = min(bytes.byteCount, bytesMax)
        guard available > 0 else { return .incomplete(bytesMin: 1) }
        guard byte(bytes, 0) == handshakeRecord else { return .plain }
        // A client may cut its hello into several records, of a byte each if it likes.
        var message: [UInt8] = []
        var place = 0
        while true {
            guard place + recordHeaderBytes <= available else {
                return place + recordHeaderBytes > bytesMax
                    ? .malformed : .incomplete(bytesMin: place + recordHeaderBytes)
            }
            let count = Int(byte(bytes, place + 3)) << 8 | Int(byte(bytes, place + 4))
            guard byte(bytes, place) == handshakeRecord, byte(bytes, place + 1) == 3, count > 0,
                count <= recordBytesMax
            else { return .malformed }
            let start = place + recordHeaderBytes
            let end = min(start + count, available)
            for index in start..<end { message.append(byte(bytes, index)) }
            if let first = message.first, first != clientHello { return .malformed }
            if message.count >= handshakeHeaderBytes {
                let length = Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3])
                let whole = handshakeHeaderBytes + length
                guard whole <= bytesMax else { return .malformed }
                if message.count >= whole { return parse(message[handshakeHeaderBytes..<whole]) }
            }
            place = start + count
            if end < place { return place > bytesMax ? .malformed : .incomplete(bytesMin: place) }
        }
    }

    @inline(__always)
    private static func byte(_ bytes: RawSpan, _ index: Int) -> UInt8 {
        unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    // MARK: The message

    private static func parse(_ body: ArraySlice<UInt8>) -> Reading {
        var message = Fields(body)
        guard message.skip(2 + 32), message.vector(lengthBytes: 1, 0...32) != nil,
            message.vector(lengthBytes: 2, 2...65_534) != nil, message.vector(lengthBytes: 1, 1...255) != nil
        else { return .malformed }
        var hello = ClientHello()
        // TLS 1.2 knows hellos without extensions.
        if message.isAtEnd { return .hello(hello) }
        guard var extensions = message.vector(lengthBytes: 2, 0...65_535), message.isAtEnd else { return .malformed }
        var hasName = false
        var hasProtocols = false
        while !extensions.isAtEnd {
            guard let kind = extensions.number(bytes: 2), let content = extensions.vector(lengthBytes: 2, 0...65_535)
            else { return .malformed }
            switch kind {
            case 0:
                guard !hasName, let name = serverName(content) else { return .malformed }
                hasName = true
                hello.serverName = name
            case 16:
                guard !hasProtocols, let names = protocols(content) else { return .malformed }
                hasProtocols = true
                hello.applicationProtocols = names
            default: break
            }
        }
        return .hello(hello)
    }

    private static func serverName(_ content: Fields) -> [UInt8]? {
        var content = content
        guard var list = content.vector(lengthBytes: 2, 1...65_535), content.isAtEnd else { return nil }
        var found: [UInt8]?
        while !list.isAtEnd {
            guard let kind = list.number(bytes: 1), let name = list.vector(lengthBytes: 2, 1...65_535) else {
                return nil
            }
            // Of other kinds nobody has heard yet, and of one kind there is one name.
            guard kind == 0 else { continue }
            guard found == nil, name.rest.count <= nameBytesMax, !name.rest.contains(0) else { return nil }
            found = name.rest.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
            if found?.last == UInt8(ascii: ".") { found?.removeLast() }
        }
        return found ?? []
    }

    private static func protocols(_ content: Fields) -> [[UInt8]]? {
        var content = content
        guard var list = content.vector(lengthBytes: 2, 2...65_535), content.isAtEnd else { return nil }
        var names: [[UInt8]] = []
        while !list.isAtEnd {
            guard let name = list.vector(lengthBytes: 1, 1...255) else { return nil }
            names.append(Array(name.rest))
        }
        return names
    }

    /// Numbers and vectors as RFC 8446 §3 writes them.
    private struct Fields {
        private(set) var rest: ArraySlice<UInt8>

        init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func skip(_ count: Int) -> Bool {
            guard rest.count >= count else { return false }
            rest = rest.dropFirst(count)
            return true
        }

        mutating func number(bytes count: Int) -> Int? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
        }

        mutating func vector(lengthBytes: Int, _ range: ClosedRange<Int>) -> Fields? {
            guard let count = number(bytes: lengthBytes), range.contains(count), rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Fields(rest.prefix(count))
        }
    }
}
