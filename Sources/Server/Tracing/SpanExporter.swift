internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

/// Brings spans to one backend: collects them, and sends them in requests through the cluster of the backend, one at a
/// time. Lives on the tracing thread.
///
/// While the backend is away batches wait, as many as may; the oldest are dropped for new ones. A batch that fails is
/// tried again after a pause that grows.
final class SpanExporter: UpstreamRequest, SpanSink {
    private struct Batch {
        var content: EncodedSpans
        var spans: Int
        var tries = 0
    }

    /// A request has so many spans at most, and about so many bytes.
    private static let batchSpansMax = 1024
    private static let batchBytesMax = 512 << 10
    /// How long spans wait for others.
    private static let batchNs: UInt64 = 500_000_000
    /// With the bytes above: 16 MiB an exporter, or a little more.
    private static let batchesMax = 32
    private static let triesMax = 10
    private static let timeoutNs: UInt64 = 10_000_000_000
    private static let sendNextTag = 1
    /// Pieces in which a body is given to the connection.
    private static let pieceBytes = 32 << 10

    let plan: TracingPlan.Exporter
    private let source: SpanSource
    private let worker: Worker
    private let pool: HTTPConnectionPool
    private let collector: TraceCollector
    private let isGRPC: Bool
    private let encoder: any SpanEncoder
    /// When the first of the spans came that the encoder has.
    private var openedNs: UInt64 = 0
    private var waiting: [Batch] = []
    private var backoff = ExportBackoff()

    // The request that is under way.
    private var sending: Batch?
    private var head = RequestHead(headersMax: 16)
    /// Says goodbye before it goes.
    private unowned(unsafe) var upstream: UpstreamConnection?
    private var isPending = false
    private var timer = TaskTimer.none
    private var startedNs: UInt64 = 0
    private var status = HTTPStatus.ok
    private var grpcStatus: Int?
    private var retryAfterNs: UInt64 = 0
    /// Of a backend that says which spans it takes.
    private var answer: OTLPAnswer?
    private var wasRepeated = false

    init(
        _ plan: TracingPlan.Exporter, _ source: SpanSource, _ backend: HTTPTraceBackend, _ collector: TraceCollector,
        pool: HTTPConnectionPool, worker: Worker
    ) {
        self.plan = plan
        self.source = source
        self.pool = pool
        self.worker = worker
        self.collector = collector
        encoder = makeSpanEncoder(backend, source)
        isGRPC = encoder.contentType == "application/grpc"
        if case .otlp = backend { answer = OTLPAnswer(isGRPC: isGRPC) }
        super.init()
    }

    /// The next generation can go on with it.
    func serves(_ next: TracingPlan.Exporter, _ source: SpanSource) -> Bool {
        next.configuration.name == plan.configuration.name && next.configuration.backend == plan.configuration.backend
            && next.slot == plan.slot && next.cluster === plan.cluster && source == self.source
    }

    // MARK: Spans

    func append(_ exchange: SpanView, nowNs: UInt64) {
        if encoder.count == 0 { openedNs = nowNs }
        plan.stats.arrived(encoder.append(exchange))
        if encoder.count >= Self.batchSpansMax || encoder.byteCount >= Self.batchBytesMax { close() }
    }

    /// Sends what has waited long enough.
    ///
    /// - Parameter all: nothing waits for company any more
    func tick(nowNs: UInt64, all: Bool) {
        if encoder.count > 0, all || nowNs &- openedNs >= Self.batchNs { close() }
        sendNext(nowNs: nowNs)
    }

    private func sendNext(nowNs: UInt64) {
        guard sending == nil, !waiting.isEmpty, nowNs >= backoff.nextTryNs else { return }
        sending = waiting.removeFirst()
        wasRepeated = false
        start(fresh: false)
    }

    private func close() {
        let spans = encoder.count
        waiting.append(Batch(content: encoder.finish(), spans: spans))
        if waiting.count > Self.batchesMax { plan.stats.drop(waiting.removeFirst().spans, .queueFull) }
    }

    /// Nobody wants its spans any more.
    func stop() {
        giveUp()
        if encoder.count > 0 { close() }
        for batch in waiting + (sending.map { [$0] } ?? []) { plan.stats.drop(batch.spans, .replaced) }
        waiting = []
        sending = nil
    }

    // MARK: Requests

    private func start(fresh: Bool) {
        makeHead()
        status = .ok
        grpcStatus = nil
        retryAfterNs = 0
        answer?.begin()
        startedNs = worker.nowNs
        switch pool.start(self, excluding: TriedEndpoints(), fresh: fresh) {
        case .started(let connection): unsafe upstream = connection
        case .pending: isPending = true
        case .refused: return ended(.tryAgain)
        }
        if timer == .none { timer = worker.schedule(self, afterNs: Self.timeoutNs) }
    }

    private func makeHead() {
        head.reset()
        _ = head.setMethod(ByteSlice("POST"))
        let parts = collector.path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        ByteSlice.withBytes(of: parts[0]) { _ = head.setPath($0) }
        if parts.count > 1 { ByteSlice.withBytes(of: parts[1]) { _ = head.setQuery($0) } }
        ByteSlice.withBytes(of: collector.host ?? pool.cluster.cluster.name) { _ = head.setAuthority($0) }
        ByteSlice.withBytes(of: encoder.contentType) { _ = head.headers.add(.contentType, $0) }
        ByteSlice.withBytes(of: "ringway/\(RingwayVersion.current)") { _ = head.headers.add(.userAgent, $0) }
        for field in sending?.content.headers ?? [] {
            guard let key = HeaderKey(field.name) else { continue }
            ByteSlice.withBytes(of: field.value) { _ = head.headers.add(key, $0) }
        }
        for header in collector.headers {
            guard let key = HeaderKey(header.name) else { continue }
            ByteSlice.withBytes(of: header.value) { _ = head.headers.set(key, $0) }
        }
        head.acceptsTrailers = isGRPC
        head.setBodyLength(.exactly(UInt64(sending?.content.byteCount ?? 0)))
    }

