/// The server's side of a WebSocket's opening handshake (RFC 6455 §4.2), without extensions and subprotocols.
package enum WebSocketHandshake {
    package enum Outcome: Equatable {
        /// What goes into `Sec-WebSocket-Accept`.
        case accepted(key: [UInt8])
        /// The request does not ask for a WebSocket, or for another version than 13: the answer is 426.
        case upgradeRequired
        /// It asks for one wrongly: the answer is 400.
        case malformed
    }

    /// - Parameter head: a request that was read by `HTTP1RequestParser`, which has judged `Host` and `Connection`.
    package static func judge(_ head: borrowing RequestHead) -> Outcome {
        guard head.offersUpgrade, namesWebSocket(head.headers) else { return .upgradeRequired }
        guard head.method == .get, head.bodyLength == .none else { return .malformed }
        guard let version = head.headers[.secWebsocketVersion], version == "13" else { return .upgradeRequired }
        guard let first = head.headers.firstIndex(of: .secWebsocketKey),
            head.headers.firstIndex(of: .secWebsocketKey, from: first + 1) == nil,
            let key = head.headers[.secWebsocketKey], isNonce(key)
        else { return .malformed }
        return .accepted(key: acceptKey(for: key))
    }

    /// The client's side: a server that understood the request answers its key (RFC 6455 §4.1).
    package static func isAccepted(_ headers: borrowing HeaderTable, key: ByteSlice) -> Bool {
        guard let answer = headers[.secWebsocketAccept] else { return false }
        return ByteSlice.withBytes(of: acceptKey(for: key)) { $0 == answer }
    }

    /// A key of the client's: sixteen random bytes in base 64.
    package static func makeKey(_ random: (UInt64, UInt64)) -> [UInt8] {
        let words = [random.0, random.1]
        return base64(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } })
    }

    private static func namesWebSocket(_ headers: borrowing HeaderTable) -> Bool {
        var next = headers.firstIndex(of: .upgrade)
        while let index = next {
            var protocols = ListElements(headers.value(of: headers.entry(at: index)))
            while let element = protocols.next() {
                if element.equalsIgnoringCase("websocket") { return true }
            }
            next = headers.firstIndex(of: .upgrade, from: index + 1)
        }
        return false
    }

    /// Sixteen bytes in base 64: 22 digits and two signs for what is missing.
    private static func isNonce(_ key: ByteSlice) -> Bool {
        guard key.count == 24, key[22] == UInt8(ascii: "="), key[23] == UInt8(ascii: "=") else { return false }
        for index in 0..<22 where !base64Digits.contains(key[index]) { return false }
        return true
    }

    /// RFC 6455 §4.2.2: base 64 of the SHA-1 of the client's key and a text that only WebSocket servers know.
    package static func acceptKey(for key: ByteSlice) -> [UInt8] {
        var text: [UInt8] = []
        for index in 0..<key.count { text.append(key[index]) }
        text.append(contentsOf: Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8))
        return base64(SHA1.digest(text))
    }

    private static let base64Digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// RFC 4648 §4.
    static func base64(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for digit in 0..<4 {
                text.append(digit <= group.count ? base64Digits[bits >> (18 - 6 * digit) & 63] : UInt8(ascii: "="))
            }
        }
        return text
    }
}
