internal import Engine
internal import HTTP

/// How long a client may take for its request, and what follows when an exchange takes too long.
extension HTTPStream {
    /// The time for the request runs out unless `headArrived` comes before.
    func startRequestTimer(afterNs ns: UInt64) {
        guard !hot.value.requestTimer.isSet, ns > 0 else { return }
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
        guard isWaiting, !hot.value.requestTimer.isSet else { return }
        // Bytes that come put the end off: the timer looks for that when it fires.
        let leftNs = hot.value.bodyClock.leftNs(atNs: worker.nowNs)
        hot.value.requestTimer = worker.schedule(self, tag: StreamTimer.requestBody.rawValue, afterNs: leftNs)
    }

    func stopBodyClock() {
        guard hot.value.bodyClock.isOn else { return }
        hot.value.bodyClock.stop()
        cancelRequestTimer()
    }

    func bodyTimerFired() {
        withCodec { $0.accountForTransfer(of: self) }
        if hot.value.bodyClock.leftNs(atNs: worker.nowNs) > 0 { return updateBodyClock() }
        counters.add(to: HTTPStat.requestBodyTimeouts)
        hot.value.info.details = "request_body_timeout"
        withCodec { $0.requestTimedOut(self) }
        respond(.requestTimeout, flag: .durationTimeout, text: "the request's body comes too slowly\n")
    }

    func cancelRequestTimer() {
        guard hot.value.requestTimer.isSet else { return }
        worker.cancel(hot.value.requestTimer)
        hot.value.requestTimer = .none
    }

    /// Nothing came for too long: the client is told if it can still be. False when it cannot.
    func idleTimedOut() -> Bool {
        flag = .streamIdleTimeout
        counters.add(to: HTTPStat.streamIdleTimeouts)
        guard !hot.value.responseStarted, !route.isTunnel else { return false }
        respond(
            hot.value.requestEnded ? .gatewayTimeout : .requestTimeout, flag: .streamIdleTimeout,
            text: "nothing came for too long\n")
        return true
    }

    /// The time of the route is over.
    func deadlinePassed() {
        guard !hot.value.isEnded, route.hasDeadline else { return }
        worker.charge(route.routeCell)
        router.timerFired(self, .route)
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
