internal import Config
internal import Engine

/// A request that somebody asks about, and where it would arrive.
struct ExplainedRequest {
    /// `http` or `https`; nil when only a path was given.
    let scheme: String?
    /// The port that the client would connect to; nil when only a path was given.
    let port: UInt16?
    /// The head as a client would send it.
    let bytes: [UInt8]
    /// The host that a client would name in a TLS handshake; empty for an address, or when only a path was given.
    let serverName: String
    /// The client's address; nil when it was not said.
    let source: IPAddress?

    /// What a client would say first.
    var firstBytes: FirstBytes {
        guard scheme == "https" else { return .plain }
        return .hello(
            ClientHello(
                serverName: Array(serverName.utf8),
                applicationProtocols: ["h2", "http/1.1"].map { Array($0.utf8) }))
    }

    /// Why this is no request, for people.
    struct Invalid: Error {
        let message: String
    }

    /// - Parameters:
    ///   - url: whole, or a path, whose host is in a `host` header if at all
    ///   - headers: `name: value` each
    ///   - source: the client's address
    init(method: String, url: String, headers: [String], source: String? = nil) throws(Invalid) {
        self.source = source.flatMap { IPAddress($0) }
        if let source, self.source == nil { throw Invalid(message: "\"\(source)\" is no IP address") }
        var target = url[...]
        var authority: Substring?
        if let schemeEnd = url.firstRange(of: "://") {
            let scheme = url[..<schemeEnd.lowerBound].lowercased()
            guard ["http", "https"].contains(scheme) else {
                throw Invalid(message: "the URL starts with http://, https:// or a slash")
            }
            let rest = url[schemeEnd.upperBound...]
            let authorityEnd = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
            authority = rest[..<authorityEnd]
            target = rest[authorityEnd...]
            if target.first != "/" { target = "/" + target }
            self.scheme = scheme
            serverName = Self.serverName(of: rest[..<authorityEnd])
            self.port = try Self.port(of: rest[..<authorityEnd]) ?? (scheme == "https" ? 443 : 80)
        } else {
            guard url.hasPrefix("/") || url == "*" else {
                throw Invalid(message: "the URL starts with http://, https:// or a slash")
            }
            scheme = nil
            serverName = ""
            port = nil
        }
        // Clients keep fragments to themselves (RFC 9110 §4.2.5).
        if let fragment = target.firstIndex(of: "#") { target = target[..<fragment] }
        if method == "CONNECT" { target = authority ?? target }
        var lines = ["\(method) \(target) HTTP/1.1"]
        let host = headers.contains { $0.lowercased().hasPrefix("host:") }
        if !host { lines.append("host: \(authority ?? "localhost")") }
        for header in headers {
            guard header.contains(":") else { throw Invalid(message: "a header is NAME: VALUE, not \"\(header)\"") }
            lines.append(header)
        }
        guard lines.allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }) else {
            throw Invalid(message: "the request has control characters")
        }
        bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    /// RFC 6066 §3: a host name in lower case, never an address.
    private static func serverName(of authority: Substring) -> String {
        guard authority.first != "[" else { return "" }
        let host = authority.prefix { $0 != ":" }
        return IPAddress(host) == nil ? host.lowercased() : ""
    }

    private static func port(of authority: Substring) throws(Invalid) -> UInt16? {
        guard let colon = authority.lastIndex(of: ":"), authority.last != "]" else { return nil }
        guard let port = UInt16(authority[authority.index(after: colon)...]) else {
            throw Invalid(message: "the URL's port is no number from 0 to 65535")
        }
        return port
    }
}
