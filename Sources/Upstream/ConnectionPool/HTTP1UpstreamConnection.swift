internal import Engine
internal import HTTP

/// A connection to an endpoint with an HTTP/1.1 client codec on it: one request at a time, kept alive between
/// requests by its pool.
///
/// Hooks of the request may cancel it, which closes this connection (its `onClose` comes at the end of the turn,
/// never from inside); so after each hook the phase is looked at again.
final class HTTP1UpstreamConnection: UpstreamConnection {
    enum Phase {
        case connecting
        case idle
        /// Waiting for the head of a response, some of which may be in `input`.
        case head
        case body
        /// Both sides have left HTTP: bytes pass as they come.
        case tunnel
        case closed
    }

    /// What changes with every request, at an address of its own: class properties cost a check an access.
    struct State {
        var phase = Phase.connecting
        var connection: Connection?
        var parser = HTTP1ResponseParser()
        var decoder = HTTP1BodyDecoder(.none)
        var answering = HTTP1ResponseParser.Request(method: .get)
        /// A head that came in pieces. Copied, because a head is parsed in one piece.
        var input: [UInt8] = []
        /// Where that one is parsed to.
        var ownHead: Stable<ResponseHead>?
        var isPersistent = true
        /// The request was written to its end.
        var requestEnded = false
        var requestIsChunked = false
        /// A chunk was written whose end goes with the next one.
        var chunkOpen = false
        var requestsStarted: UInt64 = 0
        var responseStarted = false
        /// More is queued than the endpoint takes.
        var isBlocked = false
        /// This response's body is fit for a transfer, though all of it may have come in buffers before one began.
        var isTransferable = false
        /// It cannot be transferred after all.
        var refusesTransfer = false
        var startedNs: UInt64 = 0
    }

    let pool: HTTP1ConnectionPool
    /// Alive until its last hook was called, or until it has cancelled: so it is not counted.
    private(set) unowned(unsafe) var request: UpstreamRequest?
    let hot: Stable<State>

    init(pool: HTTP1ConnectionPool, endpoint: Int, request: UpstreamRequest) {
        self.pool = pool
        unsafe self.request = request
        hot = Stable(State())
        super.init(endpoint: endpoint)
    }

    deinit {
        dropOwnHead()
        hot.destroy()
    }

    /// - Parameter startedNs: when the connection was begun
    func started(_ connection: Connection, startedNs: UInt64) {
        hot.value.connection = connection
        hot.value.startedNs = startedNs
    }

    var hasServedEnough: Bool {
        pool.hasServedEnough(requests: hot.value.requestsStarted, sinceNs: hot.value.startedNs)
    }

    var isOpen: Bool { hot.value.connection?.isOpen ?? false }

    // MARK: Sending

    /// Takes up a request: `onReady` is called at once.
    func begin(_ request: UpstreamRequest) {
        unsafe self.request = request
        hot.value.phase = .head
        hot.value.parser.reset()
        hot.value.requestEnded = false
        hot.value.chunkOpen = false
        hot.value.responseStarted = false
        hot.value.requestsStarted += 1
        hot.value.connection?.setIdleTimeout(ns: 0)
        request.onReady(self)
    }

    override func write(
        _ head: borrowing RequestHead, of request: UpstreamRequest, isComplete: Bool, offersUpgrade: Bool
    ) {
        guard let connection = hot.value.connection else { return }
        connection.charge(to: request.costCell)
        hot.value.answering = HTTP1ResponseParser.Request(method: head.method, offersUpgrade: offersUpgrade)
        hot.value.requestIsChunked = head.bodyLength == .unknown
        let length: HTTP1LengthField =
            switch head.bodyLength {
            case .none: .none
            case .exactly(let count): .contentLength(count)
            case .unknown: .chunked
            }
        let field: HTTP1ConnectionField = offersUpgrade && head.method != .connect ? .upgrade : .none
        connection.write(connection.worker.makeHead { head.writeHTTP1(to: &$0, length: length, connection: field) })
        if isComplete { end(request) }
    }

