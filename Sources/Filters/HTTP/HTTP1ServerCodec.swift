internal import Engine
internal import HTTP
internal import Upstream

/// The server's side of HTTP/1.1 on one connection.
///
/// One request is worked on at a time, so answers leave in the order of the requests (RFC 9112 §9.3.2); what a client
/// pipelines behind waits here, unread beyond a bound.
///
/// Bytes go from the receive buffer to the upstream connection and back without a copy. They are copied only where
/// they have to wait: a head in pieces, pipelined requests, and a body whose connection is still being made.
final class HTTP1ServerCodec: ServerCodec {
    enum Phase {
        /// Between requests, or in the middle of a head.
        case head
        /// The head is complete, its body is not.
        case body
        /// The request is complete, its response is not.
        case waiting
        /// The connection has left HTTP.
        case tunnel
        /// No further request is taken from this connection.
        case closing
    }

    /// What changes with every request, at an address of its own: class properties cost a check an access.
    struct State {
        var phase = Phase.head
        var response = ResponseState()
        /// Bytes are being consumed further up the stack: what becomes possible meanwhile is done there.
        var isConsuming = false
        /// All of the body is at hand, so it will be read even if nobody wants it.
        var bodyIsAtHand = false
        var keepsAlive = true
        var clientEnded = false
        /// The client does not take its responses as fast as they come.
        var isBlocked = false
        /// Whoever gets the body does not take it as fast as it comes.
        var isBodyBlocked = false
        /// This request's body is fit for a transfer, though all of it may have come in buffers before one began.
        var isTransferable = false
        /// It cannot be transferred after all.
        var refusesTransfer = false
        var requestCount: UInt64 = 0
        var idleTimeoutNs: UInt64
        var closeReason = CloseReason.finished
    }

    let hot: Stable<State>
    var chain: HTTPChain
    /// The request that is received or answered.
    var stream: HTTPStream?
    /// Received and not yet consumed.
    var input: [UInt8] = []

    override init(_ manager: HTTPConnectionManager) {
        chain = manager.chain
        hot = Stable(State(idleTimeoutNs: manager.chain.settings.idleTimeoutNs))
        super.init(manager)
    }

    deinit { hot.destroy() }

    var isDraining: Bool { manager.isDraining }

    // MARK: From the connection

    override func onData(_ data: consuming Lease) {
        switch hot.value.phase {
        case .closing: worker.discard(data)
        case .tunnel:
            if let stream, let upstream = unsafe stream.route.upstream {
                upstream.write(data, of: stream)
            } else {
                worker.discard(data)
            }
        case .head where input.isEmpty && !hot.value.isBlocked: consume(data)
        case .body where input.isEmpty && isBodyWanted: consume(data)
        case .head, .body, .waiting:
            keep(data)
            advance()
        }
    }

    override func onEnd() {
        hot.value.clientEnded = true
        if hot.value.phase == .tunnel {
            if let stream { unsafe stream.route.upstream?.finishWriting(for: stream) }
        } else {
            clientHasEnded()
        }
    }

    override func onBlocked(_ isBlocked: Bool) {
        hot.value.isBlocked = isBlocked
        stream?.clientBlocked(isBlocked)
        if !isBlocked { advance() }
    }

    /// Between requests the connection ends; within one the client is told.
    override func onIdle() {
        guard let stream else { return connection.close(.idleTimeout) }
        hot.value.closeReason = .idleTimeout
        hot.value.keepsAlive = false
        if hot.value.phase == .closing || !stream.idleTimedOut() { connection.close(.idleTimeout, reset: true) }
    }

    override func onTransfer(_ event: TransferEvent) {
        switch event {
        case .ready: beginTransfer()
        case .ended: transferEnded()
        }
    }

    override func accountForTransfer(of stream: HTTPStream) { accountForTransfer() }

    override func onDeadline() { stream?.deadlinePassed() }

    override func onDrain() {
        if hot.value.phase == .head, input.isEmpty, stream == nil {
            hot.value.phase = .closing
            connection.closeWhenSent(.drained)
        }
    }

    override func onClose(_ reason: CloseReason) {
        accountForTransfer()
        hot.value.phase = .closing
        input = []
        guard let stream else { return }
        self.stream = nil
        if stream.route.isTunnel {
            unsafe stream.route.upstream?.downstreamClosed(reason, of: stream)
            unsafe stream.route.upstream = nil
        } else if stream.flag == .none {
            stream.flag = .downstreamConnectionTermination
        }
        stream.end()
    }

    // MARK: From the stream: requests

    override func requestBodyWanted(by stream: HTTPStream) {
        if !hot.value.isConsuming, hot.value.phase == .body { advance() }
    }

    override func blockRequestBody(_ isBlocked: Bool, of stream: HTTPStream) {
        guard hot.value.phase == .body || hot.value.phase == .tunnel else { return }
        hot.value.isBodyBlocked = isBlocked
        if isBlocked { connection.pauseReading() } else { advance() }
    }

    override func hasWholeBody(of stream: HTTPStream) -> Bool { stream.requestEnded || hot.value.bodyIsAtHand }

    override func requestTimedOut(_ stream: HTTPStream) {
        guard !stream.requestEnded else { return }
        hot.value.closeReason = .idleTimeout
        hot.value.keepsAlive = false
    }

    /// What counts as idle depends on whether a request is in progress, and on its route.
    override func setIdleTimeout(ns: UInt64, of stream: HTTPStream) { setIdleTimeout(ns: ns) }

    func setIdleTimeout(ns: UInt64) {
        guard ns != hot.value.idleTimeoutNs else { return }
        hot.value.idleTimeoutNs = ns
        connection.setIdleTimeout(ns: ns)
    }

