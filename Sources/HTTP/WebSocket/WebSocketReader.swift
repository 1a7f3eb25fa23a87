/// Reads the frames that a client sends (RFC 6455 §5), resumable at every byte.
///
/// The payload of messages is handed on as ranges of the bytes that were given, masked as it came; only control
/// frames, of 125 bytes at most, are collected. So nothing grows with what a client sends.
package struct WebSocketReader {
    package enum Step: Equatable {
        /// A piece of a message, perhaps empty.
        case data(Piece)
        /// To be answered with a pong of the same payload.
        case ping([UInt8])
        /// An answer, or a sign of life.
        case pong
        /// The client ends the WebSocket; to be answered with the same code, nil for none.
        case close(WebSocketCloseCode?)
        /// Everything given was read; more is needed.
        case incomplete
        /// Send this code and close.
        case failed(WebSocketCloseCode)
    }

    package struct Piece: Equatable {
        /// Where the bytes lie in those that were given.
        package let range: Range<Int>
        /// The mask, its byte for the first of these highest.
        package let mask: UInt32
        /// `.text` or `.binary` for the first piece of a message, `.continuation` for all others.
        package let opcode: WebSocketOpcode
        /// The message ends with this piece.
        package let isLast: Bool
    }

    private enum State {
        case first, length
        /// - `least`: what would have fitted in fewer bytes is below it.
        case extendedLength(missing: Int, least: UInt64)
        case mask(missing: Int)
        case payload
    }

    private let messageBytesMax: UInt64
    private var state = State.first
    // The frame that is being read.
    private var opcode = WebSocketOpcode.continuation
    private var isFinal = false
    private var remaining: UInt64 = 0
    private var mask: UInt32 = 0
    private var control: [UInt8] = []
    // The message that its frames make up.
    private var isInMessage = false
    private var isText = false
    private var isFirstPiece = false
    private var messageBytes: UInt64 = 0
    private var text = UTF8Validator()

    /// - Parameter messageBytesMax: bytes of all frames of a message together.
    package init(messageBytesMax: UInt64) { self.messageBytesMax = messageBytesMax }

    /// Reads on from `position`, which moves over what was read.
    package mutating func next(_ bytes: ByteSlice, at position: inout Int) -> Step {
        while true {
            if case .payload = state {
                if remaining > 0, position == bytes.count { return .incomplete }
                if let step = opcode.isControl ? readControl(bytes, &position) : readData(bytes, &position) {
                    return step
                }
                continue
            }
            guard position < bytes.count else { return .incomplete }
            let byte = bytes[position]
            position += 1
            if let code = readHeader(byte) { return .failed(code) }
        }
    }

    /// One byte of a frame's header; the code to fail with, if it must not stand there.
    private mutating func readHeader(_ byte: UInt8) -> WebSocketCloseCode? {
        switch state {
        case .first:
            // No extension was agreed on, so none of the reserved bits has a meaning.
            guard byte & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: byte & 15) else { return .protocolError }
            self.opcode = opcode
            isFinal = byte & 0x80 != 0
            if opcode.isControl {
                guard isFinal else { return .protocolError }
            } else {
                guard isInMessage == (opcode == .continuation) else { return .protocolError }
            }
            state = .length
        case .length:
            // RFC 6455 §5.1: clients mask.
            guard byte & 0x80 != 0 else { return .protocolError }
            remaining = 0
            switch byte & 0x7F {
            case 126...127 where opcode.isControl: return .protocolError
            case 126: state = .extendedLength(missing: 2, least: 126)
            case 127: state = .extendedLength(missing: 8, least: 65_536)
            case let length:
                remaining = UInt64(length)
                state = .mask(missing: 4)
            }
            return checkLength()
        case .extendedLength(let missing, let least):
            remaining = remaining << 8 | UInt64(byte)
            state = missing > 1 ? .extendedLength(missing: missing - 1, least: least) : .mask(missing: 4)
            // RFC 6455 §5.2: in as few bytes as it takes, and never more than 63 bits.
            if missing == 1, remaining < least || remaining >> 63 != 0 { return .protocolError }
            return checkLength()
        case .mask(let missing):
            mask = mask << 8 | UInt32(byte)
            state = missing > 1 ? .mask(missing: missing - 1) : .payload
            if missing == 1 { beginPayload() }
        case .payload: preconditionFailure("not read byte by byte")
        }
        return nil
    }

    /// Once the length is known: whether the message stays within its limit.
    private func checkLength() -> WebSocketCloseCode? {
        guard case .mask = state, !opcode.isControl else { return nil }
        let before = opcode == .continuation ? messageBytes : 0
        return remaining > messageBytesMax - before ? .messageTooBig : nil
    }

    private mutating func beginPayload() {
        if opcode.isControl {
            control.removeAll(keepingCapacity: true)
            return
        }
        guard opcode != .continuation else { return }
        isInMessage = true
        isText = opcode == .text
        isFirstPiece = true
        messageBytes = 0
        text = UTF8Validator()
    }

    private mutating func readData(_ bytes: ByteSlice, _ position: inout Int) -> Step? {
        let length = Int(min(remaining, UInt64(bytes.count - position)))
        let range = position..<position + length
        let pieceMask = mask
        position += length
        remaining -= UInt64(length)
        messageBytes += UInt64(length)
        if isText {
            for index in range {
                mask = mask << 8 | mask >> 24
                guard text.accept(bytes[index] ^ UInt8(truncatingIfNeeded: mask)) else { return .failed(.invalidData) }
            }
        } else {
            let turned = UInt32(length % 4) * 8
            mask = mask << turned | (turned == 0 ? 0 : mask >> (32 - turned))
        }
        let isLast = isFinal && remaining == 0
        if isLast, isText, !text.isComplete { return .failed(.invalidData) }
        if remaining == 0 { state = .first }
        let pieceOpcode: WebSocketOpcode = !isFirstPiece ? .continuation : isText ? .text : .binary
        if isLast { isInMessage = false }
        // A piece that carries nothing and ends nothing would be a frame for nothing.
        if length == 0, !isLast { return nil }
        isFirstPiece = false
        return .data(Piece(range: range, mask: pieceMask, opcode: pieceOpcode, isLast: isLast))
    }

    /// Nil while the frame is incomplete.
    private mutating func readControl(_ bytes: ByteSlice, _ position: inout Int) -> Step? {
        while remaining > 0, position < bytes.count {
            mask = mask << 8 | mask >> 24
            control.append(bytes[position] ^ UInt8(truncatingIfNeeded: mask))
            position += 1
            remaining -= 1
        }
        guard remaining == 0 else { return nil }
        state = .first
        switch opcode {
        case .ping: return .ping(control)
        case .pong: return .pong
        default: return close()
        }
    }

    /// RFC 6455 §5.5.1: nothing, or a code and a reason in UTF-8.
    private func close() -> Step {
        if control.isEmpty { return .close(nil) }
        guard control.count >= 2 else { return .failed(.protocolError) }
        let code = WebSocketCloseCode(rawValue: UInt16(control[0]) << 8 | UInt16(control[1]))
        guard code.mayBeSent else { return .failed(.protocolError) }
        var reason = UTF8Validator()
        for byte in control.dropFirst(2) where !reason.accept(byte) { return .failed(.invalidData) }
        return reason.isComplete ? .close(code) : .failed(.invalidData)
    }
}
