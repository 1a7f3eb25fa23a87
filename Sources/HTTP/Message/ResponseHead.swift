/// A response's head, whichever version it came in. Its bytes and its reuse are as for `RequestHead`.
public struct ResponseHead: ~Copyable {
    public var status = HTTPStatus.ok
    public package(set) var version = HTTPVersion.http11
    /// What follows the head, the request's method considered: none for an answer to HEAD.
    public package(set) var bodyLength = BodyLength.none
    /// 101 to a request that offered an upgrade, or 2xx to CONNECT: the connection leaves HTTP behind this head.
    public package(set) var switchesProtocol = false
    /// The header fields. `Content-Length` and the hop-by-hop fields are there to be read: what is sent on in their
    /// place comes from how the body is framed, and from the connection.
    public var headers: HeaderTable

    /// - Parameter headersMax: fields to hold without growing, the configured limit; at least 1.
    public init(headersMax: Int) { headers = HeaderTable(capacity: headersMax) }

    /// For a filter that exchanges the body for one of another length: it is sent in chunks, its end shows when it
    /// comes. Does nothing to a response without a body.
    public mutating func forgetBodyLength() {
        guard bodyLength != .none else { return }
        bodyLength = .unknown
        headers.remove(.contentLength)
    }

    /// Forgets everything, every slice handed out included, and keeps the storage.
    package mutating func reset() {
        status = .ok
        version = .http11
        bodyLength = .none
        switchesProtocol = false
        headers.reset()
    }

    /// For heads that are made here rather than parsed.
    package mutating func setBodyLength(_ length: BodyLength) { bodyLength = length }

    /// Says that the head's bytes now live at `bytes`, an exact copy of where they were when it was parsed.
    package mutating func moveSource(to bytes: ByteSlice) { headers.setSource(bytes) }

    /// Makes `other` a copy that does not depend on where the bytes of this head are.
    package func copy(to other: inout ResponseHead) {
        other.reset()
        other.status = status
        other.version = version
        other.bodyLength = bodyLength
        other.switchesProtocol = switchesProtocol
        headers.copyFields(to: &other.headers)
    }
}
