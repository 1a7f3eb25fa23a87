internal import CIOUring
internal import Glibc

/// The direct calls of a backend that works on real sockets. They never sleep: the sockets are non-blocking.
/// A second backend on real sockets shares them by inheriting from this class.
open class SystemIOBackend: IOBackend {
    package override func nowNs() -> UInt64 { monotonicNowNs() }

    package override func openSocket(for address: NetworkAddress) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(address.family, kind, 0)
        guard descriptor >= 0 else { return -errno }
        if !address.isUnix {
            // A proxy passes on what it gets when it gets it; Nagle's delay would hold back small messages.
            setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        }
        return descriptor
    }

    package override func sendNow(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) {
        _ = unsafe Glibc.send(socket, bytes, count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }

    package override func setKeepAlive(_ keepAlive: TCPKeepAlive?, on socket: Int32) {
        TCPKeepAlive.set(keepAlive, on: socket)
    }

    package override func shutdownWrite(_ socket: Int32) {
        _ = Glibc.shutdown(socket, Int32(SHUT_WR))
    }

    package override func resetOnClose(_ socket: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    }

    package override func unsentBytes(_ socket: Int32) -> Int {
        Int(rw_unsent_bytes(socket))
    }

    /// Fails on a Unix socket, whose connects are in the queue or refused and never in between.
    package override func refuseHandshakes(_ socket: Int32) { _ = rw_refuse_handshakes(socket) }

    package override func acceptNow(_ socket: Int32) -> Int32 { rw_accept(socket) }

    package override func peerAddress(of socket: Int32) -> NetworkAddress? { NetworkAddress(peerOf: socket) }
    package override func localAddress(of socket: Int32) -> NetworkAddress? { NetworkAddress(localOf: socket) }

    package override func peek(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, bytesMin: Int) -> Int {
        // Asking how much there is costs the same however it came; a copy of a few bytes more each time would not.
        let waiting = Int(rw_unread_bytes(socket))
        if waiting > 0, waiting < bytesMin { return waiting }
        let copied = unsafe recv(socket, bytes, count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return copied < 0 ? -Int(errno) : copied
    }

    package override func splice(from: Int32, to: Int32, count: Int, more: Bool) -> Int {
        rw_splice(from, to, count, more ? 1 : 0)
    }

    package override func openPipe(capacity: Int) -> (read: Int32, write: Int32, capacity: Int)? {
        var ends: (Int32, Int32) = (-1, -1)
        let granted = unsafe withUnsafeMutablePointer(to: &ends) {
            unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe rw_pipe($0, Int32(capacity)) }
        }
        return granted > 0 ? (ends.0, ends.1, Int(granted)) : nil
    }
}

/// CLOCK_MONOTONIC in nanoseconds: comparable between threads, not between boots.
package func monotonicNowNs() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

@discardableResult
package func setOption(_ socket: Int32, _ level: Int32, _ name: Int32, _ value: Int32) -> Bool {
    var value = value
    return unsafe setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
}

/// The C library's text for an errno, with its number: `Connection refused (111)`.
package func describe(_ error: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        unsafe "\(String(cString: rw_error_text(error, text.baseAddress!, text.count))) (\(error))"
    }
}
