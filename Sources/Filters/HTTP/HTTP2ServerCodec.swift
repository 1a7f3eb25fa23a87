internal import Engine
internal import HTTP
internal import HTTP2
internal import Upstream

/// The server's side of HTTP/2 on one connection (RFC 9113): many streams at once, each an `HTTPStream` of its own.
///
/// What comes is handed on where it lies; what a stream does not want yet is copied and kept, bounded by the stream's
/// window, so that one that stands still never stops the others. What goes is written at the end of the turn.
final class HTTP2ServerCodec: ServerCodec {
    /// What the codec knows of one stream, from its head until the session has closed it. It is looked at for every
    /// event, which counts no references: what it keeps is let go by hand, by `takeExchange` and `forget`.
    @safe
    struct Entry {
        /// The session has not closed the stream.
        var isOpen = false
        /// The exchange, kept; nil once it is over here, while the rest of its response is sent.
        fileprivate var exchange: Unmanaged<HTTPStream>?
        /// Keeps what the exchange was begun with.
        fileprivate var chain: Unmanaged<HTTPChain>?
        /// `held` has something of it.
        var isHeld = false
        /// Received and not yet given back to the window.
        var unconsumed = 0
        var isBodyBlocked = false
        /// A response with a body was begun.
        var sendsBody = false
        /// The request asks for a tunnel.
        var isConnect = false
        var isTunnel = false
        var idleTimeoutNs: UInt64 = 0
        var lastActiveNs: UInt64 = 0

        var stream: HTTPStream? { unsafe exchange?.takeUnretainedValue() }

        func isOf(_ stream: HTTPStream) -> Bool {
            unsafe exchange?.toOpaque() == Unmanaged.passUnretained(stream).toOpaque()
        }
    }

    /// What came of a request before it was wanted.
    final class Held {
        /// At most a window.
        var bytes: [UInt8] = []
        var trailers = HeaderTable(capacity: 1)
        var hasTrailers = false
        /// The request's end waits behind.
        var isEnd = false
    }

    enum Phase { case serving, announced, draining, closing }

    let transport: HTTP2Transport
    var session: HTTP2Session { transport.session }
    let chain: HTTPChain
    var entries: [Entry] = []
    /// By slot.
    private var held: [Int: Held] = [:]
    var phase = Phase.serving
    var requestCount: UInt64 = 0
    private var refusedCount: UInt64 = 0
    private var isBlocked = false
    private lazy var timers = HTTP2ServerTimers(self)
    private var idleTimer = TaskTimer.none
    private var idleDeadlineNs = UInt64.max
    /// Since the last stream.
    private var hasRested = false
    private var sweepTimer = TaskTimer.none
    private var goAwayTimer = TaskTimer.none
    private var keepAlive: HTTP2KeepAlive?

    /// Nil without memory.
    init?(_ manager: HTTPConnectionManager, _ chain: HTTPChain) {
        self.chain = chain
        let output = chain.http2Output
        guard let session = HTTP2Session(server: true, settings: chain.settings.http2, workspace: output) else {
            return nil
        }
        transport = HTTP2Transport(session, worker: manager.connection.worker, output: output)
        super.init(manager)
        chain.counters.add(to: HTTPStat.http2Connections)
        connection.setIdleTimeout(ns: 0)
        keepAlive = chain.settings.http2KeepAlive.map { HTTP2KeepAlive($0, session, on: connection) }
        startIdleTimer()
        connection.requestFlush()
    }

    // MARK: From the connection

    override func onData(_ data: consuming Lease) {
        guard phase != .closing else { return worker.discard(data) }
        keepAlive?.received()
        // The bytes stay where they are as long as the lease is held, which is to the end of this.
        let bytes = data.withBytes { span in ByteSlice.withBytes(of: span) { $0 } }
        var offset = 0
        while offset < bytes.count, phase != .closing {
            let chunk = bytes[offset..<bytes.count]
            let length = session.receive(chunk, nowNs: worker.nowNs)
            while let event = session.nextEvent() { take(event, data, at: offset) }
            if session.failure != nil { break }
            offset += length
        }
        worker.discard(data)
        afterReceiving()
        // A word between the sides, and no stream.
        if hasRested, phase == .serving, !session.isResting, !hasStreams { awaitRest() }
    }

    /// Bytes that were received before it was known that they are HTTP/2.
    func onBytes(_ bytes: [UInt8]) { ByteSlice.withBytes(of: bytes) { $0.withSpan { onData(worker.copy($0)) } } }

    private func afterReceiving() {
        guard phase != .closing else { return }
        if let failure = session.failure { return fail(failure) }
        connection.requestFlush()
    }

