/// Where the body of an HTTP/1.x message ends (RFC 9112 §6.3).
public enum HTTP1BodyFraming: Hashable, Sendable {
    /// There is none.
    case none
    /// After so many bytes.
    case length(UInt64)
    /// Where the chunks say so.
    case chunked
    /// With the connection; responses only.
    case untilClose

    /// The same in words that fit every version.
    var bodyLength: BodyLength {
        switch self {
        case .none: .none
        case .length(let length): .exactly(length)
        case .chunked, .untilClose: .unknown
        }
    }
}
