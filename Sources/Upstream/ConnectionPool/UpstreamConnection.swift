public import Engine
package import HTTP

/// A connection to an endpoint with an HTTP/1.1 client codec on it: one request at a time, kept alive between
/// requests by its pool.
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

    /// What the pool knows it by.
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

    // MARK: Sending

    /// Takes up a request: `onReady` is called at once.
    func begin(_ request: UpstreamRequest) {
        self.request = request
        phase = .head
        parser.reset()
        responseHead.reset()
        requestEnded = false
        responseStarted = false
        isPersistent = true
        requestsStarted += 1
        connection?.setIdleTimeout(ns: 0)
        request.onReady(self)
    }

    package var worker: Worker { connection!.worker }

    /// Sends the head of the request.
    package func write(head: consuming Lease, method: HTTPMethod, offersUpgrade: Bool) {
        answering = HTTP1ResponseParser.Request(method: method, offersUpgrade: offersUpgrade)
        connection!.write(head)
    }

    package func write(_ data: consuming Lease) { connection!.write(data) }

    /// The request is complete.
    package func endRequest() {
        requestEnded = true
        // An endpoint that had answered before the end: the connection is free only now.
        if case .idle = phase, request == nil { release() }
    }

    /// A tunnel's downstream has ended its stream.
    package func finishWriting() { connection?.finishWriting() }

    /// Joins this connection to a downstream one for good: both have left HTTP.
    package func relay(with downstream: Connection) {
        guard let connection, connection.isOpen, downstream.isOpen else { return }
        connection.relay(to: downstream)
        downstream.relay(to: connection)
    }

    package func pauseReading() { connection?.pauseReading() }
    package func resumeReading() { connection?.resumeReading() }

    /// The request is given up: nobody wants the answer, and what was sent of it cannot be taken back.
    package func cancel() {
        endRequestCount()
        request = nil
        connection?.close(.localClose, reset: true)
    }

    /// An idle connection that is not wanted any more.
    func retire() { connection?.close(.localClose) }

    private func endRequestCount() {
        guard request != nil else { return }
        pool.requestEnded()
    }

    // MARK: Connection hooks

    public override func onConnected(_ connection: Connection) {
        pool.connected(afterNs: connection.worker.nowNs - startedNs)
        connection.startReading()
        guard let request else {
            connection.close(.localClose)
            return
        }
        begin(request)
    }

    public override func onData(_ data: consuming Lease, on connection: Connection) {
        switch phase {
        case .head: readHead(data, connection)
        case .body: readBody(data, from: 0, connection)
        case .tunnel: deliver(data, connection)
        case .idle, .connecting, .closed:
            // Nobody asked: an endpoint that speaks first is not in step with us.
            connection.worker.discard(data)
            connection.close(.protocolError)
        }
    }

    private func deliver(_ data: consuming Lease, _ connection: Connection) {
        if let request { request.onResponseBody(data) } else { connection.worker.discard(data) }
    }

    private func readHead(_ data: consuming Lease, _ connection: Connection) {
        responseStarted = true
        // A head that lies in one buffer is parsed where it is.
        if input.isEmpty {
            let outcome = data.withBytes { span in ByteSlice.withBytes(of: span) { parse($0) } }
            switch outcome {
            case .incomplete:
                data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
                connection.worker.discard(data)
            case .malformed: refuse(data, connection)
            case .complete(let length): accept(data, headLength: length, connection)
            }
            return
        }
        let before = input.count
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
        let outcome = ByteSlice.withBytes(of: input) { parse($0) }
        switch outcome {
        case .incomplete: connection.worker.discard(data)
        case .malformed: refuse(data, connection)
        case .complete(let length):
            // Parsed from the copy; what follows the head is still in the lease.
            let rest = length - before
            acceptCopied(data, restFrom: rest, headLength: length, connection)
        }
    }

    private func parse(_ bytes: ByteSlice) -> HTTP1ResponseParser.Outcome {
        parser.parse(bytes, answering: answering, limits: pool.limits, into: &responseHead)
    }

    private func refuse(_ data: consuming Lease, _ connection: Connection) {
        connection.worker.discard(data)
        let failed = request
        endRequestCount()
        request = nil
        connection.close(.protocolError, reset: true)
        failed?.onReset(.protocolError)
    }

    private func acceptCopied(
        _ data: consuming Lease, restFrom offset: Int, headLength: Int, _ connection: Connection
    ) {
        ByteSlice.withBytes(of: input) { bytes in
            responseHead.moveSource(to: bytes.prefix(headLength))
            handOverHead()
        }
        input.removeAll(keepingCapacity: false)
        proceed(data, from: offset, connection)
    }

    private func accept(_ data: consuming Lease, headLength: Int, _ connection: Connection) {
        handOverHead()
        proceed(data, from: headLength, connection)
    }

    private func handOverHead() {
        let isInformational = responseHead.status.isInformational && !responseHead.switchesProtocol
        if isInformational {
            request?.onResponseHead(&responseHead)
            return
        }
        isPersistent = parser.isPersistent
        phase = responseHead.switchesProtocol ? .tunnel : .body(HTTP1BodyDecoder(parser.bodyFraming))
        request?.onResponseHead(&responseHead)
    }

    /// What follows a head in the same buffer.
    private func proceed(_ data: consuming Lease, from offset: Int, _ connection: Connection) {
        switch phase {
        case .head:
            // It was informational; the next head follows.
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
                if let request {
                    request.onResponseBody(connection.worker.slice(data, offset: offset, count: length))
                }
            case .event(.trailers):
                continue  // handed on with the end
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
        request = nil
        phase = .idle
        if hasMore {
            // More than was asked for: nothing on this connection can be trusted any more.
            connection.close(.protocolError)
        } else if !isPersistent {
            connection.close(.finished)
        }
        // First the answer: the connection may take up the next request in `release`.
        answered?.onResponseEnd()
        if requestEnded, case .idle = phase { release() }
    }

    private func release() {
        guard let connection, connection.isOpen else { return }
        if pool.isClosed {
            retire()
            return
        }
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

    public override func onAboveHighWatermark(_ connection: Connection) { request?.onUpstreamBlocked(true) }
    public override func onBelowLowWatermark(_ connection: Connection) { request?.onUpstreamBlocked(false) }

    public override func onClose(_ connection: Connection, _ reason: CloseReason) {
        let wasReused = requestsStarted > 1
        let reset: UpstreamReset
        switch phase {
        case .connecting: reset = .connectFailed(reason)
        case .head where !responseStarted: reset = .closedBeforeResponse(wasReused: wasReused)
        default: reset = .truncated
        }
        phase = .closed
        self.connection = nil
        let failed = request
        endRequestCount()
        request = nil
        failed?.onReset(reset)
        pool.forget(self, reason, on: connection.worker)
    }
}
