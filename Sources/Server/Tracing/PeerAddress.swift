/// `IP:PORT` in its parts; nil for what has no port, such as the path of a Unix socket.
struct PeerAddress {
    let ip: String
    let port: UInt16
    let isV6: Bool

    init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")),
            let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        isV6 = host.first == "["
        if isV6 { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { return nil }
        ip = String(host)
        self.port = port
    }
}
