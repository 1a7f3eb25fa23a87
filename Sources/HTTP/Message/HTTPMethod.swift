/// A request method (RFC 9110 §9, RFC 5789). The text of `other` is in the request head.
public enum HTTPMethod: UInt8, CaseIterable, Hashable, Sendable {
    case get, head, post, put, delete, connect, options, trace, patch
    /// Any other token; compare the bytes of `RequestHead.methodText`.
    case other

    /// The method as it stands on the wire; empty for `other`.
    public var text: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        case .other: ""
        }
    }

    /// The method that `text` spells; methods are case-sensitive (RFC 9110 §9.1).
    public init(_ text: ByteSlice) {
        self = Self.allCases.first { $0 != .other && text == $0.text } ?? .other
    }

    /// Repeating the request has the effect of sending it once (RFC 9110 §9.2.2).
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .connect, .patch, .other: false
        }
    }

    /// The client asks for nothing but a reading (RFC 9110 §9.2.1).
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .post, .put, .delete, .connect, .patch, .other: false
        }
    }
}
