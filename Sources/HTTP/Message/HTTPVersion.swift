/// The version a message was received in.
public enum HTTPVersion: UInt8, Hashable, Sendable {
    case http10, http11, http2

    /// As access logs write it.
    public var text: StaticString {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        }
    }
}
