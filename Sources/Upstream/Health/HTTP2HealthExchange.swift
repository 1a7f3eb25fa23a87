internal import Engine
internal import HTTP
internal import HTTP2

/// The same in HTTP/2: each question on a stream of its own.
final class HTTP2HealthExchange: HealthExchange {
    /// Of an answer's body. A longer one to an HTTP question is judged by its status.
    private static let bytesMax = 64 << 10

    private let question: HTTPHealthQuestion
    private let transport: HTTP2Transport
    private var session: HTTP2Session { transport.session }
    private let isSecure: Bool
    private var request: RequestHead
    private let requestBody: [UInt8]

    private var stream: HTTP2Stream?
    private var head = ResponseHead(headersMax: 100)
    private var trailers = HeaderTable(capacity: 16)
    private var body: [UInt8] = []
    private var bodyCount = 0
    private var headIsComplete = false
    private var outcome = Outcome.incomplete
    private var isLeaving = false

    /// Nil without memory.
    init?(_ question: HTTPHealthQuestion, on connection: Connection, output: HTTP2Output) {
        let settings = HTTP2Settings(streamWindowBytes: 65_535, connectionWindowBytes: 65_535)
        guard let session = HTTP2Session(server: false, settings: settings, workspace: output) else { return nil }
        transport = HTTP2Transport(session, worker: connection.worker, output: output)
        self.question = question
        isSecure = connection.isSecure
        switch question {
        case .http(let check):
            request = check.makeHead()
            requestBody = []
        case .grpc(let check):
            request = check.makeHead()
            requestBody = check.body
        }
        super.init()
    }

    override var hasBegun: Bool { headIsComplete }

    override func ask(on connection: Connection) {
        head.reset()
        trailers.reset()
        body.removeAll()
        bodyCount = 0
        headIsComplete = false
        outcome = .incomplete
        stream = session.sendRequest(request, scheme: isSecure ? .https : .http, hasBody: !requestBody.isEmpty)
        guard let stream else { return connection.close(.remoteReset) }
        if !requestBody.isEmpty {
            _ = unsafe requestBody.withUnsafeBytes {
                unsafe transport.queue(connection.worker.copy($0.bytes), on: stream)
            }
            session.endBody(stream)
        }
        transport.flush { connection.write($0) }
    }

    override func receive(_ data: borrowing Lease, on connection: Connection, isAsked: Bool) -> Outcome {
        // The bytes stay where they are as long as the lease is held, which is to the end of this.
        let bytes = data.withBytes { span in ByteSlice.withBytes(of: span) { $0 } }
        var offset = 0
        while offset < bytes.count, session.failure == nil {
            let chunk = bytes[offset..<bytes.count]
            let length = session.receive(chunk, nowNs: connection.worker.nowNs)
            while let event = session.nextEvent() { take(event, chunk) }
            offset += length
        }
        if session.failure != nil { session.terminate(.protocolError) }
        transport.flush { connection.write($0) }
        while let event = session.nextEvent() { take(event, bytes) }
        guard session.failure == nil else { return isAsked && outcome != .incomplete ? outcome : .malformed }
        if !isAsked { return isLeaving || session.isFinished ? .lost : .incomplete }
        if outcome == .incomplete, session.isFinished { return .lost }
        return outcome
    }

    override func end() -> Outcome { .malformed }

    // MARK: Events

    private func take(_ event: HTTP2Event, _ chunk: ByteSlice) {
        switch event {
        case .head(let stream, _): takeHead(stream)
        case .body(let stream, let offset, let length): takeBody(stream, chunk[offset..<offset + length])
        case .trailers(let stream):
            if case .failure = session.finishTrailers(stream, into: &trailers) { conclude(stream, .malformed) }
        case .end(let stream): ended(stream)
        case .malformed(let stream, _):
            session.reset(stream, .protocolError)
            conclude(stream, .malformed)
        case .closed(let stream, _):
            transport.drop(stream)
            conclude(stream, headIsComplete ? .malformed : .lost)
            if stream == self.stream { self.stream = nil }
        case .goAway: isLeaving = true
        case .drained, .settings, .pong: break
        }
    }

    private func takeHead(_ stream: HTTP2Stream) {
        head.reset()
        let method: HTTPMethod = request.method
        guard case .success = session.finishResponse(stream, answering: method, into: &head) else {
            return conclude(stream, .malformed)
        }
        guard stream == self.stream, !head.status.isInformational else { return }
        headIsComplete = true
        // The bytes of a head are good for this call only.
        if question.needsHTTP2, let status = head.headers[.grpcStatus] { trailers.set(.grpcStatus, status) }
    }

    private func takeBody(_ stream: HTTP2Stream, _ bytes: ByteSlice) {
        session.consume(stream, bytes.count)
        guard stream == self.stream, outcome == .incomplete else { return }
        bodyCount += bytes.count
        if question.needsHTTP2 { for index in 0..<bytes.count { body.append(bytes[index]) } }
        guard bodyCount > Self.bytesMax else { return }
        session.reset(stream, .cancel)
        conclude(stream, answer(isReusable: false))
    }

    private func ended(_ stream: HTTP2Stream) {
        if stream == self.stream { conclude(stream, answer(isReusable: session.takesRequests && !isLeaving)) }
    }

    private func answer(isReusable: Bool) -> Outcome {
        let status = head.status.rawValue
        switch question {
        case .http(let check): return .answered(check.result(of: status), isReusable: isReusable)
        case .grpc(let check):
            guard bodyCount <= Self.bytesMax else { return .malformed }
            let result = check.result(of: status, grpcStatus: trailers[.grpcStatus]?.decimal, body: body)
            return .answered(result, isReusable: isReusable)
        }
    }

    private func conclude(_ stream: HTTP2Stream, _ result: Outcome) {
        if stream == self.stream, outcome == .incomplete { outcome = result }
    }
}
