internal import Engine
internal import HTTP
internal import HTTP2

/// A connection to an endpoint that speaks HTTP/2: by prior knowledge (RFC 9113 §3.3), in TLS by agreement (ALPN).
///
/// Requests that come while the connection is being made wait here. Hooks of a request may cancel it or start another
/// one, so after each of them the state is looked at again.
final class HTTP2UpstreamConnection: UpstreamConnection {
    /// What is known of one stream, until the session has closed it. It is looked at for every event, which counts no
    /// references: the request that it keeps is let go by hand, by `takeRequest`.
    @safe
    private struct Entry {
        /// The session has not closed the stream.
        var isOpen = false
        /// nil once it is over for the one who asked.
        fileprivate var kept: Unmanaged<UpstreamRequest>?
        var method = HTTPMethod.other
        /// Our side of the stream is complete.
        var requestEnded = false
        var responseStarted = false
        var responseEnded = false
        var isTunnel = false
        /// There is one in `upgrades`.
        var isUpgrade = false
        /// Whoever gets the response does not take it: its window stays as it is.
        var isPaused = false
        /// Received and not yet given back to the window.
        var unconsumed = 0
        /// How many requests were written before.
        var order: UInt64 = 0

        var request: UpstreamRequest? { unsafe kept?.takeUnretainedValue() }

        func isOf(_ request: UpstreamRequest) -> Bool {
            unsafe kept?.toOpaque() == Unmanaged.passUnretained(request).toOpaque()
        }
    }

    private let pool: HTTP2ConnectionPool
    private let transport: HTTP2Transport
    private var session: HTTP2Session { transport.session }
    private var connection: Connection?
    private var isConnected = false
    private var isBlocked = false
    private var isLeaving = false
    /// Started before the connection was there.
    private var waiting: [UpstreamRequest] = []
    private var entries: [Entry] = []
    /// Other protocols that were asked for by extended CONNECT, for those who know of `Upgrade` only; by slot.
    private var upgrades: [Int: HTTP2Upgrade] = [:]
    /// Requests that the endpoint has left out with GOAWAY, until the end of a batch of events.
    private var leftOut: [(order: UInt64, request: UpstreamRequest)] = []
    /// Requests that wait or have a stream.
    private(set) var requestCount = 0
    private var requestsStarted: UInt64 = 0
    private var requestsWritten: UInt64 = 0
    private var responseHead: ResponseHead
    private var trailers = HeaderTable(capacity: 16)
    private var startedNs: UInt64 = 0
    /// The endpoint has said what it can do.
    private var knowsSettings = false
    private var keepAlive: HTTP2KeepAlive?

    /// Nil without memory.
    init?(pool: HTTP2ConnectionPool, endpoint: Int) {
        let output = pool.output
        guard let session = HTTP2Session(server: false, settings: pool.http2, workspace: output) else { return nil }
        self.pool = pool
        transport = HTTP2Transport(session, worker: pool.worker, output: output)
        responseHead = ResponseHead(headersMax: pool.limits.headersMax)
        super.init(endpoint: endpoint)
    }

    /// - Parameter startedNs: when the connection was begun
    func connecting(_ connection: Connection, startedNs: UInt64) {
        self.connection = connection
        self.startedNs = startedNs
    }

    /// Another request may be started.
    var hasRoom: Bool {
        guard let connection, connection.isOpen, !isLeaving else { return false }
        guard requestCount < min(pool.streamsPerConnectionMax, session.peerStreamsMax) else {
            return false
        }
        return !isConnected || session.takesRequests
    }

    // MARK: Requests

    /// Takes a request up: `onReady` is called now, or when the connection is there.
    func start(_ request: UpstreamRequest) {
        requestCount += 1
        requestsStarted += 1
        if pool.hasServedEnough(requests: UInt64(requestsStarted), sinceNs: startedNs) { leave() }
        if mayBegin(request) { begin(request) } else { waiting.append(request) }
    }

    /// Whether the endpoint takes an extended CONNECT is in its SETTINGS (RFC 8441 §3).
    private func mayBegin(_ request: UpstreamRequest) -> Bool {
        isConnected && (knowsSettings || !request.offersUpgrade)
    }

    private func beginWaiting() {
        while let index = waiting.firstIndex(where: mayBegin) { begin(waiting.remove(at: index)) }
    }

    private func begin(_ request: UpstreamRequest) {
        request.connectionSlot = .max
        connection?.setIdleTimeout(ns: 0)
        request.onReady(self)
    }

