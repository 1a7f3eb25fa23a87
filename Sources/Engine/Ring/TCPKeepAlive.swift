internal import Glibc

/// When the kernel asks a silent TCP peer whether it is still there, and when it takes it for gone (tcp(7)): the
/// connection then ends with `.transportTimeout`.
package struct TCPKeepAlive: Sendable, Equatable {
    /// Silence before the first question, 1 to 32767.
    package var idleSeconds: Int32
    /// Between questions, 1 to 32767.
    package var intervalSeconds: Int32
    /// Questions without an answer, 1 to 127.
    package var count: Int32

    package init(idleSeconds: Int32, intervalSeconds: Int32, count: Int32) {
        self.idleSeconds = idleSeconds
        self.intervalSeconds = intervalSeconds
        self.count = count
    }

    /// On a listening socket it is for the connections that are accepted from then on: they inherit it.
    static func set(_ keepAlive: TCPKeepAlive?, on socket: Int32) {
        if let keepAlive {
            setOption(socket, Int32(IPPROTO_TCP), TCP_KEEPIDLE, keepAlive.idleSeconds)
            setOption(socket, Int32(IPPROTO_TCP), TCP_KEEPINTVL, keepAlive.intervalSeconds)
            setOption(socket, Int32(IPPROTO_TCP), TCP_KEEPCNT, keepAlive.count)
        }
        setOption(socket, SOL_SOCKET, SO_KEEPALIVE, keepAlive == nil ? 0 : 1)
    }
}