    /// There is one stream at a time, so its deadline is the connection's.
    override func setDeadline(atNs deadlineNs: UInt64, of stream: HTTPStream) -> Bool {
        connection.setDeadline(atNs: deadlineNs)
        return true
    }

    // MARK: From the stream: responses

    override func sendInformational(_ head: inout ResponseHead, of stream: HTTPStream) {
        // RFC 9110 §15.2: an HTTP/1.0 client gets none.
        guard stream.request.version != .http10, !hot.value.response.isStarted else { return }
        write(worker.makeHead { head.writeHTTP1(to: &$0, length: .none) })
    }

    override func sendHead(_ head: inout ResponseHead, of stream: HTTPStream) {
        guard !hot.value.response.isStarted else { return }
        hot.value.response.isStarted = true
        let length = frame(head, for: stream)
        // A body that is not read to its end leaves no place where the next request could begin.
        if !hasWholeBody(of: stream) || isDraining { hot.value.keepsAlive = false }
        let isHTTP10 = stream.request.version == .http10
        let field: HTTP1ConnectionField =
            head.switchesProtocol
            ? (stream.request.method == .connect ? .none : .upgrade)
            : !hot.value.keepsAlive ? .close : isHTTP10 ? .keepAlive : .none
        write(worker.makeHead { head.writeHTTP1(to: &$0, length: length, connection: field) })
    }

    /// RFC 9112 §6.3 and RFC 9110 §8.6: where the client will find the end of the body.
    private func frame(_ head: borrowing ResponseHead, for stream: HTTPStream) -> HTTP1LengthField {
        hot.value.response.framing = .none
        if head.switchesProtocol { return .none }
        if stream.request.method == .head || head.status == .notModified {
            if case .exactly(let count) = head.bodyLength { return .contentLength(count) }
            return .asReceived
        }
        if head.status.neverHasBody { return .none }
        switch head.bodyLength {
        case .none:
            hot.value.response.framing = .length
            return .contentLength(0)
        case .exactly(let count):
            hot.value.response.framing = .length
            return .contentLength(count)
        case .unknown where stream.request.version == .http10:
            hot.value.response.framing = .untilClose
            hot.value.keepsAlive = false
            return .none
        case .unknown:
            hot.value.response.framing = .chunked
            return .chunked
        }
    }

    override func sendBody(_ data: consuming Lease, of stream: HTTPStream) {
        switch hot.value.response.framing {
        case .none where hot.value.phase != .tunnel: worker.discard(data)
        case .none, .length, .untilClose: write(data)
        case .chunked:
            write(worker.makeChunkHead(data.count, isFirst: !hot.value.response.chunkOpen))
            hot.value.response.chunkOpen = true
            write(data)
        }
    }

    override func bodyDestination(_ count: UInt64, of stream: HTTPStream) -> Connection? { responseDestination(count) }
    override func transferBody(_ count: UInt64, of stream: HTTPStream) { writeChunkHead(count) }

    /// Sent right away, as the end of a chunked body; a body that is not chunked on this side has no place for them.
    override func sendTrailers(_ fields: borrowing HeaderTable, of stream: HTTPStream) {
        guard hot.value.response.framing == .chunked else { return }
        write(worker.makeLastChunk(trailers: fields, afterData: hot.value.response.chunkOpen))
        hot.value.response.trailersSent = true
    }

    override func sendEnd(of stream: HTTPStream) {
        guard !hot.value.response.isEnded else { return }
        if hot.value.response.framing == .chunked, !hot.value.response.trailersSent {
            write(worker.makeLastChunk(afterData: hot.value.response.chunkOpen))
        }
        hot.value.response.isEnded = true
        settle()
        advance()
    }

    override func abort(_ stream: HTTPStream) {
        guard hot.value.phase != .closing else { return }
        // A length or an open chunk says by itself that something is missing. A body that ends with the connection
        // would look complete.
        let needsReset = hot.value.response.framing == .untilClose
        // Time is over: a client that reads too slowly is not waited for any longer.
        let isLate = stream.flag == .upstreamRequestTimeout || stream.flag == .streamIdleTimeout
        accountForTransfer()
        hot.value.phase = .closing
        self.stream = nil
        stream.end()
        if isLate {
            connection.close(.idleTimeout, reset: true)
        } else {
            connection.closeWhenSent(.otherSideClosed, reset: needsReset)
        }
    }

    // MARK: Tunnels

    override func startTunnel(_ stream: HTTPStream, to upstream: UpstreamConnection) {
        guard connection.isOpen else { return }
        hot.value.phase = .tunnel
        connection.expectTransfer(false)
        setIdleTimeout(ns: unsafe stream.route.route?.idleTimeoutNs ?? 0)
        let rest = takeInput()
        if !rest.isEmpty {
            ByteSlice.withBytes(of: rest) { $0.withSpan { upstream.write(worker.copy($0), of: stream) } }
        }
        upstream.relay(
            with: connection, requests: !manager.isDataObserved, responses: !manager.isWriteObserved, for: stream)
        connection.resumeReading()
    }

    override func tunnelEnded(_ stream: HTTPStream) { connection.finishWriting() }

    override func tunnelClosed(_ stream: HTTPStream, _ reason: CloseReason) {
        guard hot.value.phase == .tunnel else { return }
        hot.value.phase = .closing
        self.stream = nil
        stream.end()
        switch reason {
        case .finished: connection.closeWhenSent(.finished)
        case .remoteReset: connection.closeWhenSent(.otherSideReset, reset: true)
        default: connection.closeWhenSent(.otherSideClosed, reset: true)
        }
    }
}

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