    /// The slot of the request's stream, if it has one here.
    private func slot(of request: UpstreamRequest) -> Int? {
        let slot = Int(request.connectionSlot)
        return slot < entries.count && entries[slot].isOf(request) ? slot : nil
    }

    /// The request, which is not kept any more; nil when it was over.
    private func takeRequest(_ slot: Int) -> UpstreamRequest? {
        guard let request = unsafe entries[slot].kept else { return nil }
        unsafe entries[slot].kept = nil
        return unsafe request.takeRetainedValue()
    }

    /// The session has closed the stream, whose request was taken.
    private func forget(_ slot: Int) {
        if entries[slot].isUpgrade { upgrades[slot] = nil }
        entries[slot] = Entry()
    }

    override func write(
        _ head: borrowing RequestHead, of request: UpstreamRequest, isComplete: Bool, offersUpgrade: Bool
    ) {
        guard let connection, connection.isOpen else { return }
        connection.charge(to: request.costCell)
        // An endpoint that does not know how is asked without the upgrade, which any server may ignore.
        let upgrade = offersUpgrade && session.peerAllowsExtendedConnect ? HTTP2Upgrade(head) : nil
        let isTunnel = head.method == .connect || upgrade != nil
        let hasBody = !isComplete || isTunnel
        let scheme: RequestHead.Scheme = connection.isSecure ? .https : .http
        let stream = session.sendRequest(
            head, scheme: scheme, connectProtocol: upgrade == nil ? nil : head.headers[.upgrade], hasBody: hasBody)
        guard let stream else {
            // No stream can be opened: the request is told by `onClose`.
            waiting.append(request)
            return connection.close(.localClose)
        }
        let slot = Int(stream.slot)
        while entries.count <= slot { entries.append(Entry()) }
        var entry = Entry()
        entry.isOpen = true
        unsafe entry.kept = .passRetained(request)
        entry.method = isTunnel ? .connect : head.method
        entry.requestEnded = !hasBody
        entry.order = requestsWritten
        requestsWritten += 1
        if let upgrade {
            upgrades[slot] = upgrade
            entry.isUpgrade = true
        }
        entries[slot] = entry
        request.connectionSlot = stream.slot
        connection.requestFlush()
    }

    override func write(_ data: consuming Lease, of request: UpstreamRequest) {
        guard let slot = slot(of: request) else { return pool.discard(data) }
        connection?.requestFlush()
        if transport.queue(data, on: HTTP2Stream(slot: UInt32(slot))) { request.onUpstreamBlocked(true) }
    }

    override func writeTrailers(_ fields: borrowing HeaderTable, of request: UpstreamRequest) {
        guard let slot = slot(of: request) else { return }
        session.queueTrailers(HTTP2Stream(slot: UInt32(slot)), fields)
    }

    override func end(_ request: UpstreamRequest) {
        guard let slot = slot(of: request), !entries[slot].requestEnded else { return }
        entries[slot].requestEnded = true
        session.endBody(HTTP2Stream(slot: UInt32(slot)))
        connection?.requestFlush()
    }

    override func finishWriting(for request: UpstreamRequest) { end(request) }

    override func cancel(_ request: UpstreamRequest) { abandon(request, .cancel) }

    override func downstreamClosed(_ reason: CloseReason, of request: UpstreamRequest) {
        if reason == .finished {
            end(request)
            guard let slot = slot(of: request), takeRequest(slot) != nil else { return }
            requestIsOver()
        } else {
            abandon(request, .cancel)
        }
    }

    private func abandon(_ request: UpstreamRequest, _ code: HTTP2ErrorCode) {
        if let index = waiting.firstIndex(where: { $0 === request }) {
            waiting.remove(at: index)
            return requestIsOver()
        }
        if let index = leftOut.firstIndex(where: { $0.request === request }) {
            leftOut.remove(at: index)
            return
        }
        guard let slot = slot(of: request) else { return }
        let stream = HTTP2Stream(slot: UInt32(slot))
        _ = takeRequest(slot)
        session.reset(stream, code)
        transport.drop(stream)
        connection?.requestFlush()
        requestIsOver()
    }

    override func pauseReading(for request: UpstreamRequest) {
        guard let slot = slot(of: request) else { return }
        entries[slot].isPaused = true
    }

    override func resumeReading(for request: UpstreamRequest) {
        guard let slot = slot(of: request) else { return }
        entries[slot].isPaused = false
        giveBack(slot)
    }

