public import Engine
public import HTTP
public import Upstream

/// One exchange: a request, the filters it passes, its way upstream, and the response.
///
/// Objects are kept by their chain and used again, so that a request allocates none. Between the codec below
/// (`ServerCodec`) and the upstream connection above everything passes through here, in the same shape for every
/// version of HTTP: head, body, trailers, end, reset (`HTTPStream+Request`, `+Response`, `+Bodies`); what filters can ask
/// for is in `+Filters`. A call of the codec may end the stream, and the object may then serve the next request already:
/// such a call is the last thing that a method does.
public final class HTTPStream: UpstreamRequest {
    /// Keeps this stream, and is there as long as a request is in progress.
    unowned(unsafe) let chain: HTTPChain
    // Of the chain, at hand: what is reached through an uncounted reference is counted for each use.
    private let filters: HTTPFilterList
    let router: RouterFilter
    let requestIDs: RequestIDSource
    let date: ResponseDate
    let settings: HTTPChainSettings
    let counters: StatsScope
    let accessLogs: HTTPAccessLogs?
    let hasRouteFilters: Bool
    private let recorder: FlightRecorder?
    let tracing: HTTPTracing?
    /// nil without tracing.
    let trace: Stable<TraceState>?
    public let worker: Worker
    let hot: Stable<State>
    let requestHead: Stable<RequestHead>
    private let routing: Stable<RouterState>
    private let headMemory = HeadMemory()
    /// For answers of this proxy, and for a response that waits at a filter.
    let ownHead: Stable<ResponseHead>
    var filterWords: [UInt64]
    /// The timers of filters; empty until one is started.
    var filterTimers: [TaskTimer] = []
    /// Kept from one request to the next; nil until the first note is taken.
    var ownNotes: StreamNotes?
    /// What filters have asked services about exchanges, one each, kept for the next exchange; empty until one is asked.
    var subrequests: [HTTPSubrequest?] = []

    /// The codec's own number for this stream on its connection.
    var codecSlot: UInt32 = 0

    init(chain: HTTPChain) {
        unsafe self.chain = chain
        filters = chain.filters.list
        requestIDs = chain.requestIDs
        date = chain.date
        router = chain.router
        settings = chain.settings
        counters = chain.counters
        accessLogs = chain.accessLogs
        hasRouteFilters = chain.hasRouteFilters
        recorder = chain.recorder
        tracing = chain.tracing
        trace = chain.tracing == nil ? nil : Stable(TraceState())
        worker = chain.worker
        hot = Stable(State(filters: chain.filters.list))
        requestHead = Stable(RequestHead(headersMax: chain.settings.limits.headersMax))
        routing = Stable(RouterState())
        ownHead = Stable(ResponseHead(headersMax: 16))
        filterWords = Array(repeating: 0, count: chain.filters.list.count)
        super.init()
    }

    deinit {
        hot.destroy()
        requestHead.destroy()
        routing.destroy()
        trace?.destroy()
        ownHead.destroy()
    }

    // MARK: The life of a stream

