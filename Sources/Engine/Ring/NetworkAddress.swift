package import Glibc

/// A socket address as the kernel takes it: IPv4, IPv6 or a Unix socket's path.
///
/// The storage never moves and lives as long as a reference to it, because a connect that is in flight
/// points at it.
@safe
public final class NetworkAddress: Sendable {
    // Written in the initialisers only.
    private nonisolated(unsafe) let storage: UnsafeMutablePointer<sockaddr_storage>
    /// Bytes of the address, as bind(2) and connect(2) take them.
    public let length: UInt32

    /// - Parameters:
    ///   - bits: the address in host order, 127.0.0.1 as 0x7F000001.
    ///   - port: in host order.
    public init(ipv4Bits bits: UInt32, port: UInt16) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = bits.bigEndian
        unsafe storage = Self.store(address)
        length = UInt32(MemoryLayout<sockaddr_in>.size)
    }

    /// - Parameters:
    ///   - bits: the address in host order, ::1 as 1.
    ///   - port: in host order.
    public init(ipv6Bits bits: UInt128, port: UInt16) {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        unsafe withUnsafeMutableBytes(of: &address.sin6_addr) {
            unsafe $0.storeBytes(of: bits.bigEndian, as: UInt128.self)
        }
        unsafe storage = Self.store(address)
        length = UInt32(MemoryLayout<sockaddr_in6>.size)
    }

    /// The Unix socket at `path`.
    public init(unixPath path: UnixPath) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.bytes) }
        unsafe storage = Self.store(address)
        length = UInt32(MemoryLayout<sa_family_t>.size + path.bytes.count + 1)
    }

    /// The address of the peer of a connected socket, or nil when it is gone.
    package init?(peerOf socket: Int32) {
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: sockaddr_storage())
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe getpeername(socket, $0, &size)
        }
        length = UInt32(size)
        if result != 0 { return nil }
    }

    /// The address that a listening socket is bound to, or nil.
    package init?(localOf socket: Int32) {
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: sockaddr_storage())
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe getsockname(socket, $0, &size)
        }
        length = UInt32(size)
        if result != 0 { return nil }
    }

    deinit {
        unsafe storage.deallocate()
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    public var family: Int32 { unsafe Int32(storage.pointee.ss_family) }
    /// Whether this is a Unix socket, which has neither IP address nor port.
    public var isUnix: Bool { family == AF_UNIX }

    /// The port in host order; 0 for Unix sockets.
    public var port: UInt16 {
        switch family {
        case AF_INET: unsafe UnsafeRawPointer(storage).load(as: sockaddr_in.self).sin_port.bigEndian
        case AF_INET6: unsafe UnsafeRawPointer(storage).load(as: sockaddr_in6.self).sin6_port.bigEndian
        default: 0
        }
    }

    /// The IP address as 16 bytes, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2); nil for Unix sockets.
    public var ipBytes: (high: UInt64, low: UInt64)? {
        switch family {
        case AF_INET:
            let word = unsafe UnsafeRawPointer(storage).load(as: sockaddr_in.self).sin_addr.s_addr
            return (0, 0xFFFF_0000_0000 | UInt64(UInt32(bigEndian: word)))
        case AF_INET6:
            let bytes = unsafe UnsafeRawPointer(storage) + MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
            let high = unsafe bytes.loadUnaligned(as: UInt64.self)
            let low = unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            return (UInt64(bigEndian: high), UInt64(bigEndian: low))
        default:
            return nil
        }
    }

    /// Borrowed for one system call. A connect in flight keeps the object alive instead.
    package func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe body(UnsafePointer($0), socklen_t(length))
        }
    }

    private static func store<T>(_ address: T) -> UnsafeMutablePointer<sockaddr_storage> {
        let storage = UnsafeMutablePointer<sockaddr_storage>.allocate(capacity: 1)
        unsafe storage.initialize(to: sockaddr_storage())
        unsafe UnsafeMutableRawPointer(storage).storeBytes(of: address, as: T.self)
        return unsafe storage
    }
}

extension NetworkAddress: CustomStringConvertible {
    /// `1.2.3.4:80`, `[::1]:80` or `unix:/path`.
    public var description: String {
        switch family {
        case AF_INET: "\(host):\(port)"
        case AF_INET6: "[\(host)]:\(port)"
        default: "unix:\(host)"
        }
    }

    /// The address without the port; a Unix socket's path.
    public var host: String {
        let raw = unsafe UnsafeMutableRawPointer(storage)
        if family == AF_UNIX {
            let offset = MemoryLayout<sa_family_t>.size
            let count = max(0, Int(length) - offset)
            let path = unsafe UnsafeRawBufferPointer(start: raw + offset, count: count)
            return unsafe String(decoding: path.prefix { $0 != 0 }, as: UTF8.self)
        }
        let field =
            family == AF_INET
            ? MemoryLayout<sockaddr_in>.offset(of: \.sin_addr)! : MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr)!
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
            guard unsafe inet_ntop(family, raw + field, text.baseAddress, socklen_t(text.count)) != nil else {
                return "?"
            }
            return unsafe String(cString: text.baseAddress!)
        }
    }
}

/// The path of a Unix socket, known to fit into a socket address.
public struct UnixPath: Sendable {
    let bytes: [UInt8]
    /// What fits into `sockaddr_un` with its end mark (unix(7)).
    public static let bytesMax = 107

    /// nil when the path is empty or longer than `bytesMax` bytes.
    public init?(_ path: String) {
        bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= Self.bytesMax else { return nil }
    }
}
