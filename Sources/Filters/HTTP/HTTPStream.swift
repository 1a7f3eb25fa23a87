public import Engine
public import HTTP
public import Upstream

/// One exchange: a request, the filters it passes, its way upstream, and the response.
///
/// Objects are kept by their chain and used again, so that a request allocates none. Between the codec below
/// (`ServerCodec`) and the upstream connection above everything passes through here, in the same shape for every
/// version of HTTP: head, body, trailers, end, reset (`HTTPStream+Request`, `+Response`, `+Bodies`). A call of the codec
/// may end the stream, and the object may then serve the next request already: such a call is the last thing that a
/// method does.
public final class HTTPStream: UpstreamRequest {
    /// What changes with every request. It lies at an address of its own: class properties cost a check an access.
    @safe
    struct State {
        /// There until the stream ends. See `withCodec`.
        fileprivate var codec: Unmanaged<ServerCodec>?
        unowned(unsafe) var filters: HTTPFilterSet
        var requestFlow = BodyFlow()
        var responseFlow = BodyFlow()
        /// Filters whose request hook has seen the head.
        var filtersPassed = 0
        /// Requests that this object has served: tells them apart.
        var use: UInt64 = 0
        var startedNs: UInt64 = 0
        var flag = ResponseFlag.none
        var status = HTTPStatus.ok
        var isEnded = true
        /// All of the request has arrived.
        var requestEnded = false
        /// A final response was chosen: the endpoint's, or one of our own.
        var hasResponse = false
        /// It is one of our own.
        var isLocalResponse = false
        /// Its head was sent.
        var responseStarted = false
        /// The client does not take the response as fast as it comes.
        var isClientBlocked = false
        /// The endpoint's response is not read.
        var isUpstreamPaused = false
        /// The endpoint does not take the request's body as fast as it comes.
        var isRequestBlocked = false
        /// For the head of the request, then for its body.
        var requestTimer = TaskTimer.none
        var bodyClock = RequestBodyClock()
        /// The memory of this object is cut to what a tunnel needs.
        var isShrunk = false
        /// What logs tell of this exchange.
        var info = StreamInfo()

        init(filters: HTTPFilterSet) { unsafe self.filters = filters }
    }

    /// Keeps this stream, and is there as long as a request is in progress.
    unowned(unsafe) let chain: HTTPChain
    // Of the chain, at hand: what is reached through an uncounted reference is counted for each use.
    let router: RouterFilter
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
    private let requestHead: Stable<RequestHead>
    private let routing: Stable<RouterState>
    private let headMemory = HeadMemory()
    /// For answers of this proxy, and for a response that waits at a filter.
    let ownHead: Stable<ResponseHead>
    private var filterWords: [UInt64]
    /// The timers of filters; empty until one is started.
    private var filterTimers: [TaskTimer] = []
    /// Kept from one request to the next; nil until the first note is taken.
    private var ownNotes: StreamNotes?

    /// What filters have asked services about exchanges, one each, kept for the next exchange; empty until one is asked.
    private var subrequests: [HTTPSubrequest?] = []

    /// The codec's own number for this stream on its connection.
    var codecSlot: UInt32 = 0

    init(chain: HTTPChain) {
        unsafe self.chain = chain
        router = chain.router
        settings = chain.settings
        counters = chain.counters
        accessLogs = chain.accessLogs
        hasRouteFilters = chain.hasRouteFilters
        recorder = chain.recorder
        tracing = chain.tracing
        trace = chain.tracing == nil ? nil : Stable(TraceState())
        worker = chain.worker
        hot = Stable(State(filters: chain.filters))
        requestHead = Stable(RequestHead(headersMax: chain.settings.limits.headersMax))
        routing = Stable(RouterState())
        ownHead = Stable(ResponseHead(headersMax: 16))
        filterWords = Array(repeating: 0, count: chain.filters.count)
        super.init()
    }

    deinit {
        hot.destroy()
        requestHead.destroy()
        routing.destroy()
        trace?.destroy()
        ownHead.destroy()
    }

    // MARK: For filters

