internal import Config
internal import Engine
internal import HTTP
internal import Upstream

/// How the response that is being sent is framed.
struct ResponseState {
    enum Framing { case none, length, chunked, untilClose }

    var framing = Framing.none
    /// The head was sent.
    var isStarted = false
    /// A chunk was written whose end goes with the next one.
    var chunkOpen = false
    var trailersSent = false
    var isEnded = false
}

/// Responses on their way to the client.
extension HTTPConnectionManager {
    func sendInformational(_ head: inout ResponseHead) {
        // RFC 9110 §15.2: an HTTP/1.0 client gets none.
        guard let stream, stream.request.version != .http10, !response.isStarted else { return }
        forwardWrite(makeHead(on: worker) { head.writeHTTP1(to: &$0, length: .none) })
    }

    func sendResponseHead(_ head: inout ResponseHead) {
        guard let stream, !response.isStarted else { return }
        response.isStarted = true
        ByteSlice.withBytes(of: chain.settings.serverName) { _ = head.headers.set(.server, $0) }
        if !head.headers.contains(.date) { chain.withDate { _ = head.headers.add(.date, $0) } }
        if chain.settings.requestID.isSetInResponse, let id = stream.request.headers[.xRequestId] {
            head.headers.set(.xRequestId, id)
        }
        let length = frame(head, for: stream)
        // A body that is not read to its end leaves no place where the next request could begin.
        if !stream.requestEnded, !bodyIsAtHand { keepsAlive = false }
        if isDraining { keepsAlive = false }
        let isHTTP10 = stream.request.version == .http10
        let field: HTTP1ConnectionField =
            head.switchesProtocol
            ? (stream.request.method == .connect ? .none : .upgrade)
            : !keepsAlive ? .close : isHTTP10 ? .keepAlive : .none
        forwardWrite(makeHead(on: worker) { head.writeHTTP1(to: &$0, length: length, connection: field) })
    }

    /// RFC 9112 §6.3 and RFC 9110 §8.6: where the client will find the end of the body.
    private func frame(_ head: borrowing ResponseHead, for stream: HTTPStream) -> HTTP1LengthField {
        response.framing = .none
        if head.switchesProtocol { return .none }
        if stream.request.method == .head || head.status == .notModified {
            if case .exactly(let count) = head.bodyLength { return .contentLength(count) }
            return .asReceived
        }
        if head.status.neverHasBody { return .none }
        switch head.bodyLength {
        case .none:
            response.framing = .length
            return .contentLength(0)
        case .exactly(let count):
            response.framing = .length
            return .contentLength(count)
        case .unknown where stream.request.version == .http10:
            response.framing = .untilClose
            keepsAlive = false
            return .none
        case .unknown:
            response.framing = .chunked
            return .chunked
        }
    }

    func responseBody(_ data: consuming Lease) {
        switch response.framing {
        case .none where phase != .tunnel: worker.discard(data)
        case .none, .length, .untilClose: forwardWrite(data)
        case .chunked:
            forwardWrite(makeChunkHead(data.count, isFirst: !response.chunkOpen, on: worker))
            response.chunkOpen = true
            forwardWrite(data)
        }
    }

    /// Sent right away, as the end of a chunked body; a body that is not chunked on this side has no place for them.
    func responseTrailers(_ fields: borrowing HeaderTable) {
        guard response.framing == .chunked else { return }
        let afterData = response.chunkOpen
        forwardWrite(
            makeHead(on: worker) { writer in
                if afterData { writer.appendChunkEnd() }
                writer.appendLastChunk(trailers: fields)
            })
        response.trailersSent = true
    }

    func responseEnd(trailers: HTTP1TrailerSection?) {
        guard !response.isEnded else { return }
        if response.framing == .chunked, !response.trailersSent {
            forwardWrite(makeLastChunk(trailers, afterData: response.chunkOpen, on: worker))
        }
        response.isEnded = true
        settle()
        advance()
    }

    /// The response ends before its end, and the client must see that.
    func abortResponse() {
        guard phase != .closing, let stream else { return }
        // A length or an open chunk says by itself that something is missing. A body that ends with the connection
        // would look complete.
        let needsReset = response.framing == .untilClose
        phase = .closing
        self.stream = nil
        stream.end()
        connection.closeWhenSent(.otherSideClosed, reset: needsReset)
    }

    // MARK: Tunnels

    /// Both sides leave HTTP: what comes passes as it is.
    func startTunnel(_ upstream: UpstreamConnection) {
        guard connection.isOpen else { return }
        phase = .tunnel
        let idleTimeoutNs = stream?.route.route?.idleTimeoutNs ?? 0
        setIdleTimeout(ns: idleTimeoutNs)
        let rest = takeInput()
        if !rest.isEmpty { ByteSlice.withBytes(of: rest) { $0.withSpan { upstream.write(worker.copy($0)) } } }
        upstream.relay(with: connection, requests: !isDataObserved, responses: !isWriteObserved)
        connection.resumeReading()
    }

    /// The endpoint ended its stream; the other direction goes on.
    func tunnelEnded() { connection.finishWriting() }

    func tunnelClosed(_ reason: CloseReason) {
        guard phase == .tunnel, let stream else { return }
        phase = .closing
        self.stream = nil
        stream.end()
        switch reason {
        case .finished: connection.closeWhenSent(.finished)
        case .remoteReset: connection.closeWhenSent(.otherSideReset, reset: true)
        default: connection.closeWhenSent(.otherSideClosed, reset: true)
        }
    }
}
