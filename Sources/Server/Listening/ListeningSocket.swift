package import Engine
internal import Glibc

/// A socket that listens, opened before a configuration is committed, so that an address in use is an error
/// of the configuration and not of a running proxy.
package struct ListeningSocket: Sendable {
    package var descriptor: Int32
    /// One socket that all workers accept from, instead of one each.
    package var isShared: Bool

    package struct Failure: Error, Sendable {
        package var message: String
        package var expected: String
        /// Somebody listens there; perhaps a process that is just ending.
        package var isInUse = false
    }

    /// Pending connections per socket; the kernel caps it at net.core.somaxconn.
    package static let backlog: Int32 = 4096

    /// One listening socket per worker, or a shared one where the family has no groups of them.
    ///
    /// - Parameters:
    ///   - dualStack: an IPv6 wildcard that takes IPv4 connections as well.
    ///   - besideOwn: this process listens on the port already, at another address, so being in use says nothing.
    package static func open(
        _ address: NetworkAddress, workers: Int, dualStack: Bool, besideOwn: Bool = false
    ) throws(Failure) -> [ListeningSocket] {
        if address.isUnix { return [try openUnix(address)] }
        if !besideOwn { try refuseIfInUse(address, dualStack: dualStack) }
        var opened: [ListeningSocket] = []
        var bound = address
        for _ in 0..<workers {
            do throws(Failure) {
                let descriptor = try bindAndListen(bound, dualStack: dualStack, isInGroup: true)
                opened.append(ListeningSocket(descriptor: descriptor, isShared: false))
                // Port 0 means any port, but the same one for all workers.
                if bound.port == 0, let actual = NetworkAddress(localOf: descriptor) { bound = actual }
            } catch {
                for socket in opened { socket.close() }
                throw error
            }
        }
        return opened
    }

    package func close() { _ = Glibc.close(descriptor) }

    /// Closes a socket that nobody has accepted from, and leaves no Unix path behind.
    func abandon() {
        if let address = boundAddress, address.isUnix { _ = unsafe unlink(address.host) }
        close()
    }

    package var boundAddress: NetworkAddress? { NetworkAddress(localOf: descriptor) }

    /// A group (SO_REUSEPORT) lets a second process of the same user join silently and take half of the
    /// connections, so whether somebody listens is tried without one first.
    private static func refuseIfInUse(_ address: NetworkAddress, dualStack: Bool) throws(Failure) {
        guard address.port != 0 else { return }
        let descriptor = try bindAndListen(address, dualStack: dualStack, isInGroup: false)
        _ = Glibc.close(descriptor)
    }

    private static func bindAndListen(
        _ address: NetworkAddress, dualStack: Bool, isInGroup: Bool
    ) throws(Failure) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(address.family, kind, 0)
        guard descriptor >= 0 else { throw Failure(address, "no socket: \(describe(errno))") }
        setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if isInGroup { setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
        // Accepted sockets inherit it: a proxy passes on what it gets when it gets it.
        if !address.isUnix { setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let bound = unsafe address.withSockaddr { unsafe bind(descriptor, $0, $1) } == 0
        guard bound, listen(descriptor, backlog) == 0 else {
            let error = errno
            _ = Glibc.close(descriptor)
            throw Failure(address, error)
        }
        return descriptor
    }

    /// A path that a process left behind is removed; one that somebody listens on is in use.
    private static func openUnix(_ address: NetworkAddress) throws(Failure) -> ListeningSocket {
        do throws(Failure) {
            return ListeningSocket(
                descriptor: try bindAndListen(address, dualStack: false, isInGroup: false), isShared: true)
        } catch {
            guard isAbandoned(address) else { throw error }
            _ = unsafe unlink(address.host)
            return ListeningSocket(
                descriptor: try bindAndListen(address, dualStack: false, isInGroup: false), isShared: true)
        }
    }

    private static func isAbandoned(_ address: NetworkAddress) -> Bool {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { _ = Glibc.close(descriptor) }
        return unsafe address.withSockaddr { unsafe connect(descriptor, $0, $1) } != 0 && errno == ECONNREFUSED
    }
}

extension ListeningSocket.Failure {
    fileprivate init(_ address: NetworkAddress, _ message: String) {
        self.init(message: "cannot listen on \(address): \(message)", expected: "a socket")
    }

    fileprivate init(_ address: NetworkAddress, _ error: Int32) {
        let expected =
            switch error {
            case EADDRINUSE: "an address that no other process listens on"
            case EADDRNOTAVAIL: "an address of this machine"
            case EACCES: "a port from 1024, or the capability CAP_NET_BIND_SERVICE"
            default: "an address that can be bound"
            }
        self.init(
            message: "cannot listen on \(address): \(describe(error))", expected: expected,
            isInUse: error == EADDRINUSE)
    }
}
