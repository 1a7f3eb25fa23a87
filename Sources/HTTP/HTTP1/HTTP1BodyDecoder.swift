/// What a decoder found next in a body.
package enum HTTP1BodyStep: Equatable {
    /// `.body`, `.trailers` or `.end`.
    case event(StreamEvent)
    /// Everything given was read; more is needed.
    case incomplete
    /// Refuse it and close.
    case malformed(HTTPMessageError)
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
    private enum Kind { case length, chunked, untilClose }

    private let kind: Kind
    /// With a length, the bytes still to come; until close, those that came.
    private var byteCount: UInt64 = 0
    /// Beside the kind rather than in it: taking it out of an enum and putting it back costs more than decoding.
    private var chunked = HTTP1ChunkedDecoder()

    package init(_ framing: HTTP1BodyFraming) {
        switch framing {
        case .none: kind = .length
        case .length(let length):
            kind = .length
            byteCount = length
        case .chunked: kind = .chunked
        case .untilClose: kind = .untilClose
        }
    }

    /// Reads on from `position`, which moves over what was read. Once the body has ended, answers `.end` each time.
    package mutating func next(_ bytes: ByteSlice, at position: inout Int, limits: HTTP1Limits) -> HTTP1BodyStep {
        switch kind {
        case .chunked: return chunked.next(bytes, at: &position, limits: limits)
        case .length:
            guard byteCount > 0 else { return .event(.end) }
            let length = Int(min(byteCount, UInt64(bytes.count - position)))
            guard length > 0 else { return .incomplete }
            byteCount -= UInt64(length)
            return body(length, at: &position)
        case .untilClose:
            let length = bytes.count - position
            guard length > 0 else { return .incomplete }
            byteCount += UInt64(length)
            guard byteCount <= limits.bodyBytesMax else { return .malformed(.bodyTooLarge) }
            return body(length, at: &position)
        }
    }

    /// The peer has closed. Only a body that ends with the connection has then arrived in full: anything else was cut
    /// short and must not look complete to whoever receives it.
    package func close() -> HTTP1BodyStep {
        let isComplete =
            switch kind {
            case .length: byteCount == 0
            case .chunked: chunked.isComplete
            case .untilClose: true
            }
        return isComplete ? .event(.end) : .malformed(.truncatedBody)
    }

    /// Bytes ahead that are nothing but body, so that they may pass without being looked at (by splice, say) if
    /// `skip(_:)` is told. `UInt64.max` for a body that ends with the connection.
    package var bulkBytes: UInt64 {
        switch kind {
        case .length: byteCount
        case .chunked: chunked.remainingInChunk
        case .untilClose: .max
        }
    }

    /// Whether more of the body is to come for certain: bytes can be handed on without asking whether they were the
    /// last.
    package var isOpenEnded: Bool {
        switch kind {
        case .length: byteCount > 0
        case .chunked: false
        case .untilClose: true
        }
    }

    /// Body bytes that passed without being looked at; at most `bulkBytes`. `bodyBytesMax` is not applied to them.
    package mutating func skip(_ skipped: UInt64) {
        switch kind {
        case .length:
            precondition(skipped <= byteCount, "skipped more than the body has left")
            byteCount -= skipped
        case .chunked: chunked.skip(skipped)
        case .untilClose: byteCount += skipped
        }
    }

    /// The trailers of a chunked body, once `.trailers` was reported.
    package var trailers: HTTP1TrailerSection? { chunked.trailers }

    private func body(_ length: Int, at position: inout Int) -> HTTP1BodyStep {
        let offset = position
        position += length
        return .event(.body(offset: offset, length: length))
    }
}
