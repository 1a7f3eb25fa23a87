internal import Config
internal import Engine
public import HTTP
internal import Upstream

/// A response on its way from the router, or from a filter, through the filters to the codec.
extension HTTPStream {
    // MARK: Answers of this proxy

    /// Answers from this proxy. Once a response has begun it is cut off instead.
    public func respond(_ response: LocalResponse, flag: ResponseFlag = .none) {
        ByteSlice.withBytes(of: response.body) { body in
            respond(response.status, flag: flag, bytes: body) { headers in
                for field in response.headers {
                    guard let key = HeaderKey(field.name) else { continue }
                    ByteSlice.withBytes(of: field.value) { _ = headers.add(key, $0) }
                }
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

    func respond(
        _ status: HTTPStatus, flag: ResponseFlag, bytes: ByteSlice, _ addHeaders: (inout HeaderTable) -> Void
    ) {
        guard !hot.value.isEnded else { return }
        hot.value.flag = flag
        cancelSubrequests()
        router.abandon(self)
        guard !hot.value.responseStarted else {
            withCodec { $0.abort(self) }
            return
        }
        hot.value.info.isLocal = true
        let use = hot.value.use
        hot.value.isLocalResponse = true
        hot.value.requestFlow = BodyFlow()
        hot.value.responseFlow = BodyFlow()
        ownHead.value.reset()
        ownHead.value.status = status
        ownHead.value.setBodyLength(.exactly(UInt64(bytes.count)))
        addHeaders(&ownHead.value.headers)
        if flag != .none, !settings.useRemoteAddress {
            ownHead.value.headers.set(.xRingwayReason, ByteSlice(flag.label))
        }
        let isGRPC = GRPC.isRequest(request)
        if isGRPC {
            GRPC.makeTrailersOnly(&ownHead.value, for: status, message: bytes)
            hot.value.info.grpcStatus = UInt8(GRPC.status(for: status))
        }
        responseHead(&ownHead.value, isOwn: true)
        if bytes.count > 0, !isGRPC, request.method != .head, !status.neverHasBody, isCurrent(use) {
            responseBody(bytes.withSpan { worker.copy($0) })
        }
        if isCurrent(use) { responseEnd() }
    }

    // MARK: The way to the codec

    /// The final head: passes the route's edits and the filters, and is sent.
    ///
    /// - Parameter isOwn: it is `ownHead`, whose bytes stay where they are; others are good only until this returns
    func responseHead(_ head: inout ResponseHead, isOwn: Bool = false) {
        hot.value.hasResponse = true
        // For filters that look at what is known of the exchange; they may still change it.
        hot.value.status = head.status
        if route.hasResponseEdits { _ = unsafe route.route?.responseHeaders.apply(to: &head.headers) }
        runResponseFilters(&head, isOwn: isOwn, from: 0)
    }

    func responseBody(_ data: consuming Lease) {
        guard hot.value.filters.interests.contains(.responseBody) || hot.value.responseFlow.resting >= 0 else {
            sendBody(data)
            return
        }
        pass(data, .response, from: 0)
    }

    func responseEnd() { passEnd(.response, from: 0) }

    /// Changes the head of a response that a filter has paused, before it is resumed. Does nothing to another one.
    public func changePausedResponse(_ change: (inout ResponseHead) -> Void) {
        guard !hot.value.isEnded, hot.value.responseFlow.resting >= 0 else { return }
        change(&ownHead.value)
    }

    /// Lets the response go on after a filter has paused it, with what was held back.
    public func resumeResponse() {
        guard !hot.value.isEnded else { return }
        let use = hot.value.use
        hot.value.responseFlow.isStopped = false
        let step = hot.value.responseFlow.resting
        hot.value.responseFlow.resting = -1
        release(.response)
        if step >= 0 { runResponseFilters(&ownHead.value, isOwn: true, from: step + 1) }
        if isCurrent(use) { flush(.response) }
        if isCurrent(use) { updateUpstreamReading() }
    }

    /// Steps count from the filter nearest to the endpoint among those that have seen the request.
    private func runResponseFilters(_ head: inout ResponseHead, isOwn: Bool, from first: Int) {
        let use = hot.value.use
        let count = hot.value.filtersPassed
        var step = first
        while step < count {
            switch hot.value.filters[count - 1 - step].onResponseHeaders(self, &head) {
            case .proceed: break
            case .pause:
                guard isCurrent(use) else { return }
                if !isOwn { head.copy(to: &ownHead.value) }
                hot.value.responseFlow.resting = step
                updateUpstreamReading()
                return
            // An answer to an answer would be answered in turn, without end.
            case .respond where hot.value.isLocalResponse: break
            case .respond(let response, let flag):
                // The filters nearer to the endpoint have had their say, and see this answer as well.
                respond(response, flag: flag)
                return
            }
            guard isCurrent(use) else { return }
            step += 1
        }
        sendResponseHead(&head)
    }

    private func sendResponseHead(_ head: inout ResponseHead) {
        hot.value.status = head.status
        hot.value.responseStarted = true
        // From here on both sides may take turns; what stands still is the idle timeout's.
        stopBodyClock()
        head.headers.set(.server, settings.serverName.bytes)
        if !head.headers.contains(.date) { head.headers.add(.date, date.current) }
        if settings.requestID.isSetInResponse || request.headers.contains(.xEnvoyForceTrace),
            let id = request.headers[.xRequestId]
        {
            head.headers.set(.xRequestId, id)
        }
        if let tracing, let trace { tracing.willSendHead(trace, &head.headers) }
        withCodec { $0.sendHead(&head, of: self) }
        accessLogs?.responseHead(self, head.headers)
        tracing?.responseHead(self, head.headers)
        if head.switchesProtocol { startTunnel() }
    }

    private func startTunnel() {
        guard let codec, let upstream = unsafe route.upstream else { return }
        hot.value.info.tunnelBegins(on: connection)
        shrink()
        codec.startTunnel(self, to: upstream)
    }

    // MARK: Back pressure

    /// The client does not take the response as fast as it comes, or does again.
    func clientBlocked(_ isBlocked: Bool) {
        hot.value.isClientBlocked = isBlocked
        updateUpstreamReading()
    }

    /// The endpoint's response is read unless the client does not take it, or a filter does not want it yet.
    func updateUpstreamReading() {
        let resting = hot.value.responseFlow.resting
        let filter = hot.value.filtersPassed - 1 - resting
        let isResting =
            resting >= 0 && !hot.value.filters.interests(at: filter).contains(.responseBody)
        let isPaused = hot.value.isClientBlocked || hot.value.responseFlow.isStopped || isResting
        guard isPaused != hot.value.isUpstreamPaused else { return }
        hot.value.isUpstreamPaused = isPaused
        guard let upstream = unsafe route.upstream else { return }
        if isPaused { upstream.pauseReading(for: self) } else { upstream.resumeReading(for: self) }
    }
}