    override func write(_ data: consuming Lease, of request: UpstreamRequest) {
        // The connection is the worker's own, so a lease that comes after its end is given back there.
        guard let connection = hot.value.connection else { return pool.discard(data) }
        if hot.value.requestIsChunked, data.count > 0, hot.value.phase != .tunnel {
            connection.write(connection.worker.makeChunkHead(data.count, isFirst: !hot.value.chunkOpen))
            hot.value.chunkOpen = true
        }
        connection.write(data)
    }

    override func writeTrailers(_ fields: borrowing HeaderTable, of request: UpstreamRequest) {
        guard let connection = hot.value.connection, hot.value.requestIsChunked, !hot.value.requestEnded else { return }
        connection.write(connection.worker.makeLastChunk(trailers: fields, afterData: hot.value.chunkOpen))
        hot.value.requestEnded = true
    }

    override func end(_ request: UpstreamRequest) {
        guard let connection = hot.value.connection, !hot.value.requestEnded else { return }
        if hot.value.requestIsChunked {
            connection.write(connection.worker.makeLastChunk(afterData: hot.value.chunkOpen))
        }
        hot.value.requestEnded = true
    }

    override func requestDestination(for request: UpstreamRequest) -> Connection? {
        hot.value.phase == .tunnel || hot.value.requestEnded ? nil : hot.value.connection
    }

    override func transferRequestBody(_ count: UInt64, of request: UpstreamRequest) {
        guard let connection = hot.value.connection, hot.value.requestIsChunked else { return }
        connection.write(connection.worker.makeChunkHead(Int(count), isFirst: !hot.value.chunkOpen))
        hot.value.chunkOpen = true
    }

    override func finishWriting(for request: UpstreamRequest) { hot.value.connection?.finishWriting() }

    override func relay(
        with downstream: Connection, requests: Bool, responses: Bool, for request: UpstreamRequest
    ) {
        guard let connection = hot.value.connection, connection.isOpen, downstream.isOpen else { return }
        if requests { downstream.relay(to: connection) }
        if responses { connection.relay(to: downstream) }
    }

    override func pauseReading(for request: UpstreamRequest) { hot.value.connection?.pauseReading() }
    override func resumeReading(for request: UpstreamRequest) { hot.value.connection?.resumeReading() }

    /// What was sent of the request cannot be taken back, so the connection ends with it.
    override func cancel(_ request: UpstreamRequest) {
        accountForTransfer()
        endRequestCount()
        hot.value.phase = .closed
        hot.value.connection?.close(.localClose, reset: true)
    }

    override func downstreamClosed(_ reason: CloseReason, of request: UpstreamRequest) {
        endRequestCount()
        hot.value.phase = .closed
        switch reason {
        case .finished: hot.value.connection?.closeWhenSent(.finished)
        case .remoteReset: hot.value.connection?.closeWhenSent(.otherSideReset, reset: true)
        default: hot.value.connection?.close(.otherSideClosed)
        }
    }

    /// An idle connection that is not wanted any more.
    func retire() { hot.value.connection?.close(.localClose) }

    private func endRequestCount() {
        guard unsafe request != nil else { return }
        unsafe request = nil
        pool.requestEnded(endpoint)
    }

    // MARK: Connection hooks

    override func onConnected(_ connection: Connection) {
        pool.connected(afterNs: connection.worker.nowNs - hot.value.startedNs)
        connection.startReading()
        guard let request = unsafe request else { return connection.close(.localClose) }
        begin(request)
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        switch hot.value.phase {
        case .head: readHead(data, connection)
        case .body: readBody(data, from: 0, connection)
        case .tunnel: deliver(data, connection)
        case .idle:
            // Nobody asked: an endpoint that speaks first is not in step with us (RFC 9112 §9.2).
            connection.worker.discard(data)
            connection.close(.protocolError)
        case .connecting, .closed: connection.worker.discard(data)
        }
    }

