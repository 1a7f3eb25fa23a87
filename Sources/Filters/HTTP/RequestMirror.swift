internal import Engine
internal import HTTP
internal import Upstream

/// A copy of a request for another cluster, whose answer nobody gets.
///
/// The exchange that it copies is never held up: what the other cluster does not take at once waits here, up to a
/// bound, and beyond it the copy is given up. The copy goes on by itself once it has all of the request.
///
/// Objects are kept by their store and used again. One is free when neither its exchange nor a connection has it.
final class RequestMirror: UpstreamRequest {
    /// The next copy of the same request.
    unowned(unsafe) var next: RequestMirror?

    private let worker: Worker
    private weak var store: RequestMirrorStore?
    private var head: RequestHead
    private var pool: HTTPConnectionPool?
    private var upstream: UpstreamConnection?
    /// What has not been handed to the connection.
    private var waiting: [UInt8] = []
    private var trailers: HeaderTable?
    /// The exchange that is copied may still call.
    private var isAttached = false
    /// A connection or a pool may still call.
    private var isActive = false
    /// Itself, as long as either may: nobody else counts it.
    private var hold: RequestMirror?
    private var isPending = false
    private var isReady = false
    private var isBlocked = false
    /// All of the request has been copied.
    private var isComplete = false
    private var endIsSent = false
    private var startedNs: UInt64 = 0
    private var timeoutNs: UInt64 = 0
    private var timer = TaskTimer.none

    /// Of one copy, besides what its connection has queued.
    private static let waitingBytesMax = 1 << 20
    /// More is given back when a copy ends.
    private static let waitingBytesKept = 64 << 10
    private static let pieceBytes = 64 << 10

    init(store: RequestMirrorStore, worker: Worker, headersMax: Int) {
        self.store = store
        self.worker = worker
        head = RequestHead(headersMax: headersMax)
        super.init()
    }

    // MARK: From the exchange

    /// - Parameters:
    ///   - timeoutNs: from the end of the request to the end of the answer
    ///   - isComplete: neither body nor trailers follow
    /// - Returns: whether the exchange is to hand on what follows, and to say `detach` then.
    func start(_ original: borrowing RequestHead, to pool: HTTPConnectionPool, timeoutNs: UInt64, isComplete: Bool)
        -> Bool
    {
        guard original.copy(to: &head) else {
            pool.cluster.counters.add(to: ClusterStat.mirrorsRefused)
            store?.giveBack(self)
            return false
        }
        markHost()
        self.pool = pool
        self.timeoutNs = timeoutNs
        self.isComplete = isComplete
        hold = self
        isActive = true
        isAttached = !isComplete
        isPending = false
        isReady = false
        isBlocked = false
        endIsSent = false
        startedNs = worker.nowNs
        if isComplete { startTimer() }
        switch pool.start(self, excluding: TriedEndpoints(), fresh: false) {
        case .started(let connection): if isActive { upstream = connection }
        case .pending: isPending = true
        case .refused: finish(.mirrorsRefused)
        }
        return isAttached
    }

