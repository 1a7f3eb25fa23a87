public import Engine
public import HTTP
public import Upstream

/// One exchange: a request, the filters it passes, its way upstream, and the response.
///
/// Objects are kept by their chain and used again, so that a request allocates none. Between the codec below
/// (`HTTPConnectionManager`) and the upstream connection above everything passes through here, in the same shape
/// for every version: head, body, trailers, end, reset. A call of the manager may end the stream, and the object may
/// then serve the next request already: such a call is the last thing that a method does.
public final class HTTPStream: UpstreamRequest {
    /// The head of the request, as received and as changed by filters since.
    public var request: RequestHead
    /// One word per filter of the chain for this request, at the filter's place in the configuration.
    public var filterState: [UInt64]
    /// Why this proxy answered by itself, or what went wrong.
    public internal(set) var flag = ResponseFlag.none

    unowned(unsafe) let chain: HTTPChain
    unowned(unsafe) var manager: HTTPConnectionManager?
    private let headMemory: HeadMemory
    private var nextFilter = 0
    private var isPaused = false
    /// Requests that this object has served: tells them apart.
    private(set) var use: UInt64 = 0
    private(set) var startedNs: UInt64 = 0
    /// The final response's head was sent.
    var responseStarted = false
    var status = HTTPStatus.ok
    private(set) var isEnded = true
    /// All of the request has arrived.
    var requestEnded = false
    private var requestTimer = TaskTimer.none
    /// For answers of this proxy.
    private var localHead: ResponseHead
    var route = RouterState()
    /// What logs tell of this exchange.
    var info = StreamInfo()
    private(set) var notes: StreamNotes?

    init(chain: HTTPChain) {
        unsafe self.chain = chain
        request = RequestHead(headersMax: chain.settings.limits.headersMax)
        localHead = ResponseHead(headersMax: 16)
        headMemory = HeadMemory()
        filterState = Array(repeating: 0, count: chain.filters.count)
        super.init()
    }

    public var worker: Worker { unsafe chain.worker }
    /// The client's connection; nil when the exchange is over.
    public var connection: Connection? { unsafe manager?.connection }

    // MARK: The life of a stream

    func begin(_ manager: HTTPConnectionManager) {
        unsafe self.manager = manager
        use &+= 1
        request.reset()
        flag = .none
        nextFilter = 0
        isPaused = false
        responseStarted = false
        isEnded = false
        requestEnded = false
        startedNs = worker.nowNs
        info = StreamInfo()
        notes?.removeAll()
        if let logs = unsafe chain.accessLogs, logs.needsAddresses { askForAddresses() }
        for index in filterState.indices { filterState[index] = 0 }
        unsafe chain.counters.add(to: HTTPStat.requestsActive)
    }

    /// Keeps the bytes of the request's head. Copied out of the receive buffer, which is shared by all connections,
    /// because the head is needed as long as the request lasts: for retries, the route and the log.
    func keepHead(_ bytes: ByteSlice) {
        request.moveSource(to: headMemory.copy(bytes))
        info.hasHead = true
    }

    /// The time for the request runs out unless `requestArrived` comes before.
    func startRequestTimer(afterNs ns: UInt64) {
        guard requestTimer == .none, ns > 0 else { return }
        requestTimer = worker.schedule(self, tag: StreamTimer.request.rawValue, afterNs: ns)
    }

    /// The head is complete. A body may take as long as it keeps coming: uploads are long, and a client that
    /// stops in the middle of one meets the stream's idle timeout.
    func headArrived() {
        worker.cancel(requestTimer)
        requestTimer = .none
    }

    /// The request is complete, body and all.
    func requestArrived() {
        requestEnded = true
        info.requestEndedNs = worker.nowNs
        headArrived()
        unsafe chain.router.requestArrived(self)
    }

