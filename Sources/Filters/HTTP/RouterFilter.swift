internal import Engine
internal import HTTP
package import Upstream

/// The end of every chain of HTTP filters: finds the route of a request, and answers it or sends it to an endpoint,
/// with retries and time-outs. What it knows of one request is the stream's `RouterState`.
package final class RouterFilter {
    private let table: RouteTable
    /// This worker's.
    private let regexes: RouteRegexes
    /// By the number of their cluster in the table.
    private let pools: [HTTPConnectionPool]
    private let settings: HTTPChainSettings
    /// Where routes count, by their number in the table: the first cell of each.
    private let routeCells: [UInt32]
    private var random: SplitMix64
    /// Made with the first copy of a request.
    private var mirrorStore: RequestMirrorStore?
    /// Endpoints that go away, one after the other, may refuse a request so often before it fails.
    private static let refusalsMax = 3
    /// Bytes of a body that are kept for another try.
    static let keptBodyMax = 65_536

    /// - Parameter regexes: those of the table for the worker that this is for
    package init(
        table: RouteTable, regexes: RouteRegexes, pools: [HTTPConnectionPool], settings: HTTPChainSettings,
        routeCells: [UInt32] = [], seed: UInt64
    ) {
        precondition(pools.count == table.clusterNames.count, "every cluster of a route has a pool")
        self.table = table
        self.regexes = regexes
        self.pools = pools
        self.settings = settings
        self.routeCells = routeCells
        random = SplitMix64(seed: seed)
    }

    // MARK: Requests

    /// The route of a request as it is now.
    func findRoute(_ stream: HTTPStream) -> Route? { table.route(for: stream.request, regexes) }

    /// The request has passed the filters.
    func route(_ stream: HTTPStream) {
        guard let route = findRoute(stream) else {
            stream.respond(.notFound, flag: .noRouteFound, text: "no route matches\n")
            return
        }
        unsafe stream.route.route = route
        if route.index < routeCells.count { stream.count(for: routeCells[route.index]) }
        switch route.action {
        case .redirect(let redirect): self.redirect(stream, redirect)
        case .respond(let response):
            stream.respond(response.status, flag: .none, bytes: response.body) { _ = response.addHeaders(to: &$0) }
        case .cluster, .weighted, .clusterHeader: forward(stream, route)
        }
    }

    private func redirect(_ stream: HTTPStream, _ redirect: RouteRedirect) {
        let isSecure = stream.request.headers[.xForwardedProto].map { $0.equalsIgnoringCase("https") } ?? false
        let capacity = stream.request.path.count + (stream.request.query?.count ?? 0) + 20_000
        var hasHost = false
        var fits = false
        let location = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: capacity)
            hasHost = redirect.writeLocation(
                for: stream.request, scheme: isSecure ? .https : .http, regexes, to: &writer)
            fits = writer.fits
            count = fits ? writer.count : 0
        }
        guard hasHost else {
            stream.respond(.badRequest, flag: .none, text: "the request names no host\n")
            return
        }
        guard fits else {
            stream.respond(.requestHeaderFieldsTooLarge, flag: .none, text: "the location is too long\n")
            return
        }
        stream.respond(redirect.status, flag: .none, bytes: .empty) { headers in
            ByteSlice.withBytes(of: location) { _ = headers.add(.location, $0) }
        }
    }

    private func forward(_ stream: HTTPStream, _ route: Route) {
        guard let index = table.clusterIndex(of: route, for: stream.request, random: random.next()) else {
            stream.respond(.serviceUnavailable, flag: .noClusterFound, text: "no cluster has the name in the request\n")
            return
        }
        let pool = pools[index]
        unsafe stream.route.pool = pool
        stream.route.clusterCounters = pool.cluster.counters
        stream.route.detectsOutliers = pool.cluster.detectsOutliers
        stream.route.timeoutNs = route.timeoutNs
        stream.route.perTryTimeoutNs = route.retry?.perTryTimeoutNs ?? 0
        stream.route.hasRetry = route.retry != nil
        stream.route.deadlineNs = GRPC.isRequest(stream.request) ? GRPC.timeoutNs(stream.request) ?? 0 : 0
        // A client of gRPC counts from the beginning of its request.
        if stream.requestEnded || stream.route.deadlineNs > 0 { startRouteTimer(stream) }
        stream.withCodec { $0.setIdleTimeout(ns: route.idleTimeoutNs, of: stream) }
        if stream.request.method == .connect {
            guard route.upgrades.allowConnect else {
                stream.respond(.forbidden, flag: .none, text: "CONNECT is not allowed here\n")
                return
            }
            stream.route.offersTunnel = true
        } else if stream.request.offersUpgrade, !route.upgrades.isEmpty, stream.request.bodyLength.isEmpty {
            // An upgrade that is not allowed is ignored, as RFC 9110 §7.8 lets a server do.
            stream.route.offersTunnel = allowsUpgrade(stream, route)
        }
        if stream.request.isExtendedConnect, !stream.route.offersTunnel {
            stream.respond(.forbidden, flag: .none, text: "this protocol is not allowed here\n")
            return
        }
        // The request of a tunnel never ends, but its answer is waited for like any other.
        if stream.route.offersTunnel { startRouteTimer(stream) }
        if stream.request.authority.isEmpty, let local = stream.connection?.localAddress {
            // RFC 9112 §3.2: what leaves as HTTP/1.1 has a host; HTTP/1.0 clients need not name one.
            let name = local.isUnix ? "localhost" : local.description
            ByteSlice.withBytes(of: name) { _ = stream.request.setAuthority($0) }
        }
        guard prepare(&stream.request, route) else {
            stream.respond(.requestHeaderFieldsTooLarge, flag: .none, text: "too many header bytes\n")
            return
        }
        attempt(stream, fresh: false)
    }

    /// Starts copies for other clusters. They see what the endpoint sees.
    ///
    /// Not before the request has its connection: copies that held connections while their requests wait for some
    /// could keep them waiting.
    private func mirror(_ stream: HTTPStream, _ route: Route) {
        stream.route.isMirrored = true
        let store = mirrorStore ?? RequestMirrorStore(worker: stream.worker, headersMax: settings.limits.headersMax)
        mirrorStore = store
        let isComplete = stream.requestEnded && !stream.holdsRequestBody
        let timeoutNs = route.timeoutNs > 0 ? route.timeoutNs : Self.mirrorTimeoutNs
        for index in route.mirrors.indices where route.mirrors[index].takes(random.next()) {
            let pool = pools[route.mirrors[index].cluster]
            guard let mirror = store.take() else {
                pool.cluster.counters.add(to: ClusterStat.mirrorsRefused)
                continue
            }
            if mirror.start(stream.request, to: pool, timeoutNs: timeoutNs, isComplete: isComplete) {
                unsafe mirror.next = stream.route.mirror
                unsafe stream.route.mirror = mirror
            }
        }
    }

    /// Where the route itself has no limit.
    private static let mirrorTimeoutNs: UInt64 = 15_000_000_000

    /// Runs `body` on each copy that still wants to know of this request.
    @inline(__always)
    private func forEachMirror(_ stream: HTTPStream, _ body: (RequestMirror) -> Void) {
        var next = unsafe stream.route.mirror
        while let mirror = next {
            unsafe next = mirror.next
            body(mirror)
        }
    }

    private func allowsUpgrade(_ stream: HTTPStream, _ route: Route) -> Bool {
        var index = stream.request.headers.firstIndex(of: .upgrade)
        while let current = index {
            guard let field = stream.request.headers.field(at: current), route.upgrades.allow(field.value) else {
                return false
            }
            index = stream.request.headers.firstIndex(of: .upgrade, from: current + 1)
        }
        return true
    }

    /// The head as the endpoint gets it. False when it has no room for all of it.
    private func prepare(_ head: inout RequestHead, _ route: Route) -> Bool {
        if route.rewrite.changesPath, !head.path.isEmpty {
            guard head.headers.set(.xEnvoyOriginalPath, head.path) else { return false }
        }
        guard route.rewrite.apply(to: &head, regexes), route.requestHeaders.apply(to: &head.headers) else {
            return false
        }
        guard route.timeoutNs > 0 else { return true }
        return withDecimal(route.timeoutNs / 1_000_000) { head.headers.set(.xEnvoyExpectedRqTimeoutMs, $0) }
    }

    // MARK: Tries

    private func attempt(_ stream: HTTPStream, fresh: Bool) {
        guard let pool = unsafe stream.route.pool else { return }
        stream.route.attemptStartedNs = stream.worker.nowNs
        stream.route.isAttempted = true
        stream.trace { $0.tryBegins(stream, $1) }
        stream.updateBodyClock()
        switch pool.start(stream, excluding: stream.route.tried, fresh: fresh) {
        case .started(let upstream):
            unsafe stream.route.upstream = upstream
            stream.hot.value.info.endpoint = Int32(upstream.endpoint)
            startTryTimer(stream)
        case .pending: stream.route.isPending = true
        case .refused(let reason): reset(stream, reason)
        }
    }

    /// The request has waited for a connection of the pool, and got one that may still be connecting.
    func started(_ stream: HTTPStream, _ upstream: UpstreamConnection) {
        guard stream.route.isPending else { return }
        stream.route.isPending = false
        unsafe stream.route.upstream = upstream
        stream.hot.value.info.endpoint = Int32(upstream.endpoint)
        startTryTimer(stream)
    }

    private func startTryTimer(_ stream: HTTPStream) {
        let ns = stream.route.perTryTimeoutNs
        guard ns > 0, stream.route.tryTimer == .none else { return }
        stream.route.tryTimer = stream.worker.schedule(stream, tag: StreamTimer.tried.rawValue, afterNs: ns)
    }

    private func cancelTryTimer(_ stream: HTTPStream) {
        guard stream.route.tryTimer != .none else { return }
        stream.worker.cancel(stream.route.tryTimer)
        stream.route.tryTimer = .none
    }

    /// The connection is there.
    func ready(_ stream: HTTPStream, _ upstream: UpstreamConnection) {
        precondition(!stream.isEnded, "a request that is over was withdrawn from its pool")
        unsafe stream.route.upstream = upstream
        stream.hot.value.info.endpoint = Int32(upstream.endpoint)
        stream.route.isReady = true
        stream.route.isPending = false
        startTryTimer(stream)
        stream.trace { $0.willWrite(stream, $1) }
        let kept = stream.route.keptBody
        let hasEnd = stream.requestEnded && !stream.holdsRequestBody
        upstream.write(
            stream.request, of: stream, isComplete: hasEnd && kept.isEmpty, offersUpgrade: stream.route.offersTunnel)
        if !kept.isEmpty {
            ByteSlice.withBytes(of: kept) { $0.withSpan { upstream.write(stream.worker.copy($0), of: stream) } }
            if hasEnd { upstream.end(stream) }
        }
        if let route = unsafe stream.route.route, !route.mirrors.isEmpty, !stream.route.offersTunnel,
            !stream.route.isMirrored
        {
            mirror(stream, route)
        }
        if !hasEnd { stream.upstreamReady() }
    }

    /// A piece of the request's body. Only between `ready` and the response's end.
    func requestBody(_ stream: HTTPStream, _ data: consuming Lease) {
        guard let upstream = unsafe stream.route.upstream else { return stream.worker.discard(data) }
        forEachMirror(stream) { $0.copy(data) }
        keepForRetry(data, of: stream)
        upstream.write(data, of: stream)
    }

    /// A body that is small is kept where the route may try again. Beyond, there is no other try.
    private func keepForRetry(_ data: borrowing Lease, of stream: HTTPStream) {
        guard !stream.route.bodySent else { return }
        guard stream.route.hasRetry, !stream.route.offersTunnel,
            stream.route.keptBody.count + data.count <= Self.keptBodyMax
        else {
            stream.route.bodySent = true
            stream.route.keptBody = []
            return
        }
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe stream.route.keptBody.append(contentsOf: $0) } }
    }

    /// Right before the end (RFC 9110 §6.5).
    func requestTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        guard let upstream = unsafe stream.route.upstream else { return }
        stream.route.bodySent = true
        forEachMirror(stream) { $0.copyTrailers(fields) }
        upstream.writeTrailers(fields, of: stream)
    }

    /// The request is complete: the time of the route begins.
    func requestEnd(_ stream: HTTPStream) {
        startRouteTimer(stream)
        forEachMirror(stream) { $0.end() }
        detachMirrors(stream)
        guard let upstream = unsafe stream.route.upstream, stream.route.isReady else { return }
        if stream.request.bodyLength == .unknown, !stream.route.hasRetry {
            stream.route.bodySent = true
        }
        upstream.end(stream)
    }

    private func detachMirrors(_ stream: HTTPStream) {
        guard unsafe stream.route.mirror != nil else { return }
        forEachMirror(stream) { $0.detach() }
        unsafe stream.route.mirror = nil
    }

    private func startRouteTimer(_ stream: HTTPStream) {
        guard !stream.hot.value.hasResponse, !stream.route.isTunnel, !stream.route.hasDeadline else { return }
        let routeNs = stream.route.timeoutNs
        let deadlineNs = stream.route.deadlineNs
        let ns = routeNs > 0 && deadlineNs > 0 ? min(routeNs, deadlineNs) : max(routeNs, deadlineNs)
        guard ns > 0 else { return }
        stream.route.hasDeadline = true
        var isSet = false
        stream.withCodec { isSet = $0.setDeadline(atNs: stream.worker.nowNs + ns, of: stream) }
        guard !isSet else { return }
        stream.route.routeTimer = stream.worker.schedule(stream, tag: StreamTimer.route.rawValue, afterNs: ns)
    }

    private func cancelRouteTimer(_ stream: HTTPStream) {
        guard stream.route.hasDeadline else { return }
        stream.route.hasDeadline = false
        if stream.route.routeTimer != .none {
            stream.worker.cancel(stream.route.routeTimer)
            stream.route.routeTimer = .none
        } else {
            stream.withCodec { _ = $0.setDeadline(atNs: .max, of: stream) }
        }
    }

    // MARK: Responses

    func responseHead(_ stream: HTTPStream, _ head: inout ResponseHead) {
        if head.status.isInformational, !head.switchesProtocol {
            if let codec = stream.codec { codec.sendInformational(&head, of: stream) }
            return
        }
        cancelTryTimer(stream)
        guard isAnswer(head, to: stream.request) else {
            unsafe stream.route.upstream?.cancel(stream)
            reset(stream, .protocolError)
            return
        }
        count(stream, head.status)
        note(stream, isFailure: head.status.codeClass >= 5)
        if let tracing = stream.tracing, let trace = stream.trace { tracing.upstreamResponse(stream, trace, head) }
        let grpcStatus = GRPC.status(in: head.headers)
        if let grpcStatus { count(stream, grpcStatus: grpcStatus) }
        if stream.route.hasRetry, let retry = unsafe stream.route.route?.retry,
            retry.retries(head.status) || grpcStatus.map(retry.retries(grpcStatus:)) ?? false, mayRetry(stream, retry)
        {
            unsafe stream.route.upstream?.cancel(stream)
            scheduleRetry(stream, retry)
            return
        }
        if stream.route.isRetry, let pool = unsafe stream.route.pool {
            let retry = unsafe stream.route.route?.retry
            let isFailure =
                retry.map { $0.retries(head.status) || grpcStatus.map($0.retries(grpcStatus:)) ?? false } ?? false
            endRetry(stream, pool, isFailure ? .retriesFailed : .retriesSucceeded)
        }
        let ms = (stream.worker.nowNs - stream.route.attemptStartedNs) / 1_000_000
        withDecimal(ms) { _ = head.headers.set(.xEnvoyUpstreamServiceTime, $0) }
        if head.switchesProtocol {
            stream.route.isTunnel = true
            cancelRouteTimer(stream)
        }
        stream.responseHead(&head)
    }

    /// To a client that has asked by extended CONNECT, any 2xx says that the tunnel is there (RFC 8441 §4). So one of an
    /// endpoint that has ignored the upgrade must not get there; nor the handshake of a WebSocket, whose keys are between
    /// us and the endpoint, with the wrong key.
    private func isAnswer(_ head: borrowing ResponseHead, to request: borrowing RequestHead) -> Bool {
        guard request.isExtendedConnect else { return true }
        guard head.switchesProtocol else { return head.status.codeClass != 2 }
        guard let key = request.headers[.secWebsocketKey] else { return true }
        return WebSocketHandshake.isAccepted(head.headers, key: key)
    }

    /// Trailers from the endpoint, on their way.
    func responseTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        if let status = GRPC.status(in: fields) { count(stream, grpcStatus: status) }
    }

    func responseEnd(_ stream: HTTPStream) {
        if stream.route.isTunnel {
            stream.withCodec { $0.tunnelEnded(stream) }
            return
        }
        recordTime(stream)
        stream.trace { $0.tryEnds(stream, $1, failed: false) }
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
        stream.responseEnd()
    }

    // MARK: Failures

    /// The try came to nothing.
    func reset(_ stream: HTTPStream, _ reason: UpstreamReset) {
        if reason.isFailureOfEndpoint { note(stream, isFailure: true) }
        if reason.isReset { stream.route.clusterCounters?.add(to: ClusterStat.resetsReceived) }
        stream.trace { $0.tryEnds(stream, $1, failed: true) }
        if case .connectFailed(let failure) = reason { stream.hot.value.info.transportFailure = failure }
        let endpoint = unsafe stream.route.upstream?.endpoint
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
        stream.route.isPending = false
        cancelTryTimer(stream)
        if case .tunnelClosed(let close) = reason {
            stream.withCodec { $0.tunnelClosed(stream, close) }
            return
        }
        if stream.hot.value.hasResponse {
            if case .truncated(let cause) = reason { stream.route.breakCause = cause }
            stream.respond(.badGateway, flag: .upstreamConnectionTermination, text: "the upstream's answer broke off\n")
            return
        }
        if case .closedBeforeResponse(wasReused: true) = reason, mayRepeat(stream) {
            // RFC 9110 §9.2.2: the endpoint closed an idle connection while the request was on its way.
            stream.route.wasRepeated = true
            attempt(stream, fresh: true)
            return
        }
        if reason == .refused, stream.route.refusals < Self.refusalsMax, mayRepeat(stream, isProcessed: false) {
            stream.route.refusals += 1
            attempt(stream, fresh: true)
            return
        }
        if let retry = unsafe stream.route.route?.retry, isRetriable(reason, retry), mayRetry(stream, retry) {
            if let endpoint { stream.route.exclude(endpoint) }
            scheduleRetry(stream, retry)
            return
        }
        if let pool = unsafe stream.route.pool, stream.route.isRetry { endRetry(stream, pool, .retriesFailed) }
        fail(stream, reason)
    }

    private func fail(_ stream: HTTPStream, _ reason: UpstreamReset) {
        switch reason {
        case .connectFailed:
            count(stream, .serviceUnavailable)
            stream.respond(
                .serviceUnavailable, flag: .upstreamConnectionFailure, text: "the upstream is not reachable\n")
        case .closedBeforeResponse, .refused, .truncated, .tunnelClosed:
            count(stream, .badGateway)
            stream.respond(.badGateway, flag: .upstreamConnectionTermination, text: "the upstream gave no answer\n")
        case .protocolError:
            count(stream, .badGateway)
            stream.respond(
                .badGateway, flag: .upstreamConnectionTermination, text: "the upstream's answer is not HTTP\n")
        case .overflow, .exhausted:
            stream.respond(.serviceUnavailable, flag: .upstreamOverflow, text: "the upstream is overloaded\n")
        case .noEndpoint:
            stream.respond(.serviceUnavailable, flag: .noHealthyUpstream, text: "no upstream is healthy\n")
        }
    }

    func timerFired(_ stream: HTTPStream, _ timer: StreamTimer) {
        switch timer {
        case .request, .requestBody, .filter: break
        case .backOff:
            stream.route.backOffTimer = .none
            attempt(stream, fresh: false)
        case .tried:
            stream.route.tryTimer = .none
            tryTimedOut(stream)
        case .route:
            stream.route.routeTimer = .none
            stream.route.hasDeadline = false
            unsafe stream.route.pool?.cluster.counters.add(to: ClusterStat.timeouts)
            if !stream.responseStarted { note(stream, isFailure: true) }
            timedOut(stream)
        }
    }

    private func tryTimedOut(_ stream: HTTPStream) {
        guard !stream.responseStarted, let retry = unsafe stream.route.route?.retry else { return }
        unsafe stream.route.pool?.cluster.counters.add(to: ClusterStat.timeouts)
        note(stream, isFailure: true)
        let endpoint = unsafe stream.route.upstream?.endpoint
        cancelUpstream(stream)
        if retry.onReset, mayRetry(stream, retry) {
            if let endpoint { stream.route.exclude(endpoint) }
            scheduleRetry(stream, retry)
        } else {
            timedOut(stream)
        }
    }

    /// 504, which is never tried again; or the end of a response that has begun.
    private func timedOut(_ stream: HTTPStream) {
        if !stream.responseStarted { count(stream, .gatewayTimeout) }
        stream.respond(.gatewayTimeout, flag: .upstreamRequestTimeout, text: "the upstream did not answer in time\n")
    }

    // MARK: Retries

    private func isRetriable(_ reason: UpstreamReset, _ retry: RetryPolicy) -> Bool {
        switch reason {
        case .connectFailed: retry.onConnectFailure
        case .refused: retry.onRefusedStream
        case .closedBeforeResponse, .truncated, .protocolError: retry.onReset
        case .overflow, .noEndpoint, .exhausted, .tunnelClosed: false
        }
    }

    /// Nothing of the body went upstream, so the request can be sent again as it is.
    ///
    /// - Parameter isProcessed: the endpoint may have acted on it, so that only what is idempotent is repeated
    private func mayRepeat(_ stream: HTTPStream, isProcessed: Bool = true) -> Bool {
        guard !stream.route.bodySent, !stream.route.offersTunnel else { return false }
        return !isProcessed
            || !stream.route.wasRepeated && stream.request.bodyLength.isEmpty && stream.request.method.isIdempotent
    }

    /// Takes one of the tries that are left. Counts what the try before came to.
    private func mayRetry(_ stream: HTTPStream, _ retry: RetryPolicy) -> Bool {
        guard let pool = unsafe stream.route.pool, !stream.route.bodySent, stream.route.retries < retry.attempts else {
            return false
        }
        if stream.route.isRetry { endRetry(stream, pool, .retriesFailed) }
        guard pool.beginRetry(budget: retry.budget) else { return false }
        stream.route.isRetry = true
        stream.route.retries += 1
        return true
    }

    private func endRetry(_ stream: HTTPStream, _ pool: HTTPConnectionPool, _ result: ClusterStat) {
        stream.route.isRetry = false
        pool.endRetry()
        pool.cluster.counters.add(to: result)
    }

    /// Full jitter, so that retries of many requests do not come at once.
    private func scheduleRetry(_ stream: HTTPStream, _ retry: RetryPolicy) {
        stream.trace { $0.tryEnds(stream, $1, failed: true) }
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
        stream.updateBodyClock()
        cancelTryTimer(stream)
        let bound = min(retry.backOffBaseNs * (1 << UInt64(stream.route.retries) - 1), retry.backOffMaxNs)
        let delayNs = UInt64.random(in: 0..<max(bound, 1), using: &random)
        stream.route.backOffTimer = stream.worker.schedule(
            stream, tag: StreamTimer.backOff.rawValue, afterNs: delayNs)
    }

    /// Gives up what is under way upstream. The stream may be answered or ended then.
    func abandon(_ stream: HTTPStream) {
        detachMirrors(stream)
        cancelRouteTimer(stream)
        cancelTryTimer(stream)
        if stream.route.backOffTimer != .none {
            stream.worker.cancel(stream.route.backOffTimer)
            stream.route.backOffTimer = .none
        }
        if stream.route.isPending || stream.route.isRetry, let pool = unsafe stream.route.pool {
            if stream.route.isPending { pool.withdraw(stream) }
            if stream.route.isRetry { endRetry(stream, pool, .retriesFailed) }
        }
        stream.route.isPending = false
        cancelUpstream(stream)
    }

    private func cancelUpstream(_ stream: HTTPStream) {
        if let upstream = unsafe stream.route.upstream {
            stream.route.clusterCounters?.add(to: ClusterStat.resetsSent)
            upstream.cancel(stream)
        }
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
    }

    // MARK: Counting

    private func count(_ stream: HTTPStream, _ status: HTTPStatus) {
        stream.route.clusterCounters?.countResponse(status)
    }

    /// What a try came to, for outlier detection.
    private func note(_ stream: HTTPStream, isFailure: Bool) {
        guard stream.route.detectsOutliers, let pool = unsafe stream.route.pool,
            let endpoint = unsafe stream.route.upstream?.endpoint
        else { return }
        if isFailure { pool.cluster.noteFailure(of: endpoint) } else { pool.cluster.noteSuccess(of: endpoint) }
    }

    private func count(_ stream: HTTPStream, grpcStatus: Int) {
        stream.hot.value.info.grpcStatus = UInt8(grpcStatus)
        guard let pool = unsafe stream.route.pool else { return }
        pool.cluster.counters.add(to: ClusterStat.grpc(status: grpcStatus))
    }

    private func recordTime(_ stream: HTTPStream) {
        let ns = stream.worker.nowNs - stream.route.attemptStartedNs
        stream.route.clusterCounters?.record(ns, in: ClusterStat.requestTime)
    }

    private func withDecimal<R>(_ value: UInt64, _ body: (ByteSlice) -> R) -> R {
        unsafe withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("twenty bytes are on the stack") }
            var writer = unsafe ByteWriter(start: start, capacity: 20)
            writer.append(decimal: value)
            return body(unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }
}

