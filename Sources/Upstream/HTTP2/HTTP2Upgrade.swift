internal import HTTP

/// A request with `Upgrade` that goes to its endpoint as an extended CONNECT (RFC 8441 §5), and how the endpoint's answer
/// reads to one who knows of `Upgrade` only.
final class HTTP2Upgrade {
    private let name: [UInt8]
    /// What a WebSocket server of HTTP/1.1 would answer the client's key.
    private let webSocketAccept: [UInt8]?

    /// nil when the head names no protocol.
    init?(_ head: borrowing RequestHead) {
        guard let name = head.headers[.upgrade], name.isToken else { return nil }
        self.name = (0..<name.count).map { name[$0] }
        let isWebSocket = name.equalsIgnoringCase("websocket")
        webSocketAccept =
            isWebSocket ? head.headers[.secWebsocketKey].map { WebSocketHandshake.acceptKey(for: $0) } : nil
    }

    /// Makes 2xx to CONNECT the 101 that it stands for.
    func translate(_ head: inout ResponseHead) {
        head.status = .switchingProtocols
        ByteSlice.withBytes(of: name) { _ = head.headers.set(.upgrade, $0) }
        guard let webSocketAccept else { return }
        ByteSlice.withBytes(of: webSocketAccept) { _ = head.headers.set(.secWebsocketAccept, $0) }
    }
}
