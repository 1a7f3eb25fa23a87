public import Engine
package import HTTP

/// A connection to an endpoint with an HTTP/1.1 client codec on it: one request at a time, kept alive between
/// requests by its pool.
///
/// Hooks of the request may cancel it, which closes this connection (its `onClose` comes at the end of the turn,
/// never from inside); so after each hook the phase is looked at again.
public final class UpstreamConnection: ConnectionHandler {
    private enum Phase {
        case connecting
        case idle
        /// Waiting for the head of a response, some of which may be in `input`.
        case head
        case body(HTTP1BodyDecoder)
        /// Both sides have left HTTP: bytes pass as they come.
        case tunnel
        case closed
    }

    /// Which of the cluster's endpoints this is.
    package let endpoint: Int
    private let pool: HTTPConnectionPool
    private var connection: Connection?
    private var phase = Phase.connecting
    private var request: UpstreamRequest?
    private var parser = HTTP1ResponseParser()
    private var responseHead: ResponseHead
    private var answering = HTTP1ResponseParser.Request(method: .get)
    /// A head that came in pieces. Copied, because a head is parsed in one piece.
    private var input: [UInt8] = []
    private var isPersistent = true
    /// The request was written to its end.
    private var requestEnded = false
    private var requestsStarted: UInt64 = 0
    private var responseStarted = false
    /// More is queued than the endpoint takes.
    private var isBlocked = false
    private var startedNs: UInt64 = 0

    init(pool: HTTPConnectionPool, endpoint: Int, request: UpstreamRequest) {
        self.pool = pool
        self.endpoint = endpoint
        self.request = request
        responseHead = ResponseHead(headersMax: pool.limits.headersMax)
        super.init()
    }

    func started(_ connection: Connection) {
        self.connection = connection
        startedNs = connection.worker.nowNs
    }

    var requestCount: UInt64 { requestsStarted }
    var isOpen: Bool { connection?.isOpen ?? false }

    // MARK: Sending

    /// Takes up a request: `onReady` is called at once.
    func begin(_ request: UpstreamRequest) {
        self.request = request
        phase = .head
        parser.reset()
        responseHead.reset()
        requestEnded = false
        responseStarted = false
        requestsStarted += 1
        connection?.setIdleTimeout(ns: 0)
        request.onReady(self)
    }

    /// Sends the head of the request.
    package func write(head: consuming Lease, method: HTTPMethod, offersUpgrade: Bool) {
        answering = HTTP1ResponseParser.Request(method: method, offersUpgrade: offersUpgrade)
        write(head)
    }

    /// Sends bytes of the request's body, or of a tunnel. The connection is the worker's own, so a lease that comes
    /// after its end is given back there.
    package func write(_ data: consuming Lease) {
        guard let connection else { return pool.discard(data) }
        connection.write(data)
    }

    /// The request is complete.
    package func endRequest() { requestEnded = true }

    /// A tunnel's downstream has ended its stream.
    package func finishWriting() { connection?.finishWriting() }

    /// Joins this connection to a downstream one for good: both have left HTTP.
    ///
    /// - Parameters: which directions pass without being looked at.
    package func relay(with downstream: Connection, requests: Bool, responses: Bool) {
        guard let connection, connection.isOpen, downstream.isOpen else { return }
        if requests { downstream.relay(to: connection) }
        if responses { connection.relay(to: downstream) }
    }

    package func pauseReading() { connection?.pauseReading() }
    package func resumeReading() { connection?.resumeReading() }

    /// The request is given up: nobody wants the answer, and what was sent of it cannot be taken back.
    package func cancel() {
        endRequestCount()
        phase = .closed
        connection?.close(.localClose, reset: true)
    }

    /// The request is given up because the endpoint did not answer in time.
    package func timeOut() {
        if request != nil { pool.cluster.noteFailure(of: endpoint) }
        cancel()
    }

    /// The downstream side of a tunnel is gone.
    package func downstreamClosed(_ reason: CloseReason) {
        endRequestCount()
        phase = .closed
        switch reason {
        case .finished: connection?.closeWhenSent(.finished)
        case .remoteReset: connection?.closeWhenSent(.otherSideReset, reset: true)
        default: connection?.close(.otherSideClosed)
        }
    }

    /// An idle connection that is not wanted any more.
    func retire() { connection?.close(.localClose) }

    private func endRequestCount() {
        guard request != nil else { return }
        request = nil
        pool.requestEnded(endpoint)
    }

    // MARK: Connection hooks

    public override func onConnected(_ connection: Connection) {
        pool.connected(afterNs: connection.worker.nowNs - startedNs)
        connection.startReading()
        guard let request else { return connection.close(.localClose) }
        begin(request)
    }