    private enum Outcome {
        case accepted, rejected, tryAgain
    }

    private func ended(_ outcome: Outcome) {
        worker.cancel(timer)
        timer = .none
        isPending = false
        unsafe upstream = nil
        guard var batch = sending else { return }
        sending = nil
        switch outcome {
        case .accepted:
            plan.stats.requestSucceeded()
            let rejected = min(answer?.rejectedSpans ?? 0, batch.spans)
            plan.stats.drop(rejected, .rejected)
            plan.stats.left(batch.spans - rejected)
            backoff.succeeded()
            // What waits does not wait for the next look at the rings: a batch each would bound the rate. Not at once,
            // because the connection is not free yet.
            if !waiting.isEmpty { _ = worker.schedule(self, tag: Self.sendNextTag, afterNs: 0) }
        case .rejected:
            plan.stats.requestFailed()
            plan.stats.drop(batch.spans, .rejected)
        case .tryAgain:
            plan.stats.requestFailed()
            batch.tries += 1
            if batch.tries < Self.triesMax {
                waiting.insert(batch, at: 0)
            } else {
                plan.stats.drop(batch.spans, .gaveUp)
            }
            backoff.failed(nowNs: worker.nowNs, retryAfterNs: retryAfterNs)
        }
    }

    private func giveUp() {
        if isPending { pool.withdraw(self) }
        isPending = false
        unsafe upstream?.cancel(self)
        unsafe upstream = nil
        worker.cancel(timer)
        timer = .none
    }

    // MARK: From upstream

    override func onStarted(_ upstream: UpstreamConnection) {
        isPending = false
        unsafe self.upstream = upstream
    }

    override func onReady(_ upstream: UpstreamConnection) {
        isPending = false
        unsafe self.upstream = upstream
        guard let batch = sending else { return }
        upstream.write(head, of: self, isComplete: batch.content.byteCount == 0, offersUpgrade: false)
        for part in [batch.content.prefix, batch.content.body] {
            ByteSlice.withBytes(of: part) { bytes in
                var start = 0
                while start < bytes.count {
                    let end = min(start + Self.pieceBytes, bytes.count)
                    bytes[start..<end].withSpan { upstream.write(worker.copy($0), of: self) }
                    start = end
                }
            }
        }
        upstream.end(self)
    }

    override func onResponseHead(_ head: inout ResponseHead) {
        guard !head.status.isInformational else { return }
        status = head.status
        grpcStatus = head.headers[.grpcStatus]?.decimal.map { Int(clamping: $0) }
        if status == .tooManyRequests || status == .serviceUnavailable, let value = head.headers[.retryAfter] {
            retryAfterNs = RetryAfter.delayNs(value)
        }
        answer?.read(head)
        pool.cluster.counters.countResponse(status)
        noteResult(isFailure: status.codeClass >= 5)
    }

    override func onResponseBody(_ data: consuming Lease) {
        data.withBytes { answer?.append($0) }
        worker.discard(data)
    }

    override func onResponseTrailers(_ fields: inout HeaderTable) {
        if let status = fields[.grpcStatus]?.decimal { grpcStatus = Int(clamping: status) }
    }

    override func onResponseEnd() {
        pool.cluster.counters.record(worker.nowNs - startedNs, in: ClusterStat.requestTime)
        unsafe upstream = nil
        ended(isGRPC ? grpcOutcome : httpOutcome)
    }

    private var httpOutcome: Outcome {
        switch status.rawValue {
        case 200..<300: .accepted
        case 408, 429, 500...: .tryAgain
        default: .rejected
        }
    }

    /// Which of gRPC's codes are worth another try: https://opentelemetry.io/docs/specs/otlp/#failures
    private var grpcOutcome: Outcome {
        switch grpcStatus {
        case 0: .accepted
        case 1, 4, 8, 10, 11, 14, 15: .tryAgain
        case nil: httpOutcome == .rejected ? .rejected : .tryAgain
        default: .rejected
        }
    }

    override func onReset(_ reason: UpstreamReset) {
        if reason.isFailureOfEndpoint { noteResult(isFailure: true) }
        unsafe upstream = nil
        isPending = false
        if case .closedBeforeResponse(wasReused: true) = reason, !wasRepeated {
            // The backend closed an idle connection while the request was on its way.
            wasRepeated = true
            return start(fresh: true)
        }
        ended(.tryAgain)
    }

    override func onTimer(_ tag: Int, on worker: Worker) {
        if tag == Self.sendNextTag { return sendNext(nowNs: worker.nowNs) }
        timer = .none
        guard sending != nil else { return }
        pool.cluster.counters.add(to: ClusterStat.timeouts)
        noteResult(isFailure: true)
        giveUp()
        ended(.tryAgain)
    }

    /// For outlier detection.
    private func noteResult(isFailure: Bool) {
        guard pool.cluster.detectsOutliers, let endpoint = unsafe upstream?.endpoint else { return }
        if isFailure { pool.cluster.noteFailure(of: endpoint) } else { pool.cluster.noteSuccess(of: endpoint) }
    }
}