    /// A piece of the body went upstream.
    func copy(_ data: borrowing Lease) {
        guard isActive else { return }
        if isReady, !isBlocked, waiting.isEmpty, let upstream {
            data.withBytes { upstream.write(worker.copy($0), of: self) }
            return
        }
        guard waiting.count + data.count <= Self.waitingBytesMax, store?.reserve(data.count) ?? false else {
            return cutOff()
        }
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe waiting.append(contentsOf: $0) } }
    }

    func copyTrailers(_ fields: borrowing HeaderTable) { trailers = fields.copy() }

    /// The request is complete.
    func end() {
        guard isActive, !isComplete else { return }
        isComplete = true
        startTimer()
        if isReady, !isBlocked { sendRest() }
    }

    /// The exchange says no more. A copy that does not have all of the request ends.
    func detach() {
        guard isAttached else { return }
        unsafe next = nil
        if isActive, !isComplete { cutOff() }
        isAttached = false
        letGo()
    }

    // MARK: From the connection

    override func onStarted(_ upstream: UpstreamConnection) {
        isPending = false
        self.upstream = upstream
    }

    override func onReady(_ upstream: UpstreamConnection) {
        isPending = false
        isReady = true
        self.upstream = upstream
        let isAll = isComplete && waiting.isEmpty && trailers == nil
        endIsSent = isAll
        upstream.write(head, of: self, isComplete: isAll, offersUpgrade: false)
        if !isAll, !isBlocked { sendRest() }
    }

    override func onUpstreamBlocked(_ isBlocked: Bool) {
        self.isBlocked = isBlocked
        if !isBlocked, isReady { sendRest() }
    }

    override func onResponseHead(_ head: inout ResponseHead) {
        guard !head.status.isInformational, let pool else { return }
        pool.cluster.counters.countResponse(head.status)
    }

    override func onResponseBody(_ data: consuming Lease) { worker.discard(data) }

    override func onResponseEnd() {
        pool?.cluster.counters.record(worker.nowNs - startedNs, in: ClusterStat.requestTime)
        finish(.mirrorsCompleted)
    }

    override func onReset(_ reason: UpstreamReset) {
        switch reason {
        case .overflow, .noEndpoint, .exhausted: finish(.mirrorsRefused)
        case .connectFailed, .closedBeforeResponse, .refused, .truncated, .protocolError, .tunnelClosed:
            finish(.mirrorsFailed)
        }
    }

    override func onTimer(_ tag: Int, on worker: Worker) {
        timer = .none
        pool?.cluster.counters.add(to: ClusterStat.timeouts)
        cancel()
        finish(.mirrorsFailed)
    }

    // MARK: Inside

    /// As Envoy does: who sees the request can tell that it is a copy.
    private func markHost() {
        let authority = head.authority
        let name = authority.withoutPort
        let suffix = ByteSlice("-shadow")
        unsafe withUnsafeTemporaryAllocation(byteCount: authority.count + suffix.count, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
            writer.append(name)
            writer.append(suffix)
            writer.append(authority[name.count..<authority.count])
            // An IPv6 address in brackets takes no suffix and stays what it is.
            head.setAuthority(unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }

    private func startTimer() { timer = worker.schedule(self, afterNs: timeoutNs) }

    /// What waits, and the end if it has come.
    private func sendRest() {
        guard let upstream else { return }
        if !waiting.isEmpty {
            ByteSlice.withBytes(of: waiting) { bytes in
                var offset = 0
                while offset < bytes.count {
                    let end = min(offset + Self.pieceBytes, bytes.count)
                    upstream.write(bytes[offset..<end].withSpan { worker.copy($0) }, of: self)
                    offset = end
                }
            }
            store?.release(waiting.count)
            waiting.removeAll(keepingCapacity: waiting.capacity <= Self.waitingBytesKept)
        }
        guard isComplete, !endIsSent else { return }
        endIsSent = true
        if let fields = trailers.take() { upstream.writeTrailers(fields, of: self) }
        upstream.end(self)
    }

    /// The copy cannot become whole.
    private func cutOff() {
        cancel()
        finish(.mirrorsCutOff)
    }

    private func cancel() {
        if isPending { pool?.withdraw(self) }
        upstream?.cancel(self)
    }

    private func finish(_ result: ClusterStat) {
        guard isActive else { return }
        pool?.cluster.counters.add(to: result)
        worker.cancel(timer)
        timer = .none
        store?.release(waiting.count)
        waiting.removeAll(keepingCapacity: waiting.capacity <= Self.waitingBytesKept)
        trailers = nil
        pool = nil
        upstream = nil
        isPending = false
        isActive = false
        letGo()
    }

    private func letGo() {
        guard !isAttached, !isActive, let held = hold.take() else { return }
        store?.giveBack(held)
    }
}

/// The copies of one chain's requests: how many there may be, and the objects for the next ones.
final class RequestMirrorStore {
    private let worker: Worker
    private let headersMax: Int
    private var free: [RequestMirror] = []
    private var inUse = 0
    private var waitingBytes = 0

    /// Beyond these a request is not copied.
    private static let countMax = 1024
    /// Of all copies together.
    private static let waitingBytesMax = 16 << 20
    private static let freeMax = 64

    init(worker: Worker, headersMax: Int) {
        self.worker = worker
        self.headersMax = headersMax
    }

    /// nil when there are as many as may be.
    func take() -> RequestMirror? {
        guard inUse < Self.countMax else { return nil }
        inUse += 1
        return free.popLast() ?? RequestMirror(store: self, worker: worker, headersMax: headersMax)
    }

    func giveBack(_ mirror: RequestMirror) {
        inUse -= 1
        if free.count < Self.freeMax { free.append(mirror) }
    }

    fileprivate func reserve(_ count: Int) -> Bool {
        guard waitingBytes + count <= Self.waitingBytesMax else { return false }
        waitingBytes += count
        return true
    }

    fileprivate func release(_ count: Int) { waitingBytes -= count }
}