    private func giveBack(_ slot: Int) {
        let count = entries[slot].unconsumed
        guard !entries[slot].isPaused, count > 0 else { return }
        entries[slot].unconsumed = 0
        session.consume(HTTP2Stream(slot: UInt32(slot)), count)
        connection?.requestFlush()
    }

    private func requestIsOver() {
        requestCount -= 1
        pool.requestEnded(endpoint)
        guard requestCount == 0, let connection, connection.isOpen else { return }
        if isLeaving {
            connection.requestFlush()
        } else if isConnected {
            connection.setIdleTimeout(ns: pool.idleTimeoutNs)
        } else {
            // Nobody waits for it any more.
            connection.close(.localClose)
        }
    }

    // MARK: The connection's end

    /// No more requests.
    private func leave() {
        guard !isLeaving else { return }
        isLeaving = true
        pool.leave(self)
    }

    /// The pool does not want this connection any more: it ends with its last request.
    func retire() {
        isLeaving = true
        if requestCount == 0 { finish(.localClose) }
    }

    private func finish(_ reason: CloseReason) {
        guard let connection, connection.isOpen else { return }
        guard isConnected else { return connection.close(reason) }
        session.terminate(.noError)
        transport.flush { connection.write($0) }
        connection.closeWhenSent(reason)
    }

    // MARK: Connection hooks

    override func onConnected(_ connection: Connection) {
        // RFC 9113 §3.2: within TLS, HTTP/2 is what both sides have agreed on.
        if connection.isSecure, connection.applicationProtocol != "h2" { return connection.close(.tlsNoSharedProtocol) }
        pool.connected(afterNs: connection.worker.nowNs - startedNs)
        isConnected = true
        connection.startReading()
        connection.requestFlush()
        keepAlive = pool.keepAlive.map { HTTP2KeepAlive($0, session, on: connection) }
        guard !waiting.isEmpty else { return connection.setIdleTimeout(ns: pool.idleTimeoutNs) }
        beginWaiting()
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        keepAlive?.received()
        // The bytes stay where they are as long as the lease is held, which is to the end of this.
        let bytes = data.withBytes { span in ByteSlice.withBytes(of: span) { $0 } }
        var offset = 0
        while offset < bytes.count, connection.isOpen {
            let chunk = bytes[offset..<bytes.count]
            let length = session.receive(chunk, nowNs: connection.worker.nowNs)
            while let event = session.nextEvent() { take(event, data, at: offset) }
            sendElsewhere()
            if session.failure != nil { break }
            offset += length
        }
        connection.worker.discard(data)
        finishTurn(connection)
    }

    override func onFlush(_ connection: Connection) {
        guard isConnected else { return }
        defer { transport.settle() }
        guard !isBlocked else { return }
        transport.flush { connection.write($0) }
        while let event = session.nextEvent() { take(event) }
        sendElsewhere()
        finishTurn(connection)
    }

    private func finishTurn(_ connection: Connection) {
        guard connection.isOpen else { return }
        if session.failure != nil {
            session.terminate(.protocolError)
            transport.flush { connection.write($0) }
            connection.close(.protocolError)
        } else if requestCount == 0, isLeaving {
            finish(.finished)
        } else if session.isFinished {
            connection.close(.finished)
        } else if session.wantsToWrite, !isBlocked {
            connection.requestFlush()
        }
    }

    private func take(_ event: HTTP2Event, _ data: borrowing Lease, at base: Int) {
        guard case .body(let stream, let offset, let length) = event else { return take(event) }
        let slot = Int(stream.slot)
        guard let request = entries[slot].request else { return session.consume(stream, length) }
        entries[slot].unconsumed += length
        request.onResponseBody(pool.worker.slice(data, offset: base + offset, count: length))
        giveBack(slot)
    }

    private func take(_ event: HTTP2Event) {
        switch event {
        case .head(let stream, let endsStream): takeHead(stream, endsStream: endsStream)
        case .body: break  // comes with the bytes it is in
        case .trailers(let stream): takeTrailers(stream)
        case .end(let stream): responseEnded(stream)
        case .malformed(let stream, _): refuse(stream)
        case .closed(let stream, let code): closed(stream, code)
        case .drained(let stream): entries[Int(stream.slot)].request?.onUpstreamBlocked(false)
        case .goAway: leave()
        case .settings:
            knowsSettings = true
            beginWaiting()
            pool.hasRoom()
        case .pong: break
        }
    }