    /// The head of the request, as received and as changed by filters since.
    public var request: RequestHead {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(requestHead.address) }
        @inline(__always) unsafeMutableAddress { unsafe requestHead.address }
    }

    /// Why this proxy answered by itself, or what went wrong.
    public internal(set) var flag: ResponseFlag {
        get { hot.value.flag }
        set { hot.value.flag = newValue }
    }

    /// All of the request has arrived, body and all.
    public var requestEnded: Bool { hot.value.requestEnded }

    /// The response is one of this proxy: it did not come from an endpoint.
    public var isLocalResponse: Bool { hot.value.isLocalResponse }

    /// The client's connection; nil when the exchange is over.
    public var connection: Connection? { codec?.connection }

    /// One word per filter of the chain for this request, at the filter's place in the configuration.
    public var filterState: FilterWords {
        get { FilterWords(stream: self) }
        set {}
    }

    public struct FilterWords {
        fileprivate let stream: HTTPStream

        public subscript(index: Int) -> UInt64 {
            get { stream.filterWords[index] }
            nonmutating set { stream.filterWords[index] = newValue }
        }
    }

    /// Names this exchange beyond its end.
    public struct Ticket {
        private let stream: HTTPStream
        private let use: UInt64

        fileprivate init(_ stream: HTTPStream) {
            self.stream = stream
            use = stream.hot.value.use
        }

        /// The exchange, unless it is over.
        public var current: HTTPStream? { stream.isCurrent(use) ? stream : nil }
    }

    public var ticket: Ticket { Ticket(self) }

    /// Names this exchange to another thread, which is how an answer comes back from there.
    public struct RemoteTicket: @unchecked Sendable {
        // The stream in it is looked at on its worker only.
        private let ticket: Ticket
        private let mailbox: Mailbox

        fileprivate init(_ ticket: Ticket, _ mailbox: Mailbox) {
            self.ticket = ticket
            self.mailbox = mailbox
        }

        /// Runs `body` on the exchange's worker, unless the exchange is over by then. Nothing bounds how many wait
        /// there: send one for each thing that was asked.
        public func send(_ body: @escaping @Sendable (HTTPStream) -> Void) {
            mailbox.send { [self] _ in
                if let stream = ticket.current { body(stream) }
            }
        }
    }

    public var remoteTicket: RemoteTicket {
        guard let mailbox = worker.mailbox else { preconditionFailure("a worker has a mailbox") }
        return RemoteTicket(ticket, mailbox)
    }

    /// Calls `filter.onTimer` in `ns` nanoseconds, unless the exchange is over by then. A filter has one timer in a
    /// stream; starting it again sets it anew.
    public func startTimer(for filter: HTTPFilter, afterNs ns: UInt64) {
        if filterTimers.isEmpty { filterTimers = Array(repeating: .none, count: filterWords.count) }
        worker.cancel(filterTimers[filter.index])
        let tag = StreamTimer.filter.rawValue + filter.index
        filterTimers[filter.index] = worker.schedule(self, tag: tag, afterNs: ns)
    }

    public func cancelTimer(for filter: HTTPFilter) {
        guard !filterTimers.isEmpty else { return }
        worker.cancel(filterTimers[filter.index])
        filterTimers[filter.index] = .none
    }

    /// A request of a filter's own about this exchange, empty. A filter has one in a stream: asking for it anew gives
    /// up the one that is under way.
    public func subrequest(for filter: HTTPFilter) -> HTTPSubrequest {
        if subrequests.isEmpty { subrequests = Array(repeating: nil, count: filterWords.count) }
        let subrequest = subrequests[filter.index] ?? HTTPSubrequest(stream: self, filterIndex: filter.index)
        subrequests[filter.index] = subrequest
        subrequest.reset()
        return subrequest
    }

    func subrequestEnded(_ subrequest: HTTPSubrequest, _ index: Int, _ outcome: HTTPSubrequest.Outcome) {
        guard !hot.value.isEnded else { return }
        unsafe hot.value.filters[index].onSubrequestEnd(self, subrequest, outcome)
    }

    @inline(__always)
    func cancelSubrequests() {
        if subrequests.isEmpty { return }
        for subrequest in subrequests { subrequest?.cancel() }
    }

    /// Exchanges a piece of a body for a copy of `bytes`.
    public func replace(_ data: inout Lease, with bytes: RawSpan) {
        var old = worker.copy(bytes)
        swap(&old, &data)
        worker.discard(old)
    }

    /// Leaves a word for access logs, where `%DYNAMIC_METADATA(NAMESPACE:KEY)%` finds it. It replaces an earlier one of
    /// the same name. All notes of an exchange have 4 KiB and 32 entries together: what goes beyond is cut or left out.
    ///
    /// - Parameter name: `namespace:key`, where the namespace is the filter's name
    public func setMetadata(_ name: StaticString, _ value: ByteSlice) {
        takeNotes().set(.metadata, .other(ByteSlice(name)), value)
    }

    // MARK: Notes for logs

    /// Those of this exchange; nil when there are none.
    var notes: StreamNotes? { hot.value.info.hasNotes ? ownNotes : nil }

    func takeNotes() -> StreamNotes {
        let notes = ownNotes ?? StreamNotes()
        if ownNotes == nil { ownNotes = notes }
        if !hot.value.info.hasNotes { notes.removeAll() }
        hot.value.info.hasNotes = true
        return notes
    }

    /// Makes the addresses of the client's connection known to operators.
    func askForAddresses() { withCodec { unsafe $0.manager.askForAddresses() } }

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

    /// Runs `body` where exchanges are traced.
    @inline(__always)
    func trace(_ body: (HTTPTracing, Stable<TraceState>) -> Void) {
        if let tracing, let trace { body(tracing, trace) }
    }

    func begin(_ codec: ServerCodec) {
        let use = hot.value.use &+ 1
        hot.value = unsafe State(filters: chain.filters)
        unsafe hot.value.codec = Unmanaged.passUnretained(codec)
        hot.value.use = use
        hot.value.isEnded = false
        hot.value.startedNs = worker.nowNs
        requestHead.value.reset()
        trace?.value.reset()
        for index in filterWords.indices { filterWords[index] = 0 }
        if let logs = accessLogs, logs.needsAddresses { askForAddresses() }
        counters.add(to: HTTPStat.requestsActive)
    }

    /// Keeps the bytes of the request's head. Copied out of the receive buffer, which is shared by all connections,
    /// because the head is needed as long as the request lasts: for retries, the route and the log.
    func keepHead(_ bytes: ByteSlice) {
        requestHead.value.moveSource(to: headMemory.copy(bytes))
        hot.value.info.hasHead = true
    }

    /// Gives back most of the memory of the request: a tunnel may last for days, and all that is looked at in the end
    /// is in logs. The object serves no other request then.
    func shrink() {
        guard !hot.value.isShrunk else { return }
        let count = requestHead.value.headers.indices.count
        var small = RequestHead(headersMax: max(count, 1))
        guard requestHead.value.copy(to: &small) else { return }
        requestHead.value = small
        headMemory.shrink()
        hot.value.isShrunk = true
    }

    /// The time for the request runs out unless `headArrived` comes before.
    func startRequestTimer(afterNs ns: UInt64) {
        guard hot.value.requestTimer == .none, ns > 0 else { return }
        hot.value.requestTimer = worker.schedule(self, tag: StreamTimer.request.rawValue, afterNs: ns)
    }

    /// How long the client may take for the body is measured from here on, unless all of it is at hand.
    func startBodyClock() {
        let limit = settings.requestBodyLimit
        // Calls of gRPC may stream for hours with little to say: they have deadlines of their own. So do tunnels.
        guard limit.timeoutNs > 0, request.method != .connect, !request.isExtendedConnect, !GRPC.isRequest(request),
            let codec, !codec.hasWholeBody(of: self)
        else { return }
        hot.value.bodyClock.start(limit)
    }

    /// Whether we wait for more of the body may have changed.
    @inline(__always)
    func updateBodyClock() {
        if hot.value.bodyClock.isOn { setBodyClock() }
    }

    private func setBodyClock() {
        let isWaiting = wantsRequestBody && !hot.value.isRequestBlocked
        hot.value.bodyClock.setWaiting(isWaiting, nowNs: worker.nowNs)
        guard isWaiting, hot.value.requestTimer == .none else { return }
        // Bytes that come put the end off: the timer looks for that when it fires.
        let leftNs = hot.value.bodyClock.leftNs(atNs: worker.nowNs)
        hot.value.requestTimer = worker.schedule(self, tag: StreamTimer.requestBody.rawValue, afterNs: leftNs)
    }

    func stopBodyClock() {
        guard hot.value.bodyClock.isOn else { return }
        hot.value.bodyClock.stop()
        cancelRequestTimer()
    }

    private func bodyTimerFired() {
        withCodec { $0.accountForTransfer(of: self) }
        if hot.value.bodyClock.leftNs(atNs: worker.nowNs) > 0 { return updateBodyClock() }
        counters.add(to: HTTPStat.requestBodyTimeouts)
        hot.value.info.details = "request_body_timeout"
        withCodec { $0.requestTimedOut(self) }
        respond(.requestTimeout, flag: .durationTimeout, text: "the request's body comes too slowly\n")
    }

    func cancelRequestTimer() {
        guard hot.value.requestTimer != .none else { return }
        worker.cancel(hot.value.requestTimer)
        hot.value.requestTimer = .none
    }

    /// Ends the exchange: nothing of it is called any more.
    func end() {
        guard !hot.value.isEnded else { return }
        hot.value.isEnded = true
        hot.value.bodyClock.stop()
        cancelRequestTimer()
        for index in filterTimers.indices { worker.cancel(filterTimers[index]) }
        filterTimers.removeAll(keepingCapacity: true)
        cancelSubrequests()
        router.abandon(self)
        for index in 0..<hot.value.filtersPassed { unsafe hot.value.filters[index].onStreamEnd(self) }
        counters.subtract(from: HTTPStat.requestsActive)
        if hot.value.responseStarted {
            counters.add(to: HTTPStat.responses(hot.value.status))
            counters.record(worker.nowNs - hot.value.startedNs, in: HTTPStat.requestTime)
        }
        trace { $0.finish(self, $1) }
        if accessLogs != nil || recorder != nil, !hot.value.info.isNothing { report() }
        endCount()
        routing.value.clear()
        unsafe hot.value.codec = nil
        if !hot.value.isShrunk { unsafe chain.giveBack(self) }
    }

    /// Tells logs and the recorder of the exchange, which is over.
    private func report() {
        if !hot.value.responseStarted, hot.value.flag == .none { hot.value.flag = .downstreamConnectionTermination }
        if hot.value.flag == .downstreamConnectionTermination { counters.add(to: HTTPStat.requestsReset) }
        // A tunnel of HTTP/2 is one stream of many, and its bytes were counted as they passed.
        if routing.value.isTunnel, request.version != .http2 { hot.value.info.tunnelEnds(on: connection) }
        if let logs = accessLogs { logs.write(self) }
        if let recorder { record(in: recorder) }
    }

    /// Nothing came for too long: the client is told if it can still be. False when it cannot.
    func idleTimedOut() -> Bool {
        flag = .streamIdleTimeout
        counters.add(to: HTTPStat.streamIdleTimeouts)
        guard !hot.value.responseStarted, !routing.value.isTunnel else { return false }
        respond(
            hot.value.requestEnded ? .gatewayTimeout : .requestTimeout, flag: .streamIdleTimeout,
            text: "nothing came for too long\n")
        return true
    }

    /// The time of the route is over.
    func deadlinePassed() {
        guard !hot.value.isEnded, routing.value.hasDeadline else { return }
        worker.charge(routing.value.routeCell)
        router.timerFired(self, .route)
    }

    public override func onTimer(_ tag: Int, on worker: Worker) {
        guard !hot.value.isEnded else { return }
        worker.charge(routing.value.routeCell)
        guard tag < StreamTimer.filter.rawValue else {
            let index = tag - StreamTimer.filter.rawValue
            filterTimers[index] = .none
            unsafe hot.value.filters[index].onTimer(self)
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
        if let tracing, let trace { tracing.responseTrailers(self, trace, fields) }
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

/// The timers of a stream.
enum StreamTimer: Int {
    /// The head of the request has not arrived in time.
    case request
    /// Its body may be coming too slowly.
    case requestBody
    /// The response has not.
    case route
    /// The endpoint that was tried has not begun to answer.
    case tried
    /// It is time for the next try.
    case backOff
    /// The first of the filters' own, one each.
    case filter
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

    /// Nothing is in it any more, and nothing will be.
    func shrink() {
        unsafe start.deallocate()
        capacity = 1
        unsafe start = .allocate(byteCount: capacity, alignment: 1)
    }

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
