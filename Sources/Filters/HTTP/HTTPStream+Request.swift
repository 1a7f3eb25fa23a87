internal import Engine
internal import HTTP

/// A request on its way from the codec through the filters to the router.
extension HTTPStream {
    // MARK: From the codec

    /// The head is complete. What follows, if anything, comes with `requestBody`, `requestTrailers` and `requestEnd`.
    ///
    /// - Parameter isComplete: nothing follows
    func headArrived(isComplete: Bool) {
        cancelRequestTimer()
        if isComplete {
            hot.value.requestEnded = true
            hot.value.info.requestEndedNs = worker.nowNs
        } else {
            startBodyClock()
        }
        if let normalizer = settings.normalizer, let refusal = request.normalizePath(normalizer) {
            counters.add(to: HTTPStat.refused(refusal))
            hot.value.info.details = refusal.label
            respond(.badRequest, flag: .downstreamProtocolError, text: "the path is not valid\n")
            return
        }
        var origin = RequestOrigin.behindProxy
        withCodec {
            $0.setIdleTimeout(ns: settings.streamIdleTimeoutNs, of: self)
            origin = $0.withManager { ForwardingHeaders.apply(to: &request, on: $0, settings, requestIDs) }
        }
        var route: Route?
        if hasRouteFilters || tracing?.hasRoutes ?? false {
            // Looked for again behind the filters, which may change what requests are routed by.
            route = router.findRoute(self)
            if let route { unsafe hot.value.filters = chain.filters(of: route).list }
        }
        trace { $0.begin(self, $1, origin, route) }
        runRequestFilters()
    }

    /// The codec may hand on the body that has arrived; otherwise it is left in the client's socket.
    var wantsRequestBody: Bool {
        if hot.value.requestFlow.isStopped { return false }
        if hot.value.requestFlow.resting >= 0 {
            return hot.value.filters.interests(at: hot.value.requestFlow.resting).contains(.requestBody)
        }
        return route.isReady
    }

    func requestBody(_ data: consuming Lease) {
        worker.charge(route.routeCell)
        hot.value.info.bytesReceived &+= UInt64(data.count)
        if hot.value.bodyClock.isOn {
            hot.value.bodyClock.received(data.count, settings.requestBodyLimit, nowNs: worker.nowNs)
        }
        if hot.value.filters.interests.contains(.requestBody) {
            pass(data, .request, from: 0)
        } else {
            router.requestBody(self, data)
        }
    }

    func requestTrailers(_ fields: inout HeaderTable) { pass(&fields, .request, from: 0) }

    func requestEnd() {
        stopBodyClock()
        hot.value.requestEnded = true
        hot.value.info.requestEndedNs = worker.nowNs
        passEnd(.request, from: 0)
    }

    /// Some of the body, or its end, waits at a filter or for the router.
    var holdsRequestBody: Bool { hot.value.requestFlow.held.contains { $0 != nil } }

    /// The router can send the body on.
    func upstreamReady() {
        let use = hot.value.use
        updateBodyClock()
        if !hot.value.requestFlow.held.isEmpty { flush(.request) }
        if isCurrent(use), !hot.value.requestEnded { withCodec { $0.requestBodyWanted(by: self) } }
    }

    // MARK: Filters

    /// Lets the request go on after a filter has paused it, with what was held back.
    public func resumeRequest() {
        guard !hot.value.isEnded else { return }
        let use = hot.value.use
        hot.value.requestFlow.isStopped = false
        let wasResting = hot.value.requestFlow.resting >= 0
        hot.value.requestFlow.resting = -1
        release(.request)
        if wasResting { runRequestFilters() }
        if isCurrent(use) { updateBodyClock() }
        if isCurrent(use) { flush(.request) }
        if isCurrent(use), wantsRequestBody { withCodec { $0.requestBodyWanted(by: self) } }
    }

    /// Tells a client that waits for it to send the body (100, RFC 9110 §10.1.1), for filters that want the body before
    /// the request goes on. The endpoint is not asked for it again.
    public func sendContinue() {
        guard request.expectsContinue, !hot.value.isEnded, !hot.value.hasResponse else { return }
        request.expectationMet()
        ownHead.value.reset()
        ownHead.value.status = .continue
        withCodec { $0.sendInformational(&ownHead.value, of: self) }
    }

    /// Runs the head through the filters that it has not passed, and then to the router.
    private func runRequestFilters() {
        let use = hot.value.use
        while hot.value.filtersPassed < hot.value.filters.count {
            let index = hot.value.filtersPassed
            hot.value.filtersPassed += 1
            switch hot.value.filters[index].onRequestHeaders(self) {
            case .proceed: break
            case .pause:
                guard isCurrent(use), !hot.value.hasResponse else { return }
                hot.value.requestFlow.resting = index
                updateBodyClock()
                return
            case .respond(let response, let flag):
                respond(response, flag: flag)
                return
            }
            if !isCurrent(use) || hot.value.hasResponse { return }
        }
        router.route(self)
    }
}
