internal import Engine
internal import HTTP
internal import Upstream

/// How long a request may take: the route's time for all of it, and that for one try.
extension RouterFilter {
    func startRouteTimer(_ stream: HTTPStream) {
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

    func cancelRouteTimer(_ stream: HTTPStream) {
        guard stream.route.hasDeadline else { return }
        stream.route.hasDeadline = false
        if stream.route.routeTimer.isSet {
            stream.worker.cancel(stream.route.routeTimer)
            stream.route.routeTimer = .none
        } else {
            stream.withCodec { _ = $0.setDeadline(atNs: .max, of: stream) }
        }
    }

    func startTryTimer(_ stream: HTTPStream) {
        let ns = stream.route.perTryTimeoutNs
        guard ns > 0, !stream.route.tryTimer.isSet else { return }
        stream.route.tryTimer = stream.worker.schedule(stream, tag: StreamTimer.tried.rawValue, afterNs: ns)
    }

    func cancelTryTimer(_ stream: HTTPStream) {
        guard stream.route.tryTimer.isSet else { return }
        stream.worker.cancel(stream.route.tryTimer)
        stream.route.tryTimer = .none
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
        unsafe stream.route.pool?.cluster.counters.add(to: ClusterStat.triesTimedOut)
        note(stream, isFailure: true)
        let endpoint = unsafe stream.route.upstream?.endpoint
        if unsafe stream.route.upstream != nil { cancelUpstream(stream) }
        stream.route.isReady = false
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
}
