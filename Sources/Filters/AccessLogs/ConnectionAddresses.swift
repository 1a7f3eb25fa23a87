internal import Config
internal import Engine
internal import HTTP

/// The addresses of a client's connection as text, asked of the kernel once, while the client is still there.
@safe
final class ConnectionAddresses {
    /// Plain numbers and places, so that reading one counts nothing; as long-lived as the object that it is of.
    struct Address {
        /// `1.2.3.4:80`, `[::1]:80`, or `unix:` and the path of a Unix socket.
        let text: ByteSlice
        /// Without port and brackets.
        let host: ByteSlice
        /// nil for Unix sockets.
        let port: UInt16?
        /// nil for Unix sockets.
        let ip: IPAddress?
    }

    /// nil when the peer was gone before it could be asked for.
    let remote: Address?
    let local: Address?
    private let memory: UnsafeMutableRawPointer

    init(remote: NetworkAddress?, local: NetworkAddress?) {
        let texts = [remote, local].map { $0.map(\.logText) ?? [] }
        unsafe memory = .allocate(byteCount: max(texts[0].count + texts[1].count, 1), alignment: 1)
        unsafe UnsafeMutableRawBufferPointer(start: memory, count: texts[0].count + texts[1].count)
            .copyBytes(from: texts[0] + texts[1])
        // Both lie in the memory.
        let places = unsafe [
            ByteSlice(start: memory, count: texts[0].count),
            ByteSlice(start: memory + texts[0].count, count: texts[1].count),
        ]
        self.remote = remote.map { Address($0, places[0]) }
        self.local = local.map { Address($0, places[1]) }
    }

    convenience init(_ connection: Connection) {
        self.init(remote: connection.peerAddress, local: connection.localAddress)
    }

    deinit { unsafe memory.deallocate() }
}

extension ConnectionAddresses.Address {
    fileprivate init(_ address: NetworkAddress, _ text: ByteSlice) {
        self.text = text
        ip = address.ipAddress
        port = address.isUnix ? nil : address.port
        guard !address.isUnix else {
            host = text
            return
        }
        let bracket = text.first == UInt8(ascii: "[") ? 1 : 0
        host = text[bracket..<(text.count - bracket - ":\(address.port)".utf8.count)]
    }
}

extension NetworkAddress {
    fileprivate var logText: [UInt8] {
        if isUnix { return Array("unix:\(host)".utf8) }
        let host = ipText
        let isV6 = host.contains(UInt8(ascii: ":"))
        return (isV6 ? [UInt8(ascii: "[")] + host + [UInt8(ascii: "]")] : host) + Array(":\(port)".utf8)
    }
}
