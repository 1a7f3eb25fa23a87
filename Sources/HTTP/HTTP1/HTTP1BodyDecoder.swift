/// What a decoder found next in a body.
package enum HTTP1BodyStep: Equatable {
    /// `.body`, `.trailers` or `.end`.
    case event(StreamEvent)
    /// Everything given was read; more is needed.
    case incomplete
    /// Refuse it and close.
    case malformed(HTTP1Error)
}

/// Reads a body whichever way it is framed, as stream events.
///
///     var decoder = HTTP1BodyDecoder(parser.bodyFraming)
///     var position = headLength
///     loop: while true {
///         switch decoder.next(bytes, at: &position, limits: limits) {
///         case .event(.body(let offset, let length)): …
///         case .event(.trailers): …       // decoder.trailers
///         case .event(.end): break loop   // the next message begins at `position`
///         case .event(.head), .event(.reset): …   // never comes from here
///         case .incomplete: break loop    // call again with the bytes that follow
///         case .malformed(let error): …
///         }
///     }
package struct HTTP1BodyDecoder {
    private enum State {
        case length(remaining: UInt64)
        case chunked(HTTP1ChunkedDecoder)
        case untilClose(bodyBytes: UInt64)
    }

    private var state: State

    package init(_ framing: HTTP1BodyFraming) {
        state =
            switch framing {
            case .none: .length(remaining: 0)
            case .length(let length): .length(remaining: length)
            case .chunked: .chunked(HTTP1ChunkedDecoder())
            case .untilClose: .untilClose(bodyBytes: 0)
            }
    }

    /// Reads on from `position`, which moves over what was read. Once the body has ended, answers `.end` each time.
    package mutating func next(_ bytes: ByteSlice, at position: inout Int, limits: HTTP1Limits) -> HTTP1BodyStep {
        switch state {
        case .length(remaining: 0): return .event(.end)
        case .length(let remaining):
            let length = Int(min(remaining, UInt64(bytes.count - position)))
            guard length > 0 else { return .incomplete }
            state = .length(remaining: remaining - UInt64(length))
            return body(length, at: &position)
        case .chunked(var decoder):
            let step = decoder.next(bytes, at: &position, limits: limits)
            state = .chunked(decoder)
            return step
        case .untilClose(let bodyBytes):
            let length = bytes.count - position
            guard length > 0 else { return .incomplete }
            guard bodyBytes + UInt64(length) <= limits.bodyBytesMax else { return .malformed(.bodyTooLarge) }
            state = .untilClose(bodyBytes: bodyBytes + UInt64(length))
            return body(length, at: &position)
        }
    }

    /// The peer has closed. Only a body that ends with the connection has then arrived in full: anything else was cut
    /// short and must not look complete to whoever receives it.
    package func close() -> HTTP1BodyStep {
        switch state {
        case .length(remaining: 0), .untilClose: .event(.end)
        case .length, .chunked: .malformed(.truncatedBody)
        }
    }

    /// Bytes ahead that are nothing but body, so that they may pass without being looked at (by splice, say) if
    /// `skip(_:)` is told. `UInt64.max` for a body that ends with the connection.
    package var bulkBytes: UInt64 {
        switch state {
        case .length(let remaining): remaining
        case .chunked(let decoder): decoder.remainingInChunk
        case .untilClose: .max
        }
    }

    /// Whether more of the body is to come for certain: bytes can be handed on without asking whether they were the
    /// last.
    package var isOpenEnded: Bool {
        switch state {
        case .length(let remaining): remaining > 0
        case .chunked: false
        case .untilClose: true
        }
    }

    /// Body bytes that passed without being looked at; at most `bulkBytes`.
    package mutating func skip(_ byteCount: UInt64) {
        switch state {
        case .length(let remaining):
            precondition(byteCount <= remaining, "skipped more than the body has left")
            state = .length(remaining: remaining - byteCount)
        case .chunked(var decoder):
            decoder.skip(byteCount)
            state = .chunked(decoder)
        case .untilClose(let bodyBytes): state = .untilClose(bodyBytes: bodyBytes + byteCount)
        }
    }

    /// The trailers of a chunked body, once `.trailers` was reported.
    package var trailers: HTTP1TrailerSection? {
        if case .chunked(let decoder) = state { decoder.trailers } else { nil }
    }

    private func body(_ length: Int, at position: inout Int) -> HTTP1BodyStep {
        let offset = position
        position += length
        return .event(.body(offset: offset, length: length))
    }
}