    private func deliver(_ data: consuming Lease, _ connection: Connection) {
        if let request = unsafe request { request.onResponseBody(data) } else { connection.worker.discard(data) }
    }

    private func readHead(_ data: consuming Lease, _ connection: Connection) {
        hot.value.responseStarted = true
        guard hot.value.input.isEmpty else {
            readCollectedHead(data, connection)
            return
        }
        // A head that lies in one buffer is parsed where it is.
        pool.responseHead.value.reset()
        let outcome = data.withBytes { span in ByteSlice.withBytes(of: span) { parse($0) } }
        switch outcome {
        case .incomplete:
            collect(data)
            connection.worker.discard(data)
            // It is read again, from its beginning, when more of it comes: other connections have heads in between.
            hot.value.parser.reset()
            hot.value.ownHead = Stable(ResponseHead(headersMax: pool.limits.headersMax))
        case .malformed: refuse(data, connection)
        case .complete(let length):
            handOverHead()
            proceed(data, from: length, connection)
        }
    }

    private func readCollectedHead(_ data: consuming Lease, _ connection: Connection) {
        let before = hot.value.input.count
        collect(data)
        let bytes = hot.value.input
        let outcome = ByteSlice.withBytes(of: bytes) { bytes in
            let outcome = parse(bytes)
            if case .complete = outcome { handOverHead() }
            return outcome
        }
        switch outcome {
        case .incomplete: connection.worker.discard(data)
        case .malformed: refuse(data, connection)
        case .complete(let length):
            hot.value.input.removeAll(keepingCapacity: false)
            dropOwnHead()
            // What follows the head is still in the lease: before it came the head was not complete.
            proceed(data, from: length - before, connection)
        }
    }