    /// Ends the exchange: nothing of it is called any more.
    func end() {
        guard !isEnded else { return }
        isEnded = true
        worker.cancel(requestTimer)
        requestTimer = .none
        unsafe chain.router.abandon(self)
        for index in 0..<nextFilter { unsafe chain.filters[index].onStreamEnd(self) }
        unsafe chain.counters.subtract(from: HTTPStat.requestsActive)
        if responseStarted {
            unsafe chain.counters.add(to: HTTPStat.responses(status))
            unsafe chain.counters.record(worker.nowNs - startedNs, in: HTTPStat.requestTime)
        }
        if !responseStarted, flag == .none { flag = .downstreamConnectionTermination }
        if route.isTunnel { info.tunnelEnds(on: connection) }
        unsafe chain.accessLogs?.write(self)
        route.clear()
        unsafe manager = nil
        unsafe chain.giveBack(self)
    }

    // MARK: Filters

    /// Passes the request on after a filter has paused it.
    public func resume() {
        guard isPaused, !isEnded else { return }
        isPaused = false
        runFilters()
    }

    /// Runs the request through the filters that it has not passed, and then to the router.
    func runFilters() {
        let use = use
        while nextFilter < (unsafe chain.filters.count) {
            let filter = unsafe chain.filters[nextFilter]
            nextFilter += 1
            switch filter.onRequestHeaders(self) {
            case .proceed: break
            case .pause:
                if self.use == use, !isEnded, !responseStarted { isPaused = true }
                return
            case .respond(let response, let flag):
                respond(response, flag: flag)
                return
            }
            if isEnded || self.use != use || responseStarted { return }
        }
        unsafe chain.router.route(self)
    }

    // MARK: Responses

    /// Answers from this proxy. Once a response has begun the connection is reset instead.
    public func respond(_ response: LocalResponse, flag: ResponseFlag = .none) {
        respond(response.status, flag: flag, body: response.body) { headers in
            for field in response.headers {
                guard let key = HeaderKey(field.name) else { continue }
                ByteSlice.withBytes(of: field.value) { _ = headers.add(key, $0) }
            }
        }
    }

    /// An answer that says no more than its status.
    func respond(_ status: HTTPStatus, flag: ResponseFlag, text: StaticString) {
        // Captures nothing: Swift 6.3's optimiser crashes where a closure captures a constant slice.
        respond(status, flag: flag, bytes: ByteSlice(text)) {
            $0.add(.contentType, ByteSlice("text/plain; charset=utf-8"))
        }
    }

    private func respond(
        _ status: HTTPStatus, flag: ResponseFlag, body: [UInt8], _ addHeaders: (inout HeaderTable) -> Void
    ) {
        ByteSlice.withBytes(of: body) { respond(status, flag: flag, bytes: $0, addHeaders) }
    }

    func respond(
        _ status: HTTPStatus, flag: ResponseFlag, bytes: ByteSlice, _ addHeaders: (inout HeaderTable) -> Void
    ) {
        guard !isEnded, let manager = unsafe manager else { return }
        self.flag = flag
        info.isLocal = true
        isPaused = false
        unsafe chain.router.abandon(self)
        guard !responseStarted else {
            manager.abortResponse()
            return
        }
        localHead.reset()
        localHead.status = status
        localHead.setBodyLength(.exactly(UInt64(bytes.count)))
        addHeaders(&localHead.headers)
        if flag != .none, !(unsafe chain.settings.useRemoteAddress) {
            localHead.headers.set(.xRingwayReason, ByteSlice(flag.label))
        }
        sendResponseHead(&localHead)
        if bytes.count > 0, request.method != .head, !status.neverHasBody {
            info.bytesSent &+= UInt64(bytes.count)
            manager.responseBody(bytes.withSpan { worker.copy($0) })
        }
        manager.responseEnd(trailers: nil)
    }