    public override func onData(_ data: consuming Lease, on connection: Connection) {
        switch phase {
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
        if let request { request.onResponseBody(data) } else { connection.worker.discard(data) }
    }

    private func readHead(_ data: consuming Lease, _ connection: Connection) {
        responseStarted = true
        guard input.isEmpty else {
            readCollectedHead(data, connection)
            return
        }
        // A head that lies in one buffer is parsed where it is.
        let outcome = data.withBytes { span in ByteSlice.withBytes(of: span) { parse($0) } }
        switch outcome {
        case .incomplete:
            collect(data)
            connection.worker.discard(data)
        case .malformed: refuse(data, connection)
        case .complete(let length):
            handOverHead()
            proceed(data, from: length, connection)
        }
    }

    private func readCollectedHead(_ data: consuming Lease, _ connection: Connection) {
        let before = input.count
        collect(data)
        let bytes = input
        let outcome = ByteSlice.withBytes(of: bytes) { bytes in
            let outcome = parse(bytes)
            if case .complete = outcome { handOverHead() }
            return outcome
        }
        switch outcome {
        case .incomplete: connection.worker.discard(data)
        case .malformed: refuse(data, connection)
        case .complete(let length):
            input.removeAll(keepingCapacity: false)
            // What follows the head is still in the lease: before it came the head was not complete.
            proceed(data, from: length - before, connection)
        }
    }

    private func collect(_ data: borrowing Lease) {
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
    }

    private func parse(_ bytes: ByteSlice) -> HTTP1ResponseParser.Outcome {
        parser.parse(bytes, answering: answering, limits: pool.limits, into: &responseHead)
    }

    private func refuse(_ data: consuming Lease, _ connection: Connection) {
        connection.worker.discard(data)
        let failed = request
        if failed != nil { pool.cluster.noteFailure(of: endpoint) }
        endRequestCount()
        phase = .closed
        connection.close(.protocolError, reset: true)
        failed?.onReset(.protocolError)
    }

    private func handOverHead() {
        let isFinal = !responseHead.status.isInformational || responseHead.switchesProtocol
        if isFinal {
            isPersistent = parser.isPersistent
            if responseHead.status.rawValue >= 500 {
                pool.cluster.noteFailure(of: endpoint)
            } else {
                pool.cluster.noteSuccess(of: endpoint)
            }
            phase = responseHead.switchesProtocol ? .tunnel : .body(HTTP1BodyDecoder(parser.bodyFraming))
        }
        request?.onResponseHead(&responseHead)
    }

    /// What follows a head in the same buffer.
    private func proceed(_ data: consuming Lease, from offset: Int, _ connection: Connection) {
        switch phase {
        case .head:
            // The head was informational; the next one follows.
            parser.reset()
            responseHead.reset()
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
        guard case .body(var decoder) = phase else {
            connection.worker.discard(data)
            return
        }
        var position = start
        while true {
            let step = data.withBytes { span in
                ByteSlice.withBytes(of: span) { decoder.next($0, at: &position, limits: pool.limits) }
            }
            switch step {
            case .event(.body(let offset, let length)):
                if offset == 0, length == data.count, decoder.isOpenEnded {
                    // All of the buffer, and more will come: it goes on as it is.
                    phase = .body(decoder)
                    deliver(data, connection)
                    return
                }
                deliver(connection.worker.slice(data, offset: offset, count: length), connection)
                guard case .body = phase else {
                    connection.worker.discard(data)
                    return
                }
            case .event(.trailers):
                if let trailers = decoder.trailers { request?.onResponseTrailers(trailers.fields) }
            case .event(.end):
                let hasMore = position < data.count
                connection.worker.discard(data)
                responseEnded(connection, hasMore: hasMore)
                return
            case .event(.head), .event(.reset):
                continue  // a body decoder makes neither
            case .incomplete:
                phase = .body(decoder)
                connection.worker.discard(data)
                return
            case .malformed:
                refuse(data, connection)
                return
            }
        }
    }

    private func responseEnded(_ connection: Connection, hasMore: Bool) {
        let answered = request
        endRequestCount()
        phase = .idle
        if hasMore {
            // More than was asked for: nothing on this connection can be trusted any more.
            connection.close(.protocolError)
        } else if !isPersistent {
            connection.close(.finished)
        } else if !requestEnded || isBlocked {
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

    public override func onEnd(_ connection: Connection) {
        switch phase {
        case .body(let decoder):
            if case .event(.end) = decoder.close() {
                isPersistent = false
                responseEnded(connection, hasMore: false)
            } else {
                connection.close(.remoteReset)
            }
        case .tunnel:
            request?.onResponseEnd()
        case .idle, .head, .connecting, .closed:
            connection.close(.finished)
        }
    }

    public override func onIdle(_ connection: Connection) {
        if case .idle = phase { connection.close(.idleTimeout) }
    }

    public override func onAboveHighWatermark(_ connection: Connection) {
        isBlocked = true
        request?.onUpstreamBlocked(true)
    }

    public override func onBelowLowWatermark(_ connection: Connection) {
        isBlocked = false
        request?.onUpstreamBlocked(false)
    }

    public override func onClose(_ connection: Connection, _ reason: CloseReason) {
        let wasReused = requestsStarted > 1
        let reset: UpstreamReset
        switch phase {
        case .connecting: reset = .connectFailed(reason)
        case .head where !responseStarted: reset = .closedBeforeResponse(wasReused: wasReused)
        case .tunnel: reset = .tunnelClosed(reason)
        default: reset = .truncated
        }
        phase = .closed
        self.connection = nil
        let failed = request
        if failed != nil, reset == .closedBeforeResponse(wasReused: false) || reset == .truncated {
            pool.cluster.noteFailure(of: endpoint)
        }
        endRequestCount()
        pool.forget(self, reason)
        failed?.onReset(reset)
    }
}