    override func onFlush() {
        // What rests has nothing to say: whatever is asked of it wakes it.
        guard phase != .closing, !session.isResting else { return }
        defer { transport.settle() }
        guard !isBlocked else { return }
        flush()
        if let failure = session.failure { return fail(failure) }
        // A request may be on its way until the answer to the announcement has come.
        if session.isFinished, phase != .announced { close(phase == .serving ? .finished : .drained) }
        // More than one turn's worth waits, and nothing else may call.
        if session.wantsToWrite, !isBlocked { connection.requestFlush() }
    }

    private func flush() {
        transport.flush { manager.forwardWrite($0) }
        while let event = session.nextEvent() { take(event) }
        guard session.streamsRefused > refusedCount else { return }
        chain.counters.add(session.streamsRefused - refusedCount, to: HTTPStat.http2StreamsRefused)
        refusedCount = session.streamsRefused
    }

    private func fail(_ failure: HTTP2Failure) {
        switch failure {
        case .abuse(let abuse):
            chain.counters.add(to: HTTPStat.abuse(abuse))
            session.terminate(.enhanceYourCalm)
        case .protocolError: break  // the library has said so
        case .internalError: session.terminate(.internalError)
        }
        phase = .closing
        transport.flush { manager.forwardWrite($0) }
        endStreams(.downstreamProtocolError)
        connection.closeWhenSent(failure == .internalError ? .limit : .protocolError)
    }

    /// All is said.
    func close(_ reason: CloseReason) {
        guard phase != .closing else { return }
        phase = .closing
        transport.flush { manager.forwardWrite($0) }
        endStreams(.downstreamConnectionTermination)
        connection.closeWhenSent(reason)
    }

    override func onBlocked(_ isBlocked: Bool) {
        self.isBlocked = isBlocked
        if !isBlocked { connection.requestFlush() }
    }

    /// The client sends nothing more: neither requests nor windows.
    override func onEnd() { close(.finished) }

    /// Signs of life keep no connection: what counts is the time without a request. A head that does not come to its
    /// end is no request yet.
    private func idleTimedOut() {
        session.terminate(.noError)
        close(.idleTimeout)
    }

    private var hasStreams: Bool { entries.contains { $0.isOpen } }

    func startIdleTimer() {
        guard idleTimer == .none else { return }
        hasRested = false
        let ns = chain.settings.idleTimeoutNs
        idleDeadlineNs = ns > 0 ? worker.nowNs + ns : .max
        awaitRest()
    }

    /// How long after it was last of use a connection without streams gives back what it can do without: most of its
    /// memory. Long enough that none does it between the requests of one page.
    private static let restNs: UInt64 = 1_000_000_000

    /// First the connection comes to rest, then its time is over.
    private func awaitRest() {
        worker.cancel(idleTimer)
        let leftNs = idleDeadlineNs - min(worker.nowNs, idleDeadlineNs)
        idleTimer = worker.schedule(timers, tag: HTTP2ServerTimers.idle, afterNs: min(leftNs, Self.restNs))
    }

    func idleTimerFired() {
        idleTimer = .none
        guard phase != .closing, !hasStreams else { return }
        guard worker.nowNs < idleDeadlineNs else { return idleTimedOut() }
        entries = []
        transport.rest()
        session.rest()
        hasRested = true
        guard idleDeadlineNs < .max else { return }
        let leftNs = idleDeadlineNs - worker.nowNs
        idleTimer = worker.schedule(timers, tag: HTTP2ServerTimers.idle, afterNs: leftNs)
    }

    func cancelIdleTimer() {
        worker.cancel(idleTimer)
        idleTimer = .none
    }

    /// RFC 9113 §6.8: asks for no more streams, and refuses those that come after the answer to that has had the time
    /// to arrive. What was begun is finished.
    override func onDrain() {
        guard phase == .serving else { return }
        phase = .announced
        session.announceGoAway()
        session.ping(.roundTrip)
        goAwayTimer = worker.schedule(timers, tag: HTTP2ServerTimers.goAway, afterNs: Self.goAwayNs)
        connection.requestFlush()
    }

    /// How long to wait for the round trip that ends with no stream on its way any more, where its end is not heard of.
    private static let goAwayNs: UInt64 = 5_000_000_000

    func finishDrain() {
        guard phase == .announced else { return }
        phase = .draining
        worker.cancel(goAwayTimer)
        session.goAway()
        connection.requestFlush()
    }