    /// The final head passes the route's edits and the filters, and is sent.
    func sendResponseHead(_ head: inout ResponseHead) {
        guard let manager = unsafe manager else { return }
        status = head.status
        responseStarted = true
        if let edits = route.route?.responseHeaders, !edits.isEmpty { _ = edits.apply(to: &head.headers) }
        var index = nextFilter
        while index > 0 {
            index -= 1
            unsafe chain.filters[index].onResponseHeaders(self, &head)
        }
        manager.sendResponseHead(&head)
        unsafe chain.accessLogs?.responseHead(self, head.headers)
    }

    // MARK: From upstream

    public override func onStarted(_ upstream: UpstreamConnection) { unsafe chain.router.started(self, upstream) }
    public override func onReady(_ upstream: UpstreamConnection) { unsafe chain.router.ready(self, upstream) }
    public override func onResponseHead(_ head: inout ResponseHead) {
        info.upstreamHeadNs = worker.nowNs
        unsafe chain.router.responseHead(self, &head)
    }
    public override func onResponseBody(_ data: consuming Lease) {
        guard let manager = unsafe manager else { return worker.discard(data) }
        info.bytesSent &+= UInt64(data.count)
        manager.responseBody(data)
    }
    public override func onResponseTrailers(_ fields: borrowing HeaderTable) {
        unsafe chain.accessLogs?.responseTrailers(self, fields)
        unsafe manager?.responseTrailers(fields)
    }
    public override func onResponseEnd() { unsafe chain.router.responseEnd(self) }
    public override func onReset(_ reason: UpstreamReset) { unsafe chain.router.reset(self, reason) }
    public override func onUpstreamBlocked(_ isBlocked: Bool) { unsafe manager?.upstreamBlocked(isBlocked) }

    public override func onTimer(_ tag: Int, on worker: Worker) {
        guard !isEnded, let timer = StreamTimer(rawValue: tag) else { return }
        if timer == .request {
            requestTimer = .none
            unsafe manager?.requestTimedOut()
        } else {
            unsafe chain.router.timerFired(self, timer)
        }
    }
}

extension HTTPStream {
    /// Leaves a word for access logs, where `%DYNAMIC_METADATA(NAMESPACE:KEY)%` finds it; for filters. It replaces an
    /// earlier one of the same name. All notes of an exchange have 4 KiB and 32 entries together: what goes beyond is
    /// cut or left out.
    ///
    /// - Parameter name: `namespace:key`, where the namespace is the filter's name
    public func setMetadata(_ name: StaticString, _ value: ByteSlice) {
        takeNotes().set(.metadata, ByteSlice(name), value)
    }

    /// Makes the addresses of the client's connection known to operators.
    func askForAddresses() { _ = unsafe manager?.askedAddresses }

    /// Made with the first note, and kept.
    func takeNotes() -> StreamNotes {
        if let notes { return notes }
        let made = StreamNotes()
        notes = made
        return made
    }
}

/// The timers of a stream.
enum StreamTimer: Int {
    /// The request has not arrived in time.
    case request
    /// The response has not.
    case route
    /// The endpoint that was tried has not begun to answer.
    case tried
    /// It is time for the next try.
    case backOff
}

/// Memory of one head, kept from one request to the next.
@safe
final class HeadMemory {
    private var start: UnsafeMutableRawPointer
    private var capacity = 1024
    /// More is given back when a smaller head follows.
    private static let keptMax = 16_384

    init() { unsafe start = .allocate(byteCount: 1024, alignment: 1) }

    deinit { unsafe start.deallocate() }

    /// A copy of `bytes`, good until the next one.
    func copy(_ bytes: ByteSlice) -> ByteSlice {
        if bytes.count > capacity || capacity > Self.keptMax {
            unsafe start.deallocate()
            capacity = max(bytes.count, 1024)
            unsafe start = .allocate(byteCount: capacity, alignment: 1)
        }
        bytes.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe start.copyMemory(from: base, byteCount: source.count)
            }
        }
        return unsafe ByteSlice(start: start, count: bytes.count)  // copied just now
    }
}
