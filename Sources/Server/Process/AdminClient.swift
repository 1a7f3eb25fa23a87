internal import Config
internal import Engine
internal import Glibc
internal import Upstream

/// Asks the admin interface of a running proxy, for commands. Blocks.
struct AdminClient {
    let address: SocketAddress

    static let defaultAddress = SocketAddress.ip(.v4(0x7F00_0001), port: 9901)
    private static let timeoutSeconds = 10
    private static let answerBytesMax = 64 << 20

    struct Answer {
        let status: Int
        let bytes: [UInt8]
        var body: String { String(decoding: bytes, as: UTF8.self) }
    }

    struct Failure: Error {
        let message: String
    }

    /// - Parameter target: path and query, encoded
    func get(_ target: String) throws(Failure) -> Answer {
        // Of 1.0, whose bodies end with the connection and come in no chunks.
        let request = "GET \(target) HTTP/1.0\r\nHost: localhost\r\n\r\n"
        let bytes = try exchange(Array(request.utf8))
        guard let end = bytes.firstRange(of: [13, 10, 13, 10]) else {
            throw Failure(message: "\(address) gave no answer")
        }
        let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        let words = head.prefix { $0 != "\r\n" }.split(separator: " ")
        guard words.count > 1, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw Failure(message: "\(address) does not speak HTTP")
        }
        return Answer(status: status, bytes: Array(bytes[end.upperBound...]))
    }

    /// Everything that comes back until the other side closes.
    private func exchange(_ request: [UInt8]) throws(Failure) -> [UInt8] {
        let network = NetworkAddress(address)
        let socket = Glibc.socket(network.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw failure("no socket", errno) }
        defer { close(socket) }
        var timeout = timeval(tv_sec: Self.timeoutSeconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            _ = unsafe setsockopt(socket, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }
        let connected = unsafe network.withSockaddr { unsafe connect(socket, $0, $1) }
        guard connected == 0 else { throw failure("no admin interface at \(address)", errno) }
        var rest = request[...]
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes {
                unsafe send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { throw failure("\(address) takes no request", errno) }
            rest = rest.dropFirst(sent)
        }
        var answer: [UInt8] = []
        while answer.count < Self.answerBytesMax {
            var received = 0
            answer += unsafe [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
                received = unsafe recv(socket, buffer.baseAddress, buffer.count, 0)
                count = max(received, 0)
            }
            if received == 0 { break }
            guard received > 0 else { throw failure("\(address) gives no answer", errno) }
        }
        return answer
    }

    private func failure(_ what: String, _ code: Int32) -> Failure {
        Failure(message: "\(what): \(unsafe String(cString: strerror(code)))")
    }
}

extension String {
    /// For a value in a query (RFC 3986 §2.1).
    var percentEncoded: String {
        let hex = Array("0123456789ABCDEF")
        return utf8.reduce(into: "") { out, byte in
            let character = Character(UnicodeScalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "-._~".contains(character) {
                out.append(character)
            } else {
                out += "%\(hex[Int(byte >> 4)])\(hex[Int(byte & 15)])"
            }
        }
    }
}