    override func onClose(_ reason: CloseReason) {
        phase = .closing
        cancelIdleTimer()
        worker.cancel(sweepTimer)
        worker.cancel(goAwayTimer)
        keepAlive?.stop()
        for slot in entries.indices {
            guard let stream = takeExchange(slot) else { continue }
            if stream.route.isTunnel {
                unsafe stream.route.upstream?.downstreamClosed(reason, of: stream)
                unsafe stream.route.upstream = nil
            } else if stream.flag == .none {
                stream.flag = .downstreamConnectionTermination
            }
            stream.end()
        }
        for slot in entries.indices { forget(slot) }
        entries = []
        transport.dropAll()
        chain.counters.subtract(from: HTTPStat.http2Connections)
    }

    func endStreams(_ flag: ResponseFlag) {
        for slot in entries.indices {
            guard let stream = entries[slot].stream else { continue }
            end(stream, at: slot, flag)
        }
    }

    // MARK: Entries

    /// Begins to keep `stream`, and what it was made of.
    func keep(_ stream: HTTPStream, of chain: HTTPChain, at slot: Int) {
        while entries.count <= slot { entries.append(Entry()) }
        var entry = Entry()
        entry.isOpen = true
        unsafe entry.exchange = .passRetained(stream)
        unsafe entry.chain = .passRetained(chain)
        entry.lastActiveNs = worker.nowNs
        entries[slot] = entry
    }

    /// The exchange, which is not kept any more; nil when it was over.
    func takeExchange(_ slot: Int) -> HTTPStream? {
        guard let stream = unsafe entries[slot].exchange else { return nil }
        unsafe entries[slot].exchange = nil
        return unsafe stream.takeRetainedValue()
    }

    /// The session has closed the stream, whose exchange was taken.
    func forget(_ slot: Int) {
        guard entries[slot].isOpen else { return }
        dropHeld(slot)
        unsafe entries[slot].chain?.release()
        entries[slot] = Entry()
    }

    /// The chain that the exchange at `slot` was begun with; nil when there is none.
    func chain(at slot: Int) -> HTTPChain? { unsafe entries[slot].chain?.takeUnretainedValue() }

    /// Nothing is called on the exchange any more.
    private func endExchange(_ slot: Int) { takeExchange(slot)?.end() }

    private func dropHeld(_ slot: Int) {
        guard entries[slot].isHeld else { return }
        held[slot] = nil
        entries[slot].isHeld = false
    }

    /// Where what comes too early is kept.
    func hold(_ slot: Int) -> Held {
        if let held = held[slot] { return held }
        let new = Held()
        held[slot] = new
        entries[slot].isHeld = true
        return new
    }

    // MARK: From streams: requests

    override func requestBodyWanted(by stream: HTTPStream) {
        guard let slot = slot(of: stream), entries[slot].isHeld, wantsBody(stream, slot), let held = held[slot] else {
            return
        }
        self.held[slot] = nil
        entries[slot].isHeld = false
        if !held.bytes.isEmpty {
            ByteSlice.withBytes(of: held.bytes) { $0.withSpan { stream.requestBody(worker.copy($0)) } }
            guard self.slot(of: stream) == slot else { return }
            giveBack(HTTP2Stream(slot: stream.codecSlot))
        }
        if held.hasTrailers {
            stream.requestTrailers(&held.trailers)
            guard self.slot(of: stream) == slot else { return }
        }
        if held.isEnd { endRequest(stream, slot) }
    }

    override func blockRequestBody(_ isBlocked: Bool, of stream: HTTPStream) {
        guard let slot = slot(of: stream) else { return }
        entries[slot].isBodyBlocked = isBlocked
        if !isBlocked { giveBack(HTTP2Stream(slot: stream.codecSlot)) }
    }

    // MARK: Timeouts

    override func setIdleTimeout(ns: UInt64, of stream: HTTPStream) {
        guard let slot = slot(of: stream) else { return }
        entries[slot].idleTimeoutNs = ns
        if ns > 0, sweepTimer == .none { startSweep() }
    }

    /// Looks at all streams of the connection a few times within the shortest time-out; a timer for each would be armed
    /// and cancelled with every request.
    private func startSweep() {
        var shortestNs = UInt64.max
        for entry in entries where entry.idleTimeoutNs > 0 { shortestNs = min(shortestNs, entry.idleTimeoutNs) }
        guard shortestNs < .max else { return }
        let ns = min(max(shortestNs / 4, 10_000_000), 5_000_000_000)
        sweepTimer = worker.schedule(timers, tag: HTTP2ServerTimers.sweep, afterNs: ns)
    }

