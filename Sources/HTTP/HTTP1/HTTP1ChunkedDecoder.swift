/// Takes chunked framing off a body (RFC 9112 §7.1), resumable at every byte; data is handed on as ranges of the
/// bytes that were given, never copied.
///
/// Strict where recipients are known to differ: sizes are 1–16 hexadecimal digits and nothing else, lines end with
/// CRLF only, extensions follow their grammar and are dropped.
package struct HTTP1ChunkedDecoder {
    private enum State: UInt8 {
        case size, blankBehindSize
        case extensionStart, extensionName, blankBehindName, valueStart, valueToken, blankBehindValue
        case quoted, quotedEscape, behindQuoted
        case sizeLineFeed
        case data, dataCarriageReturn, dataLineFeed
        case trailerStart, trailerLineFeed, trailers
        case end
    }

    private var state = State.size
    private var digitCount: UInt8 = 0
    /// The size while it is read, then the bytes of data still to come.
    private var remaining: UInt64 = 0
    private var bodyBytes: UInt64 = 0
    private var extensionBytes = 0
    /// Made only for a body that has trailers.
    package private(set) var trailers: HTTP1TrailerSection?

    package init() {}

    /// The last chunk and the trailer section have been read.
    package var isComplete: Bool { state == .end }

    /// Data bytes of the current chunk still to come: what may bypass the decoder if `skip(_:)` is told.
    package var remainingInChunk: UInt64 { state == .data ? remaining : 0 }

    /// Data bytes that went past the decoder; at most `remainingInChunk`.
    package mutating func skip(_ byteCount: UInt64) {
        precondition(state == .data && byteCount <= remaining, "skipped more than the chunk has left")
        remaining -= byteCount
        if remaining == 0 { state = .dataCarriageReturn }
    }

    /// Reads on from `position`, which moves over what was read.
    package mutating func next(_ bytes: ByteSlice, at position: inout Int, limits: HTTP1Limits) -> HTTP1BodyStep {
        while state != .end {
            guard position < bytes.count else { return .incomplete }
            if state == .data {
                let length = Int(min(remaining, UInt64(bytes.count - position)))
                let offset = position
                position += length
                skip(UInt64(length))
                return .event(.body(offset: offset, length: length))
            }
            if state == .trailers {
                if let step = readTrailers(bytes, at: &position, limits: limits) { return step }
                continue
            }
            if let error = read(bytes[position], limits: limits) { return .malformed(error) }
            // The first byte of a trailer belongs to the trailer section, which reads it again.
            if state != .trailers { position += 1 }
        }
        return .event(.end)
    }

    /// One byte of framing.
    private mutating func read(_ byte: UInt8, limits: HTTP1Limits) -> HTTPMessageError? {
        switch state {
        case .size: return readSize(byte)
        case .sizeLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            return startChunk(limits: limits)
        case .dataCarriageReturn:
            guard byte == .carriageReturn else { return .invalidChunkTerminator }
            state = .dataLineFeed
        case .dataLineFeed:
            guard byte == .lineFeed else { return .invalidChunkTerminator }
            state = .size
            digitCount = 0
            remaining = 0
        case .trailerStart: state = byte == .carriageReturn ? .trailerLineFeed : .trailers
        case .trailerLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .end
        case .blankBehindSize, .extensionStart, .extensionName, .blankBehindName, .valueStart, .valueToken,
            .blankBehindValue, .quoted, .quotedEscape, .behindQuoted:
            extensionBytes += 1
            guard extensionBytes <= limits.chunkExtensionBytesMax else { return .chunkExtensionsTooLarge }
            return readExtension(byte)
        case .data, .trailers, .end: preconditionFailure("not read byte by byte")
        }
        return nil
    }

    private mutating func readSize(_ byte: UInt8) -> HTTPMessageError? {
        if let digit = ASCII.hexValue(byte) {
            guard digitCount < 16 else { return .invalidChunkSize }
            digitCount += 1
            remaining = remaining << 4 | UInt64(digit)
            return remaining > UInt64(Int64.max) ? .chunkSizeOverflow : nil
        }
        guard digitCount > 0 else { return .invalidChunkSize }
        switch byte {
        case .carriageReturn: state = .sizeLineFeed
        case UInt8(ascii: ";"): state = .extensionStart
        case UInt8(ascii: " "), .tab: state = .blankBehindSize
        case .lineFeed: return .bareLineFeed
        default: return .invalidChunkSize
        }
        return nil
    }

    private mutating func startChunk(limits: HTTP1Limits) -> HTTPMessageError? {
        guard remaining > 0 else {
            state = .trailerStart
            return nil
        }
        let (total, overflow) = bodyBytes.addingReportingOverflow(remaining)
        guard !overflow, total <= limits.bodyBytesMax else { return .bodyTooLarge }
        bodyBytes = total
        state = .data
        return nil
    }

    /// `chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, RFC 9112 §7.1.1.
    private mutating func readExtension(_ byte: UInt8) -> HTTPMessageError? {
        let isBlank = ASCII.isBlank(byte)
        switch state {
        case .blankBehindSize, .blankBehindValue:
            if isBlank { return nil }
            return byte == UInt8(ascii: ";") ? move(to: .extensionStart) : .invalidChunkExtension
        case .extensionStart:
            if isBlank { return nil }
            return ASCII.isToken(byte) ? move(to: .extensionName) : .invalidChunkExtension
        case .extensionName:
            if ASCII.isToken(byte) { return nil }
            if byte == UInt8(ascii: "=") { return move(to: .valueStart) }
            return readExtensionEnd(byte, blank: .blankBehindName)
        case .blankBehindName:
            if isBlank { return nil }
            if byte == UInt8(ascii: "=") { return move(to: .valueStart) }
            return byte == UInt8(ascii: ";") ? move(to: .extensionStart) : .invalidChunkExtension
        case .valueStart:
            if isBlank { return nil }
            if byte == UInt8(ascii: "\"") { return move(to: .quoted) }
            return ASCII.isToken(byte) ? move(to: .valueToken) : .invalidChunkExtension
        case .valueToken:
            if ASCII.isToken(byte) { return nil }
            return readExtensionEnd(byte, blank: .blankBehindValue)
        case .quoted:
            if byte == UInt8(ascii: "\\") { return move(to: .quotedEscape) }
            if byte == UInt8(ascii: "\"") { return move(to: .behindQuoted) }
            return ASCII.isFieldValue(byte) ? nil : .invalidChunkExtension
        case .quotedEscape: return ASCII.isFieldValue(byte) ? move(to: .quoted) : .invalidChunkExtension
        case .behindQuoted: return readExtensionEnd(byte, blank: .blankBehindValue)
        case .size, .sizeLineFeed, .data, .dataCarriageReturn, .dataLineFeed, .trailerStart, .trailerLineFeed,
            .trailers, .end:
            preconditionFailure("not part of an extension")
        }
    }

    /// What may stand behind a complete extension.
    private mutating func readExtensionEnd(_ byte: UInt8, blank: State) -> HTTPMessageError? {
        switch byte {
        case .carriageReturn: return move(to: .sizeLineFeed)
        case .lineFeed: return .bareLineFeed
        case UInt8(ascii: ";"): return move(to: .extensionStart)
        case UInt8(ascii: " "), .tab: return move(to: blank)
        default: return .invalidChunkExtension
        }
    }

    private mutating func move(to next: State) -> HTTPMessageError? {
        state = next
        return nil
    }

    /// Nil when the section is complete and `.trailers` was already reported.
    private mutating func readTrailers(
        _ bytes: ByteSlice, at position: inout Int, limits: HTTP1Limits
    ) -> HTTP1BodyStep? {
        let section = trailers ?? HTTP1TrailerSection(limits: limits)
        trailers = section
        switch section.read(bytes, at: &position) {
        case .complete:
            state = .end
            return .event(.trailers)
        case .incomplete: return .incomplete
        case .malformed(let error): return .malformed(error)
        }
    }
}
