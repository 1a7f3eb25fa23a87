import FuzzSupport
import HTTP
import HTTP2

/// The server's side of an HTTP/2 connection: whatever comes behind the preface, every request that is handed on must
/// be one that the HTTP/1.1 parser takes, bodies lie in what was received, and each stream ends once.
@main
enum FuzzHTTP2Server {
    nonisolated(unsafe) private static let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 21, alignment: 16)
    private static let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    private static let limits = HTTP1Limits(headerBytesMax: 4_096, headersMax: 20, targetBytesMax: 512)

    static func main() { runFuzzer(check) }

    private static func check(_ bytes: ByteSlice) {
        var peer = Peer()
        ByteSlice.withBytes(of: preface) { peer.receive($0) }
        var pieces = Pieces(bytes)
        var offset = 0
        while offset < bytes.count {
            // Of any size: single bytes, or several frames at once.
            let count = min(pieces.next() * pieces.next() * pieces.next(), bytes.count - offset)
            peer.receive(bytes[offset..<offset + count])
            offset += count
            if peer.hasFailed { break }
        }
        peer.finish()
    }

    private struct Peer {
        private let session: HTTP2Session
        private let output = HTTP2Output()
        private var isOpen: [UInt32: Bool] = [:]
        private var nowNs: UInt64 = 1_000_000_000

        init() {
            let settings = HTTP2Settings(limits: limits)
            guard let session = HTTP2Session(server: true, settings: settings, workspace: output) else {
                fatalError("no memory")
            }
            self.session = session
        }

        var hasFailed: Bool { session.failure != nil }

        mutating func receive(_ bytes: ByteSlice) {
            nowNs += 1_000_000
            var offset = 0
            while offset < bytes.count {
                let chunk = bytes[offset..<bytes.count]
                let length = session.receive(chunk, nowNs: nowNs)
                precondition(length > 0 && length <= chunk.count, "a session reads on")
                while let event = session.nextEvent() { take(event, length) }
                offset += length
            }
            write()
        }

        mutating func finish() {
            session.terminate(.noError)
            write()
        }

        private mutating func write() {
            output.removeAll()
            session.write(to: output, bodyBytesMax: 65_536)
            while let event = session.nextEvent() { take(event, 0) }
        }

        private mutating func take(_ event: HTTP2Event, _ length: Int) {
            switch event {
            case .head(let stream, _):
                precondition(isOpen[stream.slot] == nil, "a slot is used by one stream")
                isOpen[stream.slot] = true
                takeHead(stream)
            case .body(let stream, let offset, let count):
                precondition(isOpen[stream.slot] == true && offset >= 0 && offset + count <= length)
                session.consume(stream, count)
            case .trailers(let stream):
                var table = HeaderTable(capacity: 8)
                if case .failure = session.finishTrailers(stream, into: &table) {
                    session.reset(stream, .protocolError)
                }
            case .end(let stream):
                precondition(isOpen[stream.slot] == true)
                respond(stream)
            case .malformed(let stream, _): session.reset(stream, .protocolError)
            case .closed(let stream, _): isOpen[stream.slot] = nil
            case .drained, .goAway, .settings, .pong: break
            }
        }

        private func respond(_ stream: HTTP2Stream) {
            var head = ResponseHead(headersMax: 4)
            head.setBodyLength(.exactly(0))
            session.sendResponse(stream, head, hasBody: false)
        }

        private func takeHead(_ stream: HTTP2Stream) {
            var head = RequestHead(headersMax: 20)
            guard case .success = session.finishRequest(stream, into: &head) else {
                return session.reset(stream, .protocolError)
            }
            checkDowngrade(head)
        }

        /// What would leave in HTTP/1.1 must be one request there, with the same meaning.
        private func checkDowngrade(_ head: borrowing RequestHead) {
            let length: HTTP1LengthField =
                switch head.bodyLength {
                case .none: .none
                case .exactly(let count): .contentLength(count)
                case .unknown: .chunked
                }
            var writer = unsafe ByteWriter(start: buffer, capacity: 1 << 21)
            head.writeHTTP1(to: &writer, length: length)
            precondition(writer.fits)
            let text = unsafe ByteSlice(start: buffer, count: writer.count)
            var parser = HTTP1RequestParser()
            var again = RequestHead(headersMax: 200)
            let roomier = HTTP1Limits(headerBytesMax: 65_536, headersMax: 200, targetBytesMax: 1_024)
            let outcome = parser.parse(text, limits: roomier, into: &again)
            precondition(outcome == .complete(length: text.count), "what we hand on, HTTP/1.1 refuses: \(outcome)")
            precondition(again.authority == head.authority && again.path == head.path)
            precondition(again.methodText == head.methodText && again.bodyLength == head.bodyLength)
        }
    }
}
