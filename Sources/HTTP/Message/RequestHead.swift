/// A request's head, whichever version it came in.
///
/// Parsers fill it, filters read and change it, writers serialise it. It owns no bytes of the received head: those
/// stay where they are, kept by the connection, until `reset()`. Reuse heads from a pool: a table for 100 headers
/// takes 1.6 KiB.
public struct RequestHead: ~Copyable {
    /// The form of the request target (RFC 9112 §3.2).
    public enum TargetForm: UInt8, Sendable {
        /// A path and perhaps a query.
        case origin
        /// A whole URI; its authority and path are kept, its scheme is in `scheme`.
        case absolute
        /// `host:port`, CONNECT only.
        case authority
        /// `*`, OPTIONS only.
        case asterisk
    }

    /// The scheme a client named in the target.
    public enum Scheme: UInt8, Sendable {
        /// None named: the listener knows whether it speaks TLS.
        case unspecified
        case http, https
    }

    public package(set) var method = HTTPMethod.get
    public package(set) var version = HTTPVersion.http11
    public package(set) var targetForm = TargetForm.origin
    public package(set) var scheme = Scheme.unspecified
    /// What the head says about the body behind it.
    public package(set) var bodyLength = BodyLength.none
    /// `Expect: 100-continue` of an HTTP/1.1 request: the client waits for a 100 before it sends the body.
    public package(set) var expectsContinue = false
    /// `Connection: upgrade` together with `Upgrade`: the client offers to leave HTTP. An extended CONNECT of HTTP/2
    /// (RFC 8441) is kept as the GET with `Upgrade` that means the same.
    public package(set) var offersUpgrade = false
    /// `TE: trailers`: the client will look at trailers (RFC 9110 §10.1.4).
    public package(set) var acceptsTrailers = false
    /// The header fields. `Host`, `Content-Length` and the hop-by-hop fields are there to be read: what is
    /// sent on in their place comes from `authority`, from how the body is framed, and from the connection.
    public var headers: HeaderTable

    var methodRange = TextRange()
    var authorityRange = TextRange()
    var pathRange = TextRange()
    var queryRange = TextRange()
    var hasQuery = false

    /// - Parameter headersMax: fields to hold without growing, the configured limit; at least 1.
    public init(headersMax: Int) { headers = HeaderTable(capacity: headersMax) }

    /// The method's bytes; needed only for `HTTPMethod.other`.
    public var methodText: ByteSlice { method == .other ? text(methodRange) : ByteSlice(method.text) }

    /// Host and perhaps port: of the target if it named one, else of `Host`. Empty in an HTTP/1.0 request without.
    public var authority: ByteSlice { text(authorityRange) }

    /// The path as it was sent or last set, `/` at least; empty for CONNECT and for `OPTIONS *`.
    public var path: ByteSlice { text(pathRange) }

    /// What stands behind the `?`, nil without one.
    public var query: ByteSlice? { hasQuery ? text(queryRange) : nil }

    /// The request came as an extended CONNECT (RFC 8441): the client wants the other protocol or nothing.
    package var isExtendedConnect: Bool { version == .http2 && offersUpgrade }

    /// Replaces the path. The bytes are copied; they must be those of a path, as `PathNormalizer` leaves them.
    ///
    /// - Returns: false, with nothing changed, when a byte may not stand in a target or the arena is full.
    @discardableResult
    public mutating func setPath(_ path: ByteSlice) -> Bool {
        guard path.first == UInt8(ascii: "/"), Self.isTarget(path, allowing: nil) else { return false }
        guard let range = store(path) else { return false }
        pathRange = range
        return true
    }

    /// Replaces the query; nil takes it away together with its `?`. Fails as `setPath(_:)` does.
    @discardableResult
    public mutating func setQuery(_ query: ByteSlice?) -> Bool {
        guard let query else {
            hasQuery = false
            queryRange = TextRange()
            return true
        }
        guard Self.isTarget(query, allowing: UInt8(ascii: "?")), let range = store(query) else { return false }
        queryRange = range
        hasQuery = true
        return true
    }

