public import Config
public import Engine
internal import HTTP
internal import Upstream

/// A WebSocket server that sends back every message (RFC 6455): something to put behind an `http:` listener in
/// demonstrations and tests. A terminal filter.
///
/// Messages are sent back while they come, in frames of its own, so a message of any length takes no memory. Text that
/// is not UTF-8, frames that break the protocol and messages beyond the limit end the connection with the code that
/// RFC 6455 §7.4 has for them.
public final class WebSocketEchoFilter: NetworkFilter, ConfigurableNetworkFilter {
    public struct Settings: Sendable {
        var messageBytesMax: UInt64
        var idleTimeoutNs: UInt64
    }

    public static let name = "websocket_echo"
    public static let isTerminal = true

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let messageBytes = object.value(
            "message_bytes", .size(in: ConfigLimits.webSocketMessageBytes), default: .mebibytes(16))
        let idleTimeout = object.value(
            "idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout), default: .minutes(5))
        guard object.finish() else { return nil }
        return Settings(messageBytesMax: UInt64(messageBytes.bytes), idleTimeoutNs: idleTimeout?.nanoseconds ?? 0)
    }

    private enum Phase {
        case handshake
        case open
        /// The last frame was sent.
        case closing
    }

    private static let limits = HTTP1Limits(headerBytesMax: 16_384)
    /// How long the handshake may take.
    private static let handshakeTimeoutNs: UInt64 = 15_000_000_000

    private let settings: Settings
    private var phase = Phase.handshake
    /// A handshake that came in pieces.
    private var input: [UInt8] = []
    private var parser = HTTP1RequestParser()
    private var reader: WebSocketReader

    public init(connection: Connection, settings: Settings) {
        self.settings = settings
        reader = WebSocketReader(messageBytesMax: settings.messageBytesMax)
        super.init(connection: connection)
    }

    public override func onConnected(_ connection: Connection) {
        connection.setIdleTimeout(ns: Self.handshakeTimeoutNs)
        connection.startReading()
    }

    public override func onData(_ data: consuming Lease, on connection: Connection) {
        switch phase {
        case .handshake: readHandshake(data)
        case .open: readFrames(data)
        case .closing: connection.worker.discard(data)
        }
    }

    public override func onEnd(_ connection: Connection) { connection.closeWhenSent(.finished) }
    public override func onAboveHighWatermark(_ connection: Connection) { connection.pauseReading() }
    public override func onBelowLowWatermark(_ connection: Connection) { connection.resumeReading() }

    public override func onIdle(_ connection: Connection) { end(.goingAway, .idleTimeout) }
    public override func onDrain(_ connection: Connection) { end(.goingAway, .drained) }

    // MARK: Handshake

    private func readHandshake(_ data: consuming Lease) {
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
        connection.worker.discard(data)
        var head = RequestHead(headersMax: Self.limits.headersMax)
        parser.reset()
        var headLength = 0
        let outcome: WebSocketHandshake.Outcome? = ByteSlice.withBytes(of: input) { bytes in
            switch parser.parse(bytes, limits: Self.limits, into: &head) {
            case .incomplete: return nil
            case .malformed: return .malformed
            case .complete(let length):
                headLength = length
                return WebSocketHandshake.judge(head)
            }
        }
        switch outcome {
        case nil: return
        case .malformed:
            refuse("HTTP/1.1 400 Bad Request\r\n")
        case .upgradeRequired:
            // RFC 6455 §4.4 and RFC 9110 §15.5.22: what it would take.
            refuse("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
        case .accepted(let key):
            accept(key, headLength: headLength)
        }
    }

    private func refuse(_ head: StaticString) {
        phase = .closing
        input = []
        forwardWrite(
            connection.worker.makeHead { writer in
                writer.append(head)
                writer.append("Content-Length: 0\r\nConnection: close\r\n\r\n")
            })
        connection.closeWhenSent(.protocolError)
    }

    private func accept(_ key: [UInt8], headLength: Int) {
        phase = .open
        connection.setIdleTimeout(ns: settings.idleTimeoutNs)
        forwardWrite(
            connection.worker.makeHead { writer in
                writer.append("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
                writer.append("Sec-WebSocket-Accept: ")
                ByteSlice.withBytes(of: key) { writer.append($0) }
                writer.append("\r\n\r\n")
            })
        let rest = Array(input[headLength...])
        input = []
        if !rest.isEmpty { ByteSlice.withBytes(of: rest) { readFrames($0) } }
    }

    // MARK: Frames

    private func readFrames(_ data: consuming Lease) {
        data.withBytes { span in ByteSlice.withBytes(of: span) { readFrames($0) } }
        connection.worker.discard(data)
    }

    private func readFrames(_ bytes: ByteSlice) {
        var position = 0
        while phase == .open {
            switch reader.next(bytes, at: &position) {
            case .data(let piece):
                write(piece.opcode, isFinal: piece.isLast, bytes[piece.range], mask: piece.mask)
            case .ping(let payload):
                ByteSlice.withBytes(of: payload) { write(.pong, $0) }
            case .pong: continue
            case .close(let code): end(code, .finished)
            case .failed(let code): end(code, .protocolError)
            case .incomplete: return
            }
        }
    }

    private func write(_ opcode: WebSocketOpcode, isFinal: Bool = true, _ payload: ByteSlice, mask: UInt32 = 0) {
        let capacity = ByteWriter.webSocketHeaderBytesMax + payload.count
        let frame = unsafe connection.worker.make(capacity: capacity) { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
            writer.appendWebSocketHeader(opcode, isFinal: isFinal, byteCount: payload.count)
            writer.append(payload, unmaskedBy: mask)
            return writer.count
        }
        forwardWrite(frame)
    }

    /// Sends a close frame and ends the connection behind it.
    private func end(_ code: WebSocketCloseCode?, _ reason: CloseReason) {
        if phase == .open {
            let payload = code.map {
                [UInt8(truncatingIfNeeded: $0.rawValue >> 8), UInt8(truncatingIfNeeded: $0.rawValue)]
            }
            ByteSlice.withBytes(of: payload ?? []) { write(.close, $0) }
        }
        phase = .closing
        connection.closeWhenSent(reason)
    }
}