    private func takeHead(_ stream: HTTP2Stream, endsStream: Bool) {
        let slot = Int(stream.slot)
        guard let request = entries[slot].request else { return }
        entries[slot].responseStarted = true
        responseHead.reset()
        switch session.finishResponse(stream, answering: entries[slot].method, into: &responseHead) {
        case .failure: refuse(stream)
        case .success:
            if responseHead.switchesProtocol {
                entries[slot].isTunnel = true
                if entries[slot].isUpgrade { upgrades[slot]?.translate(&responseHead) }
            }
            request.onResponseHead(&responseHead)
        }
    }

    private func takeTrailers(_ stream: HTTP2Stream) {
        guard let request = entries[Int(stream.slot)].request else { return }
        trailers.reset()
        switch session.finishTrailers(stream, into: &trailers) {
        case .failure: refuse(stream)
        case .success: request.onResponseTrailers(&trailers)
        }
    }

    private func responseEnded(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        entries[slot].responseEnded = true
        if entries[slot].isTunnel {
            entries[slot].request?.onResponseEnd()
            return
        }
        guard let request = takeRequest(slot) else { return }
        if !entries[slot].requestEnded {
            // RFC 9113 §8.1: answered before all of the request was heard, and nobody wants the rest.
            session.reset(stream, .noError)
            transport.drop(stream)
            connection?.requestFlush()
        }
        requestIsOver()
        request.onResponseEnd()
        pool.hasRoom()
    }

    private func refuse(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        session.reset(stream, .protocolError)
        transport.drop(stream)
        connection?.requestFlush()
        guard let request = takeRequest(slot) else { return }
        requestIsOver()
        request.onReset(.protocolError)
    }

    private func closed(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        let slot = Int(stream.slot)
        transport.drop(stream)
        guard slot < entries.count, entries[slot].isOpen else { return }
        let entry = entries[slot]
        let request = takeRequest(slot)
        forget(slot)
        guard let request else { return }
        requestIsOver()
        let reset = reset(entry, code)
        if reset.wasRefused, session.peerIsLeaving {
            leftOut.append((entry.order, request))
        } else {
            request.onReset(reset)
            pool.hasRoom()
        }
    }

    /// Those whom the endpoint has left out go elsewhere in the order in which they came; the library closes their streams
    /// in any order. Where each connection takes only some of many, nobody is always among the last.
    private func sendElsewhere() {
        guard !leftOut.isEmpty else { return }
        leftOut.sort { $0.order > $1.order }
        while let next = leftOut.popLast() { next.request.onReset(.refused(tookOthers: session.peerTookStreams)) }
        pool.hasRoom()
    }

    private func reset(_ entry: Entry, _ code: HTTP2ErrorCode) -> UpstreamReset {
        if entry.isTunnel { return .tunnelClosed(entry.responseEnded && code == .noError ? .finished : .remoteReset) }
        // RFC 9113 §8.7: nothing of it was processed.
        if code == .refusedStream, !entry.responseStarted { return .refused(tookOthers: session.peerTookStreams) }
        return entry.responseStarted
            ? .truncated(StreamReset(passingOn: code)) : .closedBeforeResponse(wasReused: false)
    }

    override func onEnd(_ connection: Connection) { connection.close(.remoteReset) }

    override func onIdle(_ connection: Connection) { if requestCount == 0 { finish(.idleTimeout) } }

    override func onAboveHighWatermark(_ connection: Connection) { isBlocked = true }

    override func onBelowLowWatermark(_ connection: Connection) {
        isBlocked = false
        connection.requestFlush()
    }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        self.connection = nil
        keepAlive?.stop()
        if session.peerIsLeaving {
            // Asked for what it would send, the library says which requests the endpoint has never seen.
            transport.flush { pool.discard($0) }
            while let event = session.nextEvent() { take(event) }
        }
        let wasReused = requestsStarted > 1
        var lost: [(request: UpstreamRequest, reset: UpstreamReset)] = waiting.map {
            ($0, isConnected ? .closedBeforeResponse(wasReused: wasReused) : .connectFailed(reason))
        }
        for slot in entries.indices {
            guard let request = takeRequest(slot) else { continue }
            let entry = entries[slot]
            let reset: UpstreamReset =
                entry.isTunnel
                ? .tunnelClosed(reason)
                : entry.responseStarted ? .truncated(.truncated) : .closedBeforeResponse(wasReused: wasReused)
            lost.append((request, reset))
        }
        waiting = []
        entries = []
        upgrades = [:]
        transport.dropAll()
        isLeaving = true
        for _ in lost { requestIsOver() }
        pool.forget(self, reason)
        for (request, reset) in lost { request.onReset(reset) }
        sendElsewhere()
    }
}
