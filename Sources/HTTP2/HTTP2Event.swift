package import HTTP

/// A stream of a session: the slot of its state. Valid until its `closed` event was taken.
package struct HTTP2Stream: Hashable, Sendable {
    package let slot: UInt32

    package init(slot: UInt32) { self.slot = slot }
}

/// What a session has found in the bytes it was given.
///
/// The order within a stream is that of `StreamEvent`: heads, bodies, trailers, end; at any point `malformed`; and
/// `closed`, which is always the last and always comes.
package enum HTTP2Event: Equatable, Sendable {
    /// A head is complete. It is read with `finishRequest` or `finishResponse`, before the next call of `receive`.
    case head(HTTP2Stream, endsStream: Bool)
    /// Bytes of a body: a range of those handed to `receive`. Give them back with `consume` when they have gone on.
    case body(HTTP2Stream, offset: Int, length: Int)
    /// Trailers are complete. They are read with `finishTrailers`, before the next call of `receive`.
    case trailers(HTTP2Stream)
    /// The peer's message is complete.
    case end(HTTP2Stream)
    /// The peer's message breaks a rule or a limit. Nothing more of it comes: answer the request or reset the stream.
    case malformed(HTTP2Stream, HTTPMessageError)
    /// The stream is gone. `noError` when both messages were complete. The slot is free when this has been taken.
    case closed(HTTP2Stream, HTTP2ErrorCode)
    /// What was queued for a stream has gone down to the low mark.
    case drained(HTTP2Stream)
    /// The peer takes no new streams: GOAWAY. Those that it did not process are closed with `refusedStream`.
    case goAway(HTTP2ErrorCode)
    /// The peer has told its settings, for the first time or anew.
    case settings
    /// The answer to a `ping` of this kind.
    case pong(HTTP2Ping)
}

/// What a PING is for (RFC 9113 §6.7); its answer says so again.
package enum HTTP2Ping: UInt8, Sendable {
    /// One round trip is over: what the peer had sent before it knew has come.
    case roundTrip = 1
    /// The peer is alive.
    case signOfLife
    /// How much comes in one round trip. The session's own, never handed on.
    case bandwidth
}

/// Why a session cannot go on.
package enum HTTP2Failure: Equatable, Sendable {
    /// The peer broke the protocol.
    case protocolError(HTTP2ErrorCode)
    case abuse(HTTP2Abuse)
    /// No memory.
    case internalError
}
