internal import Config
internal import Engine

/// The addresses of a client's connection as text, asked of the kernel once, while the client is still there.
final class ConnectionAddresses {
    /// `1.2.3.4:80`, `[::1]:80`, or the path of a Unix socket.
    struct Address {
        let text: [UInt8]
        /// Without port and brackets.
        let host: [UInt8]
        /// nil for Unix sockets.
        let port: UInt16?
        /// nil for Unix sockets.
        let ip: IPAddress?

        init(_ address: NetworkAddress) {
            ip = address.ipAddress
            if address.isUnix {
                host = Array("unix:\(address.host)".utf8)
                text = host
                port = nil
            } else {
                host = address.ipText
                let isV6 = host.contains(UInt8(ascii: ":"))
                text = (isV6 ? [UInt8(ascii: "[")] + host + [UInt8(ascii: "]")] : host) + Array(":\(address.port)".utf8)
                port = address.port
            }
        }
    }

    /// nil when the peer was gone before it could be asked for.
    let remote: Address?
    /// Of `remote`, by itself: without the rest of it there is less to count.
    let remoteText: [UInt8]?
    let local: Address?

    init(remote: Address?, local: Address?) {
        self.remote = remote
        remoteText = remote?.text
        self.local = local
    }

    convenience init(_ connection: Connection) {
        self.init(remote: connection.peerAddress.map(Address.init), local: connection.localAddress.map(Address.init))
    }
}
