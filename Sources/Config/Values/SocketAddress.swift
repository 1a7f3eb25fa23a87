/// Where to listen or connect: `HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `unix:PATH`.
public enum SocketAddress: Sendable, Hashable {
    case ip(IPAddress, port: UInt16)
    /// `:PORT`: every address of this machine, IPv4 and IPv6 through one dual-stack socket. For listeners.
    case any(port: UInt16)
    /// A name that somebody has to resolve. Nothing here does.
    case host(String, port: UInt16)
    case unix(path: String)

    /// `sun_path` holds 108 bytes, the last of them zero (unix(7)).
    public static let unixPathBytesMax = 107

    public init(parsing text: String) throws(ConfigProblem) {
        if text.hasPrefix("unix:") {
            self = .unix(path: try Self.unixPath(text.dropFirst(5)))
            return
        }
        guard let colon = text.lastIndex(of: ":") else { throw ConfigProblem("which has no port") }
        let host = text[..<colon]
        if host.contains(":") && !host.hasPrefix("[") {
            throw ConfigProblem("which has several colons: an IPv6 address goes in brackets")
        }
        if host.hasPrefix("["), !host.hasSuffix("]") {
            throw ConfigProblem(text.hasSuffix("]") ? "which has no port" : "which has no ] before the port")
        }
        let port = try Self.port(text[text.index(after: colon)...])
        if host.isEmpty {
            self = .any(port: port)
        } else if host.hasPrefix("[") {
            guard case .v6(let bits) = IPAddress(host.dropFirst().dropLast()) else {
                throw ConfigProblem("which has no valid IPv6 address in its brackets")
            }
            self = .ip(.v6(bits), port: port)
        } else if let address = IPAddress(host) {
            self = .ip(address, port: port)
        } else {
            self = .host(try Self.hostName(host, port: port), port: port)
        }
    }

    /// nil for `unix:PATH`.
    public var port: UInt16? {
        switch self {
        case .ip(_, let port), .any(let port), .host(_, let port): port
        case .unix: nil
        }
    }

    private static func unixPath(_ path: Substring) throws(ConfigProblem) -> String {
        guard !path.isEmpty else { throw ConfigProblem("which has no path") }
        guard path.utf8.count <= unixPathBytesMax else {
            throw ConfigProblem("which has a path of \(path.utf8.count) bytes, \(unixPathBytesMax) are possible")
        }
        guard !path.utf8.contains(0) else { throw ConfigProblem("which has a NUL in its path") }
        return String(path)
    }

    private static func port(_ digits: Substring) throws(ConfigProblem) -> UInt16 {
        guard !digits.isEmpty else { throw ConfigProblem("which has no port") }
        let isNumber = digits.utf8.allSatisfy { $0.decimalDigit != nil }
        let hasLeadingZero = digits.utf8.count > 1 && digits.utf8.first == UInt8(ascii: "0")
        guard isNumber, !hasLeadingZero, let port = UInt16(digits) else {
            throw ConfigProblem("which has no port from 0 to 65535")
        }
        return port
    }

    /// RFC 1123 §2.1. A last label of digits only is a mistyped IPv4 address, never a name.
    private static func hostName(_ host: Substring, port: UInt16) throws(ConfigProblem) -> String {
        if host == "*" { throw ConfigProblem(suggestion: ":\(port)") }
        let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if let last = labels.last, last.allSatisfy({ $0.decimalDigit != nil }) {
            throw ConfigProblem("which has no valid IP address")
        }
        let isName =
            host.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                    && label.allSatisfy(\.isHostNameByte)
            }
        guard isName else { throw ConfigProblem("which has no valid host") }
        return String(host)
    }
}

extension UInt8 {
    /// Letters, digits and `-`; also `_`, which container platforms put in names.
    fileprivate var isHostNameByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// Reads back as the same value.
    public var description: String {
        switch self {
        case .ip(.v4(let bits), let port): "\(IPAddress.v4(bits)):\(port)"
        case .ip(.v6(let bits), let port): "[\(IPAddress.v6(bits))]:\(port)"
        case .any(let port): ":\(port)"
        case .host(let name, let port): "\(name):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
