internal import Engine
internal import HTTP

/// Answers on their way to the client, in one piece or part by part.
extension HTTPServerFilter {
    /// Of a body that is there as a whole, this much is queued at once: a large one must not hold the worker up, nor
    /// be there twice.
    private static let partBytes = 32 * 1024

    func respond(_ response: LocalResponse, to request: UInt64) {
        guard isAnswering(request) else { return }
        guard response.body.count > Self.partBytes, !isHead else {
            write(response, framing: .length)
            finishResponse()
            return
        }
        framing = .length
        write(response, framing: .length, part: Array(response.body[..<Self.partBytes]))
        begin(StoredBody(response.body[Self.partBytes...], partBytes: Self.partBytes))
    }

    func respond(_ head: LocalResponse, then source: any HTTPBodySource, to request: UInt64) {
        guard isAnswering(request) else {
            source.cancel()
            return
        }
        framing = isHTTP10 ? .untilClose : .chunked
        if isHTTP10 { keepsAlive = false }
        var head = head
        let first = head.body
        head.body = []
        write(head, framing: framing)
        guard !isHead else {
            source.cancel()
            finishResponse()
            return
        }
        writePart(first)
        begin(source)
    }

    private func begin(_ source: any HTTPBodySource) {
        self.source = source
        armTimeout(settings.idleTimeoutNs)
        askForPart()
    }

    func askForPart() {
        guard let source, !isBlocked, !isMakingPart else { return }
        isMakingPart = true
        source.makePart(for: HTTPExchange(filter: self, number: number))
    }

    func send(_ part: [UInt8], isLast: Bool, to request: UInt64) {
        guard isAnswering(request), source != nil else { return }
        isMakingPart = false
        writePart(part)
        guard isLast else { return askForPart() }
        if case .chunked = framing { ByteSlice("0\r\n\r\n").withSpan { connection.write(copying: $0) } }
        source = nil
        finishResponse()
    }

    func abort(_ request: UInt64) {
        guard isAnswering(request) else { return }
        connection.close(.localClose)
    }

    private func writePart(_ part: [UInt8]) {
        guard !part.isEmpty else { return }
        let isChunked = if case .chunked = framing { true } else { false }
        let lease = unsafe connection.worker.make(capacity: part.count + 32) { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            if isChunked {
                ByteSlice.withBytes(of: String(part.count, radix: 16)) { writer.append($0) }
                writer.append("\r\n")
            }
            ByteSlice.withBytes(of: part) { writer.append($0) }
            if isChunked { writer.append("\r\n") }
            precondition(writer.fits, "a part has room for its frame")
            return writer.count
        }
        connection.write(lease)
    }

    private func isAnswering(_ request: UInt64) -> Bool {
        guard request == number, case .responding = phase else { return false }
        return connection.isOpen
    }

    private var mayGoOn: Bool { keepsAlive && !isDraining }

    private func finishResponse() {
        number += 1
        guard mayGoOn, !clientEnded else {
            phase = .closing
            connection.closeWhenSent(isDraining ? .drained : .finished)
            return
        }
        phase = .head
        armTimeout(settings.idleTimeoutNs)
        connection.resumeReading()
        // What was pipelined behind is handled from here when the answer came later, from `advance` otherwise.
        if head == nil, !input.isEmpty { advance() }
    }

    /// Answers a request that is not handed to the responder, and takes no further one.
    func refuse(_ status: HTTPStatus, _ reason: CloseReason) {
        keepsAlive = false
        write(LocalResponse(status, text: "\(status.reasonPhrase)\n"), framing: .length)
        phase = .closing
        connection.closeWhenSent(reason)
    }

    /// - Parameter part: of the body, what is sent with the head; nil for all of it
    private func write(_ response: LocalResponse, framing: BodyFraming, part: [UInt8]? = nil) {
        let body = part ?? response.body
        let field: HTTP1ConnectionField = !mayGoOn ? .close : isHTTP10 ? .keepAlive : .none
        let lease = unsafe connection.worker.make(
            capacity: HTTPResponseWriter.headSize(of: response) + body.count
        ) { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            let length: Int? =
                switch framing {
                case .length: response.body.count
                case .chunked, .untilClose: nil
                }
            HTTPResponseWriter.writeHead(
                response, to: &writer, bodyLength: length, isChunked: framing == .chunked, connection: field)
            if !isHead, !response.status.neverHasBody { ByteSlice.withBytes(of: body) { writer.append($0) } }
            precondition(writer.fits, "the size of a response is an upper bound")
            return writer.count
        }
        connection.write(lease)
    }
}

/// A body that is there already, in parts.
private final class StoredBody: HTTPBodySource {
    private var rest: ArraySlice<UInt8>
    private let partBytes: Int

    init(_ rest: ArraySlice<UInt8>, partBytes: Int) {
        self.rest = rest
        self.partBytes = partBytes
    }

    func makePart(for exchange: HTTPExchange) {
        let part = rest.prefix(partBytes)
        rest = rest.dropFirst(partBytes)
        exchange.send(Array(part), isLast: rest.isEmpty)
    }

    func cancel() {}
}
