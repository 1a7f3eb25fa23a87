/// What a head says about the body that follows it, whatever the version.
public enum BodyLength: Hashable, Sendable {
    /// No body follows: the head is the whole message.
    case none
    /// Exactly this many bytes follow, which may be zero.
    case exactly(UInt64)
    /// A body follows whose end shows only when it comes, perhaps with trailers behind it.
    case unknown
}

/// What a codec tells the owner of a stream.
///
/// The order is always: head, any number of bodies, at most one trailers, end; or, at any point, reset. Informational
/// responses are heads of their own before the head of the answer. Bytes are never carried in an event: heads and
/// trailers are in the message the codec was given to fill, a body is a range of the bytes it was given to read.
public enum StreamEvent: Equatable, Sendable {
    /// The head is complete.
    case head
    /// Body bytes: `length` of them, at `offset` of the bytes handed to the codec.
    case body(offset: Int, length: Int)
    /// The trailer section is complete.
    case trailers
    /// The message is complete; nothing more belongs to it.
    case end
    /// The message will not be completed.
    case reset(StreamReset)
}

/// Why a stream ends before its message does. The codec of each version translates it: HTTP/1.1 closes the
/// connection, HTTP/2 sends RST_STREAM with the code of RFC 9113 §7.
public enum StreamReset: Equatable, Sendable {
    /// The peer broke the protocol.
    case protocolError
    /// The peer closed, or the connection failed, in the middle of the message.
    case truncated
    /// Whoever asked no longer wants the answer.
    case cancelled
    /// Refused before anything was done: safe to try again.
    case refused
    /// The message is larger than configured.
    case tooLarge
    /// The peer asks for less (ENHANCE_YOUR_CALM).
    case overloaded
    /// We failed.
    case internalError
}