    func sweep() {
        sweepTimer = .none
        guard phase != .closing, hasStreams else { return }
        for slot in entries.indices {
            let entry = entries[slot]
            guard entry.isOpen, entry.idleTimeoutNs > 0,
                worker.nowNs - max(entry.lastActiveNs, transport.lastSentNs(slot)) >= entry.idleTimeoutNs
            else { continue }
            if let exchange = entry.stream {
                if exchange.idleTimedOut() { continue }
            } else {
                // Its response is complete, but the client leaves it unread.
                chain(at: slot)?.counters.add(to: HTTPStat.streamIdleTimeouts)
            }
            session.reset(HTTP2Stream(slot: UInt32(slot)), .cancel)
            if let exchange = entries[slot].stream { end(exchange, at: slot, .streamIdleTimeout) }
        }
        connection.requestFlush()
        startSweep()
    }

    /// Where the stream is, as long as the client and we have not ended it.
    private func slot(of stream: HTTPStream) -> Int? {
        let slot = Int(stream.codecSlot)
        return slot < entries.count && entries[slot].isOf(stream) ? slot : nil
    }

    // MARK: From streams: responses

    /// The stream's place on the connection; nil when the client has gone.
    private func place(of stream: HTTPStream) -> HTTP2Stream? {
        guard let slot = slot(of: stream) else { return nil }
        entries[slot].lastActiveNs = worker.nowNs
        return HTTP2Stream(slot: stream.codecSlot)
    }

    override func sendInformational(_ head: inout ResponseHead, of stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        session.sendInformational(place, head)
        connection.requestFlush()
    }

    override func sendHead(_ head: inout ResponseHead, of stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        let hasBody = head.switchesProtocol || self.hasBody(head, of: stream)
        if head.switchesProtocol, stream.request.isExtendedConnect {
            // RFC 8441 §5: the stream is the tunnel, and no key has to be answered.
            head.status = .ok
            head.headers.remove(.secWebsocketAccept)
        }
        entries[Int(place.slot)].sendsBody = hasBody
        session.sendResponse(place, head, hasBody: hasBody)
        connection.requestFlush()
    }

    private func hasBody(_ head: borrowing ResponseHead, of stream: HTTPStream) -> Bool {
        if stream.request.method == .head || head.status.neverHasBody { return false }
        switch head.bodyLength {
        case .none, .exactly(0): return false
        case .exactly, .unknown: return true
        }
    }

    override func sendBody(_ data: consuming Lease, of stream: HTTPStream) {
        guard let place = place(of: stream), entries[Int(place.slot)].sendsBody else {
            return worker.discard(data)
        }
        if transport.queue(data, on: place) { stream.clientBlocked(true) }
        connection.requestFlush()
    }

    override func sendTrailers(_ fields: borrowing HeaderTable, of stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        session.queueTrailers(place, fields)
    }

    /// The exchange is over for us; the session sends what is queued, and stops a request that is not complete
    /// (RFC 9113 §8.1).
    override func sendEnd(of stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        session.endBody(place)
        dropHeld(Int(place.slot))
        connection.requestFlush()
        endExchange(Int(place.slot))
    }

    override func abort(_ stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        let isTimeout = stream.flag == .streamIdleTimeout || stream.flag == .upstreamRequestTimeout
        session.reset(place, isTimeout ? .cancel : HTTP2ErrorCode(stream.route.breakCause))
        transport.drop(place)
        connection.requestFlush()
        endExchange(Int(place.slot))
    }

    // MARK: Tunnels

    override func startTunnel(_ stream: HTTPStream, to upstream: UpstreamConnection) {
        guard let place = place(of: stream) else { return }
        entries[Int(place.slot)].isTunnel = true
        setIdleTimeout(ns: unsafe stream.route.route?.idleTimeoutNs ?? 0, of: stream)
        requestBodyWanted(by: stream)
    }

    override func tunnelEnded(_ stream: HTTPStream) {
        guard let place = place(of: stream) else { return }
        session.endBody(place)
        connection.requestFlush()
    }

    override func tunnelClosed(_ stream: HTTPStream, _ reason: CloseReason) {
        guard let place = place(of: stream) else { return }
        if reason == .finished { session.endBody(place) } else { session.reset(place, .connectError) }
        connection.requestFlush()
        endExchange(Int(place.slot))
    }
}

/// The timers of a connection.
final class HTTP2ServerTimers: TimerTask {
    static let sweep = 0
    static let goAway = 1
    static let idle = 2

    /// Cancels its timers before it goes.
    private unowned(unsafe) let codec: HTTP2ServerCodec

    init(_ codec: HTTP2ServerCodec) {
        unsafe self.codec = codec
        super.init()
    }

    override func onTimer(_ tag: Int, on worker: Worker) {
        switch tag {
        case Self.sweep: unsafe codec.sweep()
        case Self.idle: unsafe codec.idleTimerFired()
        default: unsafe codec.finishDrain()
        }
    }
}
