public import Engine
public import HTTP
public import Upstream

/// A request that a filter sends on its own about an exchange, through a cluster, on the same worker: to ask a
/// service whether the exchange may go on, for example.
///
/// A filter gets one for a stream with `HTTPStream.subrequest(for:)`, fills in `request`, and starts it. It hears of
/// the end in `onSubrequestEnd`. The response is collected, up to a bound. The stream keeps the object for the next
/// exchange, so nothing of it may be kept.
public final class HTTPSubrequest: UpstreamRequest {
    public enum Outcome: Equatable, Sendable {
        /// `response` and `responseBody` are complete.
        case response
        case failed(Failure)
    }

    public enum Failure: Equatable, Sendable {
        /// No complete response came about.
        case upstream(UpstreamReset)
        case timedOut
        /// The response's body goes beyond the bound.
        case responseTooLarge
    }

    /// The most bytes that a request's body may have.
    public static let bodyBytesMax = 1 << 20

    /// GET without path and host at first. `setMethod`, `setPath`, `setAuthority` and `headers` are for the filter;
    /// how the body is framed is not.
    public var request = RequestHead(headersMax: 16)
    public private(set) var response = ResponseHead(headersMax: 16)
    public private(set) var responseBody: [UInt8] = []
    /// Started and not over.
    public private(set) var isRunning = false

    /// Owns this object.
    private unowned(unsafe) let stream: HTTPStream
    private let filterIndex: Int
    private var pool: HTTPConnectionPool?
    /// Says goodbye before it goes.
    private unowned(unsafe) var upstream: UpstreamConnection?
    private var body: [UInt8] = []
    private var bytesMax = 0
    private var isPending = false
    private var mayRepeat = false
    private var hasRepeated = false
    private var startedNs: UInt64 = 0
    private var timer = TaskTimer.none

    init(stream: HTTPStream, filterIndex: Int) {
        unsafe self.stream = stream
        self.filterIndex = filterIndex
        super.init()
    }

    func reset() {
        cancel()
        request.reset()
        response.reset()
        responseBody.removeAll(keepingCapacity: true)
        body = []
    }

    /// Sends the request.
    ///
    /// - Parameters:
    ///   - timeoutNs: nanoseconds until the response has to be complete, a wait for a connection included
    ///   - body: at most `bodyBytesMax` bytes
    ///   - responseBytesMax: beyond, the response is given up
    ///   - mayRepeat: a request that met a connection which its endpoint had closed while it was idle is sent once
    ///     more, which for methods that are not idempotent is for the filter to decide
    /// - Returns: nil when it is under way; why it cannot be otherwise, and then there is no `onSubrequestEnd`
    public func start(
        to cluster: HTTPFilterCluster, timeoutNs: UInt64, body: [UInt8] = [], responseBytesMax: Int = 64 << 10,
        mayRepeat: Bool = false
    ) -> Failure? {
        precondition(body.count <= Self.bodyBytesMax, "the body of a sub-request is bounded")
        cancel()
        let worker = unsafe stream.worker
        guard unsafe !stream.isEnded else { return .upstream(.exhausted) }
        self.body = body
        hasRepeated = false
        self.mayRepeat = mayRepeat || (request.method.isIdempotent && body.isEmpty)
        bytesMax = responseBytesMax
        // RFC 9110 §8.6: a method that could have a body says that there is none.
        request.setBodyLength(body.isEmpty && request.method.isSafe ? .none : .exactly(UInt64(body.count)))
        if request.path.isEmpty { request.setPath(ByteSlice("/")) }
        if request.authority.isEmpty { ByteSlice.withBytes(of: cluster.name) { _ = request.setAuthority($0) } }
        pool = cluster.pool
        isRunning = true
        if let refused = attempt(fresh: false) {
            isRunning = false
            pool = nil
            return .upstream(refused)
        }
        timer = worker.schedule(self, afterNs: timeoutNs)
        return nil
    }

    /// Gives the request up: there is no `onSubrequestEnd`.
    public func cancel() {
        guard isRunning else { return }
        giveUpUpstream()
        settle()
    }