    private func collect(_ data: borrowing Lease) {
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe hot.value.input.append(contentsOf: $0) } }
    }

    private func parse(_ bytes: ByteSlice) -> HTTP1ResponseParser.Outcome {
        hot.value.parser.parse(bytes, answering: hot.value.answering, limits: pool.limits, into: &head.value)
    }

    /// Of the response that is being received.
    private var head: Stable<ResponseHead> { hot.value.ownHead ?? pool.responseHead }

    private func dropOwnHead() {
        hot.value.ownHead?.destroy()
        hot.value.ownHead = nil
    }

    private func refuse(_ data: consuming Lease, _ connection: Connection) {
        connection.worker.discard(data)
        let failed = unsafe request
        endRequestCount()
        hot.value.phase = .closed
        connection.close(.protocolError, reset: true)
        failed?.onReset(.protocolError)
    }

    private func handOverHead() {
        let head = head
        let switches = head.value.switchesProtocol
        if switches || !head.value.status.isInformational {
            hot.value.isPersistent = hot.value.parser.isPersistent
            hot.value.phase = switches ? .tunnel : .body
            hot.value.decoder = HTTP1BodyDecoder(hot.value.parser.bodyFraming)
            hot.value.isTransferable = false
            hot.value.refusesTransfer = false
        }
        if switches { hot.value.connection?.expectTransfer(false) }
        unsafe request?.onResponseHead(&head.value)
    }

    /// What follows a head in the same buffer.
    private func proceed(_ data: consuming Lease, from offset: Int, _ connection: Connection) {
        switch hot.value.phase {
        case .head:
            // The head was informational; the next one follows.
            hot.value.parser.reset()
            var rest = data
            connection.worker.dropFirst(offset, of: &rest)
            if rest.count > 0 { readHead(rest, connection) } else { connection.worker.discard(rest) }
        case .tunnel:
            var rest = data
            connection.worker.dropFirst(offset, of: &rest)
            if rest.count > 0 { deliver(rest, connection) } else { connection.worker.discard(rest) }
        case .body:
            readBody(data, from: offset, connection)
        case .idle, .connecting, .closed:
            connection.worker.discard(data)
        }
    }

    private func readBody(_ data: consuming Lease, from start: Int, _ connection: Connection) {
        var position = start
        while hot.value.phase == .body {
            let step = data.withBytes { span in
                ByteSlice.withBytes(of: span) { hot.value.decoder.next($0, at: &position, limits: pool.limits) }
            }
            switch step {
            case .event(.body(let offset, let length)):
                if offset == 0, length == data.count, hot.value.decoder.isOpenEnded {
                    // All of the buffer, and more will come: it goes on as it is.
                    deliver(data, connection)
                    considerTransfer(connection)
                    return
                }
                deliver(connection.worker.slice(data, offset: offset, count: length), connection)
            case .event(.trailers):
                if let trailers = hot.value.decoder.trailers {
                    unsafe request?.onResponseTrailers(&trailers.fields)
                }
            case .event(.end):
                let hasMore = position < data.count
                connection.worker.discard(data)
                responseEnded(connection, hasMore: hasMore)
                return
            case .event(.head), .event(.reset):
                continue  // a body decoder makes neither
            case .incomplete:
                connection.worker.discard(data)
                considerTransfer(connection)
                return
            case .malformed:
                refuse(data, connection)
                return
            }
        }
        connection.worker.discard(data)
    }

    override func onTransfer(_ event: TransferEvent, on connection: Connection) {
        switch event {
        case .ready: beginTransfer(connection)
        case .ended: transferEnded(connection)
        }
    }

    func responseEnded(_ connection: Connection, hasMore: Bool) {
        let answered = unsafe request
        endRequestCount()
        hot.value.phase = .idle
        bodyEnded(connection)
        if hasMore {
            // More than was asked for: nothing on this connection can be trusted any more.
            connection.close(.protocolError)
        } else if !hot.value.isPersistent {
            connection.close(.finished)
        } else if !hot.value.requestEnded || hot.value.isBlocked {
            // Answered before it has heard all: what it makes of the rest, and when, is not certain.
            connection.close(.localClose)
        } else {
            // Before the answer is passed on, because the client's next request may follow at once.
            release(connection)
        }
        answered?.onResponseEnd()
    }

    private func release(_ connection: Connection) {
        guard connection.isOpen else { return }
        if pool.isClosed {
            retire()
            return
        }
        connection.resumeReading()
        connection.setIdleTimeout(ns: pool.idleTimeoutNs)
        pool.putBack(self)
    }

    override func onEnd(_ connection: Connection) {
        switch hot.value.phase {
        case .body:
            if case .event(.end) = hot.value.decoder.close() {
                hot.value.isPersistent = false
                responseEnded(connection, hasMore: false)
            } else {
                connection.close(.remoteReset)
            }
        case .tunnel:
            unsafe request?.onResponseEnd()
        case .idle, .head, .connecting, .closed:
            connection.close(.finished)
        }
    }

    override func onIdle(_ connection: Connection) {
        if hot.value.phase == .idle { connection.close(.idleTimeout) }
    }

    override func onAboveHighWatermark(_ connection: Connection) {
        hot.value.isBlocked = true
        unsafe request?.onUpstreamBlocked(true)
    }

    override func onBelowLowWatermark(_ connection: Connection) {
        hot.value.isBlocked = false
        unsafe request?.onUpstreamBlocked(false)
    }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        accountForTransfer()
        let wasReused = hot.value.requestsStarted > 1
        let reset: UpstreamReset =
            switch hot.value.phase {
            case .connecting: .connectFailed(reason)
            case .head where !hot.value.responseStarted: .closedBeforeResponse(wasReused: wasReused)
            case .tunnel: .tunnelClosed(reason)
            default: .truncated(.truncated)
            }
        hot.value.phase = .closed
        hot.value.connection = nil
        let failed = unsafe request
        endRequestCount()
        pool.forget(self, reason)
        failed?.onReset(reset)
    }
}
