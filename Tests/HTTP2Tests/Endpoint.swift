import HTTP

@testable import HTTP2

/// One side of a connection in memory: a session, the bodies that it sends, and what happened, one line an event.
final class Endpoint {
    let session: HTTP2Session
    let isServer: Bool
    /// What happened, in order; bodies that came in pieces are one line.
    private(set) var log: [String] = []
    private(set) var last: HTTP2Stream?
    /// Everything that was written, for tests that look at frames.
    private(set) var written: [UInt8] = []
    var nowNs: UInt64 = 1_000_000_000
    /// Consume bodies as they come.
    var isReading = true
    /// What a request asked, by slot: responses depend on it.
    private var methods: [UInt32: HTTPMethod] = [:]
    private var bodies: [UInt32: [UInt8]] = [:]
    private(set) var received: [UInt32: Int] = [:]
    private let output = HTTP2Output()

    init(server isServer: Bool, settings: HTTP2Settings = HTTP2Settings()) {
        guard let session = HTTP2Session(server: isServer, settings: settings, workspace: output) else {
            fatalError("a session needs a few kilobytes")
        }
        self.session = session
        self.isServer = isServer
    }

    // MARK: Receiving

    /// Reads `bytes` in pieces of at most `pieceBytes`, each at an address of its own.
    func receive(_ bytes: some Collection<UInt8>, pieceBytes: Int = .max) {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(pieceBytes))
            rest = rest.dropFirst(piece.count)
            ByteSlice.withBytes(of: piece) { piece in
                var offset = 0
                while offset < piece.count {
                    let chunk = piece[offset..<piece.count]
                    offset += session.receive(chunk, nowNs: nowNs)
                    drain(chunk)
                }
            }
        }
    }

    private func drain(_ chunk: ByteSlice) {
        while let event = session.nextEvent() { take(event, chunk) }
    }

    private func take(_ event: HTTP2Event, _ chunk: ByteSlice) {
        switch event {
        case .head(let stream, _): takeHead(stream)
        case .body(let stream, let offset, let length):
            let text = chunk[offset..<offset + length].text
            received[stream.slot, default: 0] += length
            if let previous = log.last, previous.hasPrefix("\(stream.slot) body ") {
                log[log.count - 1] = previous + text
            } else {
                log.append("\(stream.slot) body \(text)")
            }
            if isReading { session.consume(stream, length) }
        case .trailers(let stream):
            var table = HeaderTable(capacity: 16)
            switch session.finishTrailers(stream, into: &table) {
            case .success: log.append("\(stream.slot) trailers \(table.text)")
            case .failure(let error): log.append("\(stream.slot) refused \(error)")
            }
        case .end(let stream): log.append("\(stream.slot) end")
        case .malformed(let stream, let error):
            log.append("\(stream.slot) malformed \(error)")
            session.reset(stream, .protocolError)
        case .closed(let stream, let code):
            log.append("\(stream.slot) closed \(code.rawValue)")
            bodies[stream.slot] = nil
        case .drained(let stream): log.append("\(stream.slot) drained")
        case .goAway(let code): log.append("go away \(code.rawValue)")
        case .settings: log.append("settings")
        case .pong(let ping): log.append("pong \(ping)")
        }
    }

    private func takeHead(_ stream: HTTP2Stream) {
        last = stream
        if isServer {
            var head = RequestHead(headersMax: 100)
            switch session.finishRequest(stream, into: &head) {
            case .success: log.append("\(stream.slot) \(head.text)")
            case .failure(let error):
                log.append("\(stream.slot) refused \(error)")
                session.reset(stream, .protocolError)
            }
        } else {
            var head = ResponseHead(headersMax: 100)
            switch session.finishResponse(stream, answering: methods[stream.slot] ?? .get, into: &head) {
            case .success:
                log.append("\(stream.slot) \(head.status.rawValue) \(head.bodyLength) \(head.headers.text)")
            case .failure(let error):
                log.append("\(stream.slot) refused \(error)")
                session.reset(stream, .protocolError)
            }
        }
    }

    // MARK: Sending

    /// - Parameter connectProtocol: asks for it by extended CONNECT; what follows is left open
    @discardableResult
    func request(
        _ method: String = "GET", _ path: String = "/", body: String? = nil, fields: [(String, String)] = [],
        connectProtocol: String? = nil
    ) -> HTTP2Stream? {
        var wire = "\(method) \(path) HTTP/1.1\r\nHost: example.com\r\n"
        for field in fields { wire += "\(field.0): \(field.1)\r\n" }
        if let body { wire += "Content-Length: \(body.utf8.count)\r\n" }
        return ByteSlice.withBytes(of: wire + "\r\n") { bytes in
            var head = RequestHead(headersMax: 100)
            var parser = HTTP1RequestParser()
            guard case .complete = parser.parse(bytes, limits: HTTP1Limits(), into: &head) else { return nil }
            let asked = connectProtocol.map { Array($0.utf8) }
            let hasBody = body != nil || asked != nil
            let stream =
                if let asked {
                    ByteSlice.withBytes(of: asked) {
                        session.sendRequest(head, scheme: .http, connectProtocol: $0, hasBody: hasBody)
                    }
                } else {
                    session.sendRequest(head, scheme: .http, hasBody: hasBody)
                }
            if let stream {
                methods[stream.slot] = asked == nil ? head.method : .connect
                if let body {
                    send(stream, body)
                    session.endBody(stream)
                }
            }
            return stream
        }
    }

    func respond(
        _ stream: HTTP2Stream, _ status: UInt16 = 200, body: String? = nil, fields: [(HeaderName, String)] = [],
        trailers: [(HeaderName, String)] = []
    ) {
        var head = ResponseHead(headersMax: 16)
        head.status = HTTPStatus(rawValue: status)
        for field in fields { ByteSlice.withBytes(of: field.1) { _ = head.headers.add(field.0, $0) } }
        if head.status.isInformational { return session.sendInformational(stream, head) }
        head.setBodyLength(.unknown)
        let hasBody = body != nil || !trailers.isEmpty
        session.sendResponse(stream, head, hasBody: hasBody)
        if let body { send(stream, body) }
        if !trailers.isEmpty {
            var table = HeaderTable(capacity: 4)
            for field in trailers { ByteSlice.withBytes(of: field.1) { _ = table.add(field.0, $0) } }
            session.queueTrailers(stream, table)
        }
        if hasBody { session.endBody(stream) }
    }

    func send(_ stream: HTTP2Stream, _ text: String) {
        guard session.queueBody(stream, text.utf8.count) else { return }
        bodies[stream.slot, default: []] += Array(text.utf8)
    }

    /// What the session has to say now.
    func write(bodyBytesMax: Int = .max) -> [UInt8] {
        output.removeAll()
        session.write(to: output, bodyBytesMax: bodyBytesMax)
        var bytes: [UInt8] = []
        for piece in output.pieces {
            switch piece {
            case .bytes(let range): bytes += Array(output.bytes[range].bytes)
            case .body(let stream, let count):
                bytes += bodies[stream.slot, default: []].prefix(count)
                bodies[stream.slot, default: []].removeFirst(count)
            }
        }
        ByteSlice.withBytes(of: []) { drain($0) }
        written += bytes
        return bytes
    }

    /// Moves bytes both ways until nobody has anything to say.
    func exchange(with other: Endpoint, pieceBytes: Int = .max) {
        while true {
            let mine = write()
            other.receive(mine, pieceBytes: pieceBytes)
            let others = other.write()
            receive(others, pieceBytes: pieceBytes)
            if mine.isEmpty, others.isEmpty { return }
        }
    }

    func clearLog() { log = [] }
}

extension ByteSlice {
    var bytes: [UInt8] { (0..<count).map { self[$0] } }
}

extension HeaderTable {
    /// `[name: value, …]`; `-` in front of what is not forwarded.
    var text: String {
        let fields = indices.compactMap { index -> String? in
            guard let field = field(at: index) else { return nil }
            return "\(field.name.text): \(field.value.text)"
        }
        return "[" + fields.joined(separator: ", ") + "]"
    }
}

extension RequestHead {
    var text: String {
        let target = path.text + (query.map { "?" + $0.text } ?? "")
        return
            "\(methodText.text) \(authority.text)\(target) \(bodyLength)\(acceptsTrailers ? " te" : "") \(headers.text)"
    }
}