/// What the router knows of one request.
struct RouterState {
    // Not counted: route and pool live as long as the chain, and a connection says goodbye before it goes.
    unowned(unsafe) var route: Route?
    unowned(unsafe) var pool: HTTPConnectionPool?
    // Of route and pool, at hand: each look at an uncounted object counts it for as long as it takes.
    var clusterCounters: StatsScope?
    var detectsOutliers = false
    /// Where the route counts; 0 for nowhere.
    var routeCell: UInt32 = 0
    var hasRetry = false
    /// 0 for no limit, both.
    var timeoutNs: UInt64 = 0
    var perTryTimeoutNs: UInt64 = 0
    /// The connection that the request is on, or that is being made for it.
    unowned(unsafe) var upstream: UpstreamConnection?
    /// The first of the copies that want the rest of the request. They are there until they are detached.
    unowned(unsafe) var mirror: RequestMirror?
    /// Copies were started, or it was decided that there are none.
    var isMirrored = false
    /// The request's head was written there.
    var isReady = false
    var isPending = false
    var isAttempted = false
    /// Some of the body went upstream: the request cannot be sent again.
    var bodySent = false
    /// All of the body that went upstream, as long as the request can be sent again.
    var keptBody: [UInt8] = []
    var offersTunnel = false
    var isTunnel = false
    /// The one repetition after a connection that was closed while idle.
    var wasRepeated = false
    /// Repetitions because an endpoint refused the request before it looked at it.
    var refusals = 0
    /// What the client of gRPC gives the request altogether; 0 for no limit.
    var deadlineNs: UInt64 = 0
    /// A retry of the policy is under way and counted.
    var isRetry = false
    var retries = 0
    var tried = TriedEndpoints()
    var attemptStartedNs: UInt64 = 0
    /// The time for the response is limited, by the codec or by `routeTimer`.
    var hasDeadline = false
    var routeTimer = TaskTimer.none
    var tryTimer = TaskTimer.none
    /// Why a response that had begun breaks off, as the client is told.
    var breakCause = StreamReset.truncated
    var backOffTimer = TaskTimer.none

    mutating func clear() { self = RouterState() }

    /// The next try goes elsewhere, if there is an elsewhere.
    mutating func exclude(_ endpoint: Int) {
        guard let pool = unsafe pool else { return }
        tried.insert(endpoint)
        let all = 0..<pool.cluster.cluster.endpoints.count
        if all.allSatisfy({ tried.contains($0) }) { tried = TriedEndpoints() }
    }
}

extension BodyLength {
    /// There is no body, or one of no bytes.
    var isEmpty: Bool { self == .none || self == .exactly(0) }
}