    /// Replaces host and port, where requests are routed and what the upstream receives as `Host`.
    ///
    /// - Returns: false, with nothing changed, when this is no authority (RFC 3986 §3.2, without user information).
    @discardableResult
    public mutating func setAuthority(_ authority: ByteSlice) -> Bool {
        guard Authority(authority) != nil, let range = store(authority) else { return false }
        authorityRange = range
        return true
    }

    /// Replaces the method, for heads that are made here rather than parsed.
    ///
    /// - Returns: false, with nothing changed, when this is no token (RFC 9110 §9.1).
    @discardableResult
    public mutating func setMethod(_ text: ByteSlice) -> Bool {
        guard text.isToken else { return false }
        let known = HTTPMethod(text)
        if known == .other {
            guard let range = store(text) else { return false }
            methodRange = range
        }
        method = known
        return true
    }

    /// For a filter that exchanges the body for one of another length: it is sent in chunks, its end shows when it
    /// comes. Does nothing to a request without a body.
    public mutating func forgetBodyLength() {
        guard bodyLength != .none else { return }
        bodyLength = .unknown
        headers.remove(.contentLength)
    }

    /// The body is at hand, and this long.
    package mutating func setBodyLength(_ length: BodyLength) { bodyLength = length }

    /// The client has been told to send the body: nobody behind this proxy has to.
    package mutating func expectationMet() {
        expectsContinue = false
        headers.remove(.expect)
    }

    /// Forgets everything, every slice handed out included, and keeps the storage.
    package mutating func reset() {
        method = .get
        version = .http11
        targetForm = .origin
        scheme = .unspecified
        bodyLength = .none
        expectsContinue = false
        offersUpgrade = false
        acceptsTrailers = false
        methodRange = TextRange()
        authorityRange = TextRange()
        pathRange = TextRange()
        queryRange = TextRange()
        hasQuery = false
        headers.reset()
    }

    /// Makes `other` the same head with bytes of its own, whatever it was before.
    ///
    /// - Returns: false, with nothing of use in `other`, when its arena is full.
    package func copy(to other: inout RequestHead) -> Bool {
        other.reset()
        other.method = method
        other.version = version
        other.targetForm = targetForm
        other.scheme = scheme
        other.bodyLength = bodyLength
        other.expectsContinue = expectsContinue
        other.offersUpgrade = offersUpgrade
        other.acceptsTrailers = acceptsTrailers
        other.hasQuery = hasQuery
        headers.copyFields(to: &other.headers)
        guard let method = other.store(text(methodRange)), let authority = other.store(text(authorityRange)),
            let path = other.store(text(pathRange)), let query = other.store(text(queryRange))
        else { return false }
        other.methodRange = method
        other.authorityRange = authority
        other.pathRange = path
        other.queryRange = query
        return true
    }

    /// Says that the head's bytes now live at `bytes`, an exact copy of where they were when it was parsed.
    package mutating func moveSource(to bytes: ByteSlice) { headers.setSource(bytes) }

    @inline(__always)
    func text(_ range: TextRange) -> ByteSlice { headers.slice(at: range.location, length: Int(range.length)) }

    private mutating func store(_ bytes: ByteSlice) -> TextRange? {
        headers.storeText(room: bytes.count) { $0.append(bytes) }
    }

    /// Whether every byte may stand in a path, or with `?` in a query.
    private static func isTarget(_ bytes: ByteSlice, allowing questionMark: UInt8?) -> Bool {
        for index in 0..<bytes.count {
            let byte = bytes[index]
            guard ASCII.isTarget(byte) || ASCII.isUnwiseTarget(byte) else { return false }
            if byte == UInt8(ascii: "?"), questionMark == nil { return false }
        }
        return true
    }
}
