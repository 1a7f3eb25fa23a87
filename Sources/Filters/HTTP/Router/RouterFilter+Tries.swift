internal import Engine
internal import HTTP
internal import Upstream

/// How a try begins, and what follows when it comes to nothing.
extension RouterFilter {
    func attempt(_ stream: HTTPStream, fresh: Bool) {
        if let pool = unsafe stream.route.pool { attempt(stream, on: pool, fresh: fresh) }
    }

    func attempt(_ stream: HTTPStream, on pool: HTTPConnectionPool, fresh: Bool) {
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
            stream.hot.value.info.details = "upstream_reset_after_response_started{connection_termination}"
            stream.respond(.badGateway, flag: .upstreamConnectionTermination, text: "the upstream's answer broke off\n")
            return
        }
        if case .closedBeforeResponse(wasReused: true) = reason, mayRepeat(stream) {
            // RFC 9110 §9.2.2: the endpoint closed an idle connection while the request was on its way.
            stream.route.wasRepeated = true
            attempt(stream, fresh: true)
            return
        }
        if case .refused(let tookOthers) = reason, mayRepeat(stream, isProcessed: false),
            stream.route.refusals < (tookOthers ? Self.leftOutMax : Self.refusalsMax)
        {
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

    /// Gives up what is under way upstream. The stream may be answered or ended then.
    func abandon(_ stream: HTTPStream) {
        detachMirrors(stream)
        cancelRouteTimer(stream)
        cancelTryTimer(stream)
        if stream.route.backOffTimer.isSet {
            stream.worker.cancel(stream.route.backOffTimer)
            stream.route.backOffTimer = .none
        }
        if stream.route.isPending || stream.route.isRetry { leavePool(stream) }
        stream.route.isPending = false
        if unsafe stream.route.upstream != nil { cancelUpstream(stream) }
        stream.route.isReady = false
    }

    /// Breaks off the try that is under way.
    func cancelUpstream(_ stream: HTTPStream) {
        stream.route.clusterCounters?.add(to: ClusterStat.resetsSent)
        unsafe stream.route.upstream?.cancel(stream)
        unsafe stream.route.upstream = nil
    }

    private func leavePool(_ stream: HTTPStream) {
        guard let pool = unsafe stream.route.pool else { return }
        if stream.route.isPending { pool.withdraw(stream) }
        if stream.route.isRetry { endRetry(stream, pool, .retriesFailed) }
    }
}