    var route: RouterState {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(routing.address) }
        @inline(__always) unsafeMutableAddress { unsafe routing.address }
    }

    var isEnded: Bool { hot.value.isEnded }
    var responseStarted: Bool { hot.value.responseStarted }

    @inline(__always)
    func isCurrent(_ use: UInt64) -> Bool { hot.value.use == use && !hot.value.isEnded }

    /// The codec of the client's connection; nil when the exchange is over.
    var codec: ServerCodec? { unsafe hot.value.codec?.takeUnretainedValue() }

    /// Runs `body` on the codec without touching its reference count.
    @inline(__always)
    func withCodec(_ body: (ServerCodec) -> Void) {
        guard let codec = unsafe hot.value.codec else { return }
        unsafe codec._withUnsafeGuaranteedRef(body)
    }

    /// A piece of the response's body, on its way to the client.
    @inline(__always)
    func sendBody(_ data: consuming Lease) {
        guard unsafe hot.value.codec != nil else { return worker.discard(data) }
        hot.value.info.bytesSent &+= UInt64(data.count)
        // An optional, because a closure cannot consume what it captures.
        var moved: Lease? = consume data
        withCodec { $0.sendBody(moved.take()!, of: self) }
        if let left = moved.take() { worker.discard(left) }
    }

    /// Runs `body` where exchanges are traced.
    @inline(__always)
    func trace(_ body: (HTTPTracing, Stable<TraceState>) -> Void) {
        if let tracing, let trace { body(tracing, trace) }
    }

    func begin(_ codec: ServerCodec) {
        let use = hot.value.use &+ 1
        hot.value = State(filters: filters)
        unsafe hot.value.codec = Unmanaged.passUnretained(codec)
        hot.value.use = use
        hot.value.isEnded = false
        hot.value.startedNs = worker.nowNs
        costCell = 0
        requestHead.value.reset()
        trace?.value.reset()
        if filters.count > 0 { for index in filterWords.indices { filterWords[index] = 0 } }
        if let logs = accessLogs, logs.needsAddresses { askForAddresses() }
        counters.add(to: HTTPStat.requestsActive)
    }

    /// Keeps the bytes of the request's head. Copied out of the receive buffer, which is shared by all connections,
    /// because the head is needed as long as the request lasts: for retries, the route and the log.
    func keepHead(_ bytes: ByteSlice) {
        requestHead.value.moveSource(to: headMemory.copy(bytes))
        hot.value.info.hasHead = true
        counters.add(to: HTTPStat.requestsStarted)
    }

    /// Gives back most of the memory of the request: a tunnel may last for days, and all that is looked at in the end
    /// is in logs. The object serves no other request then.
    func shrink() {
        guard !hot.value.isShrunk else { return }
        let count = requestHead.value.headers.indices.count
        var small = RequestHead(headersMax: max(count, 1))
        guard requestHead.value.copy(to: &small) else { return }
        let texts = headMemory.shrink(keeping: trace?.value.decoratedName ?? .empty, trace?.value.skyWalking ?? .empty)
        if let trace { (trace.value.decoratedName, trace.value.skyWalking) = texts }
        requestHead.value = small
        hot.value.isShrunk = true
    }

    /// Ends the exchange: nothing of it is called any more.
    func end() {
        guard !hot.value.isEnded else { return }
        hot.value.isEnded = true
        hot.value.bodyClock.stop()
        cancelRequestTimer()
        if !filterTimers.isEmpty { cancelFilterTimers() }
        cancelSubrequests()
        router.abandon(self)
        for index in 0..<hot.value.filtersPassed { hot.value.filters[index].onStreamEnd(self) }
        counters.subtract(from: HTTPStat.requestsActive)
        if hot.value.responseStarted {
            counters.add(to: HTTPStat.responses(hot.value.status))
            counters.record(worker.nowNs - hot.value.startedNs, in: HTTPStat.requestTime)
        }
        trace { $0.finish(self, $1) }
        if !hot.value.info.isNothing { report() }
        endCount()
        routing.value.clear()
        unsafe hot.value.codec = nil
        if !hot.value.isShrunk { unsafe chain.giveBack(self) }
    }

    /// Counts what became of the exchange, which is over, and tells logs and the recorder of it.
    private func report() {
        if !hot.value.info.hasHead { counters.add(to: HTTPStat.requestsStarted) }
        if !hot.value.responseStarted, hot.value.flag == .none { hot.value.flag = .downstreamConnectionTermination }
        if hot.value.flag == .downstreamConnectionTermination { counters.add(to: HTTPStat.requestsReset) }
        // A tunnel of HTTP/2 is one stream of many, and its bytes were counted as they passed.
        if routing.value.isTunnel, request.version != .http2 { hot.value.info.tunnelEnds(on: connection) }
        if let logs = accessLogs { logs.write(self) }
        if let recorder { record(in: recorder) }
    }

    public override func onTimer(_ tag: Int, on worker: Worker) {
        guard !hot.value.isEnded else { return }
        worker.charge(routing.value.routeCell)
        guard tag < StreamTimer.filter.rawValue else {
            let index = tag - StreamTimer.filter.rawValue
            filterTimers[index] = .none
            hot.value.filters[index].onTimer(self)
            return
        }
        guard let timer = StreamTimer(rawValue: tag) else { return }
        switch timer {
        case .request:
            hot.value.requestTimer = .none
            counters.add(to: HTTPStat.requestHeadTimeouts)
            hot.value.info.details = "request_header_timeout"
            withCodec { $0.requestTimedOut(self) }
            respond(.requestTimeout, flag: .none, text: "the request did not come in time\n")
        case .requestBody:
            hot.value.requestTimer = .none
            bodyTimerFired()
        case .route, .tried, .backOff, .filter: router.timerFired(self, timer)
        }
    }

    // MARK: From upstream

    public override func onStarted(_ upstream: UpstreamConnection) { router.started(self, upstream) }
    public override var offersUpgrade: Bool { routing.value.offersTunnel && request.method != .connect }
    public override func onReady(_ upstream: UpstreamConnection) {
        worker.charge(routing.value.routeCell)
        router.ready(self, upstream)
    }
    public override func onResponseHead(_ head: inout ResponseHead) {
        worker.charge(routing.value.routeCell)
        hot.value.info.upstreamHeadNs = worker.nowNs
        router.responseHead(self, &head)
    }
    public override func onResponseBody(_ data: consuming Lease) {
        worker.charge(routing.value.routeCell)
        responseBody(data)
    }
    public override func onResponseTrailers(_ fields: inout HeaderTable) {
        router.responseTrailers(self, fields)
        tracing?.responseTrailers(self, fields)
        pass(&fields, .response, from: 0)
    }
    public override func onResponseEnd() { router.responseEnd(self) }
    public override func onReset(_ reason: UpstreamReset) { router.reset(self, reason) }
    public override func responseDestination(of count: UInt64) -> Connection? { responseBodyDestination(count) }
    public override func transferResponseBody(_ count: UInt64) -> Bool {
        guard responseBodyDestination(count) != nil else { return false }
        withCodec { $0.transferBody(count, of: self) }
        return true
    }
    public override func responseBodyTransferred(_ count: UInt64) { hot.value.info.bytesSent &+= count }
    public override func onUpstreamBlocked(_ isBlocked: Bool) {
        hot.value.isRequestBlocked = isBlocked
        updateBodyClock()
        withCodec { $0.blockRequestBody(isBlocked, of: self) }
    }
}