    private func attempt(fresh: Bool) -> UpstreamReset? {
        guard let pool else { return .exhausted }
        startedNs = unsafe stream.worker.nowNs
        switch pool.start(self, excluding: TriedEndpoints(), fresh: fresh) {
        case .started(let connection):
            unsafe upstream = connection
            return nil
        case .pending:
            isPending = true
            return nil
        case .refused(let reason): return reason
        }
    }

    private func giveUpUpstream() {
        if isPending { pool?.withdraw(self) }
        unsafe upstream?.cancel(self)
    }

    private func settle() {
        isRunning = false
        isPending = false
        unsafe upstream = nil
        pool = nil
        unsafe stream.worker.cancel(timer)
        timer = .none
    }

    private func finish(_ outcome: Outcome) {
        settle()
        let stream = unsafe self.stream
        stream.subrequestEnded(self, filterIndex, outcome)
    }

    private func count(_ status: HTTPStatus) {
        pool?.cluster.counters.countResponse(status)
    }

    /// What it came to, for outlier detection.
    private func note(isFailure: Bool) {
        guard let pool, pool.cluster.detectsOutliers, let endpoint = unsafe upstream?.endpoint else { return }
        if isFailure { pool.cluster.noteFailure(of: endpoint) } else { pool.cluster.noteSuccess(of: endpoint) }
    }

    /// As the router counts its own.
    private func countFailure(_ reason: UpstreamReset) {
        switch reason {
        case .connectFailed: count(.serviceUnavailable)
        case .closedBeforeResponse, .refused, .protocolError, .tunnelClosed: count(.badGateway)
        // The head was counted, or nothing was sent.
        case .truncated, .overflow, .noEndpoint, .exhausted: break
        }
    }

    // MARK: From upstream

    public override func onStarted(_ upstream: UpstreamConnection) {
        isPending = false
        unsafe self.upstream = upstream
    }

    public override func onReady(_ upstream: UpstreamConnection) {
        isPending = false
        unsafe self.upstream = upstream
        upstream.write(request, of: self, isComplete: body.isEmpty, offersUpgrade: false)
        guard !body.isEmpty else { return }
        let worker = unsafe stream.worker
        ByteSlice.withBytes(of: body) { $0.withSpan { upstream.write(worker.copy($0), of: self) } }
        upstream.end(self)
    }

    public override func onResponseHead(_ head: inout ResponseHead) {
        guard isRunning, !head.status.isInformational else { return }
        count(head.status)
        note(isFailure: head.status.codeClass >= 5)
        head.copy(to: &response)
        if case .exactly(let length) = head.bodyLength, length > UInt64(bytesMax) { tooLarge() }
    }

    public override func onResponseBody(_ data: consuming Lease) {
        if isRunning {
            data.withBytes { span in unsafe span.withUnsafeBytes { unsafe responseBody.append(contentsOf: $0) } }
        }
        unsafe stream.worker.discard(data)
        if isRunning, responseBody.count > bytesMax { tooLarge() }
    }

    private func tooLarge() {
        giveUpUpstream()
        finish(.failed(.responseTooLarge))
    }

    public override func onResponseEnd() {
        guard isRunning else { return }
        let ns = unsafe stream.worker.nowNs - startedNs
        pool?.cluster.counters.record(ns, in: ClusterStat.requestTime)
        finish(.response)
    }

    public override func onReset(_ reason: UpstreamReset) {
        guard isRunning else { return }
        if reason.isFailureOfEndpoint { note(isFailure: true) }
        unsafe upstream = nil
        isPending = false
        var reason = reason
        if !hasRepeated, reason.wasRefused || mayRepeat && reason == .closedBeforeResponse(wasReused: true) {
            // RFC 9110 §9.2.2: the endpoint closed an idle connection while the request was on its way.
            hasRepeated = true
            guard let refused = attempt(fresh: true) else { return }
            reason = refused
        }
        countFailure(reason)
        finish(.failed(.upstream(reason)))
    }

    public override func onTimer(_ tag: Int, on worker: Worker) {
        timer = .none
        guard isRunning else { return }
        pool?.cluster.counters.add(to: ClusterStat.timeouts)
        note(isFailure: true)
        giveUpUpstream()
        finish(.failed(.timedOut))
    }
}
