internal import Engine
internal import HTTP

/// One direction of a message, behind its head, on its way through the filters.
///
/// The way is counted in steps: one for each filter in the order in which this direction passes them, and one behind
/// the last, which leads to the router or to the codec.
struct BodyFlow {
    enum Direction { case request, response }

    /// The step of the filter at which the head was paused; -1 when it was not.
    var resting = -1
    /// A filter wants no more for now.
    var isStopped = false
    /// What is held back, by step; empty as long as nothing is.
    var held: [HeldBody?] = []
    var heldBytes = 0
}

/// What waits at one step.
///
/// Bytes are copied: a receive buffer that waits would be missed by all connections of the worker, and its few bytes
/// may be all that a slow peer sent.
final class HeldBody {
    var bytes: [UInt8] = []
    var trailers: HeaderTable?
    var hasEnd = false
    /// The filter has said so, and has not let go since.
    var isKept = true
}

extension HTTPStream {
    private static let pieceBytes = 65_536

    /// Hands a piece on from `first`, as far as it may go.
    func pass(_ data: consuming Lease, _ direction: BodyFlow.Direction, from first: Int) {
        let use = hot.value.use
        var data = data
        var step = first
        while step < steps(direction) {
            if wantsBody(direction, at: step) {
                let status = bodyHook(direction, at: step, &data)
                guard isCurrent(use) else { return worker.discard(data) }
                switch status {
                case .proceed: letGo(direction, at: step)
                case .hold: return hold(data, direction, at: step)
                case .pause:
                    stop(direction)
                    return hold(data, direction, at: step)
                case .respond(let response, let flag):
                    worker.discard(data)
                    return respond(response, flag: flag)
                }
                guard isCurrent(use) else { return worker.discard(data) }
            }
            guard passes(direction, step) else { return hold(data, direction, at: step, isKept: false) }
            step += 1
        }
        guard data.count > 0 else { return worker.discard(data) }
        switch direction {
        case .request:
            guard route.isReady else { return hold(data, direction, at: step, isKept: false) }
            router.requestBody(self, data)
        case .response:
            sendBody(data)
        }
    }

    func pass(_ trailers: inout HeaderTable, _ direction: BodyFlow.Direction, from first: Int) {
        let use = hot.value.use
        var step = first
        while step < steps(direction) {
            let index = filterIndex(direction, step)
            if hot.value.filters.interests(at: index).contains(.trailers) {
                let filter = hot.value.filters[index]
                switch direction {
                case .request: filter.onRequestTrailers(self, &trailers)
                case .response: filter.onResponseTrailers(self, &trailers)
                }
                guard isCurrent(use) else { return }
            }
            guard passes(direction, step) else {
                heldBody(direction, step).trailers = trailers.copy()
                return
            }
            step += 1
        }
        switch direction {
        case .request where !route.isReady: heldBody(direction, step).trailers = trailers.copy()
        case .request: router.requestTrailers(self, trailers)
        case .response:
            accessLogs?.responseTrailers(self, trailers)
            if let codec { codec.sendTrailers(trailers, of: self) }
        }
    }

    func passEnd(_ direction: BodyFlow.Direction, from first: Int) {
        let use = hot.value.use
        var step = first
        while step < steps(direction) {
            if wantsBody(direction, at: step) {
                let filter = hot.value.filters[filterIndex(direction, step)]
                let status = direction == .request ? filter.onRequestEnd(self) : filter.onResponseEnd(self)
                guard isCurrent(use) else { return }
                switch status {
                case .proceed: letGo(direction, at: step)
                case .hold, .pause:
                    let held = heldBody(direction, step)
                    held.hasEnd = true
                    held.isKept = true
                    return
                case .respond(let response, let flag): return respond(response, flag: flag)
                }
                guard isCurrent(use) else { return }
            }
            guard passes(direction, step) else {
                heldBody(direction, step).hasEnd = true
                return
            }
            step += 1
        }
        switch direction {
        case .request where !route.isReady && !hot.value.requestFlow.held.isEmpty:
            heldBody(direction, step).hasEnd = true
        case .request: router.requestEnd(self)
        case .response: withCodec { $0.sendEnd(of: self) }
        }
    }

    // MARK: What filters add

    /// Adds to the request's body, behind what `filter` has seen of it. Only from its `onRequestBody` and
    /// `onRequestEnd`; a body of known length grows beyond it unless `RequestHead.forgetBodyLength` was called.
    public func appendToRequestBody(_ bytes: RawSpan, by filter: HTTPFilter) {
        append(bytes, .request, behind: filter.index)
    }

    /// The same for the response, from `onResponseBody`, `onResponseTrailers` and `onResponseEnd`, and
    /// `ResponseHead.forgetBodyLength`.
    public func appendToResponseBody(_ bytes: RawSpan, by filter: HTTPFilter) {
        append(bytes, .response, behind: hot.value.filtersPassed - 1 - filter.index)
    }

    private func append(_ bytes: RawSpan, _ direction: BodyFlow.Direction, behind step: Int) {
        guard !hot.value.isEnded, bytes.byteCount > 0 else { return }
        let data = worker.copy(bytes)
        if passes(direction, step) {
            pass(data, direction, from: step + 1)
        } else {
            hold(data, direction, at: step, isKept: false)
        }
    }

    // MARK: What is held

    /// No filter insists on what it holds any more.
    func release(_ direction: BodyFlow.Direction) {
        for held in flow(direction).held { held?.isKept = false }
    }

    /// Hands on what is held, from the end of the way to its beginning, so that the order stays.
    func flush(_ direction: BodyFlow.Direction) {
        let use = hot.value.use
        var step = flow(direction).held.count - 1
        while step >= 0, isCurrent(use), step < flow(direction).held.count {
            if let held = flow(direction).held[step], !held.isKept, !isResting(direction, step),
                step < steps(direction) || direction == .response || route.isReady
            {
                take(direction, step)
                handOn(held, direction, from: min(step + 1, steps(direction)), use)
            }
            step -= 1
        }
    }

    private func handOn(_ held: HeldBody, _ direction: BodyFlow.Direction, from step: Int, _ use: UInt64) {
        ByteSlice.withBytes(of: held.bytes) { bytes in
            var offset = 0
            while offset < bytes.count, isCurrent(use) {
                let end = min(offset + Self.pieceBytes, bytes.count)
                pass(bytes[offset..<end].withSpan { worker.copy($0) }, direction, from: step)
                offset = end
            }
        }
        guard isCurrent(use) else { return }
        if var trailers = held.trailers.take() { pass(&trailers, direction, from: step) }
        if held.hasEnd, isCurrent(use) { passEnd(direction, from: step) }
    }

    /// A filter has let a later piece go, and with it what it held before.
    private func letGo(_ direction: BodyFlow.Direction, at step: Int) {
        guard step < flow(direction).held.count, let held = flow(direction).held[step] else { return }
        held.isKept = false
        guard !isResting(direction, step) else { return }
        take(direction, step)
        handOn(held, direction, from: step + 1, hot.value.use)
    }

    private func take(_ direction: BodyFlow.Direction, _ step: Int) {
        let bytes = flow(direction).held[step]?.bytes.count ?? 0
        withFlow(direction) {
            $0.held[step] = nil
            $0.heldBytes -= bytes
        }
    }

    private func hold(
        _ data: consuming Lease, _ direction: BodyFlow.Direction, at step: Int, isKept: Bool = true
    ) {
        let held = heldBody(direction, step)
        if isKept { held.isKept = true }
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe held.bytes.append(contentsOf: $0) } }
        let count = data.count
        worker.discard(data)
        withFlow(direction) { $0.heldBytes += count }
        guard flow(direction).heldBytes > settings.bufferBytesMax else { return }
        switch direction {
        case .request:
            respond(.contentTooLarge, flag: .downstreamProtocolError, text: "the request does not fit in its buffer\n")
        case .response:
            respond(.internalServerError, flag: .none, text: "the response does not fit in its buffer\n")
        }
    }

    private func heldBody(_ direction: BodyFlow.Direction, _ step: Int) -> HeldBody {
        if let held = step < flow(direction).held.count ? flow(direction).held[step] : nil { return held }
        let held = HeldBody()
        held.isKept = false
        withFlow(direction) {
            while $0.held.count <= step { $0.held.append(nil) }
            $0.held[step] = held
        }
        return held
    }

    // MARK: Directions

    private func flow(_ direction: BodyFlow.Direction) -> BodyFlow {
        direction == .request ? hot.value.requestFlow : hot.value.responseFlow
    }

    private func withFlow(_ direction: BodyFlow.Direction, _ body: (inout BodyFlow) -> Void) {
        if direction == .request { body(&hot.value.requestFlow) } else { body(&hot.value.responseFlow) }
    }

    /// Filters on the way. A response passes those that have seen the request.
    private func steps(_ direction: BodyFlow.Direction) -> Int {
        direction == .request ? hot.value.filters.count : hot.value.filtersPassed
    }

    private func filterIndex(_ direction: BodyFlow.Direction, _ step: Int) -> Int {
        direction == .request ? step : hot.value.filtersPassed - 1 - step
    }

    private func wantsBody(_ direction: BodyFlow.Direction, at step: Int) -> Bool {
        let interests = hot.value.filters.interests(at: filterIndex(direction, step))
        return interests.contains(direction == .request ? .requestBody : .responseBody)
    }

    private func bodyHook(_ direction: BodyFlow.Direction, at step: Int, _ data: inout Lease) -> HTTPFilter.BodyStatus {
        let filter = hot.value.filters[filterIndex(direction, step)]
        return direction == .request ? filter.onRequestBody(self, &data) : filter.onResponseBody(self, &data)
    }

    private func isResting(_ direction: BodyFlow.Direction, _ step: Int) -> Bool { flow(direction).resting == step }

    /// Nothing keeps what comes behind from passing this step.
    private func passes(_ direction: BodyFlow.Direction, _ step: Int) -> Bool {
        if isResting(direction, step) { return false }
        return step >= flow(direction).held.count || flow(direction).held[step] == nil
    }

    private func stop(_ direction: BodyFlow.Direction) {
        withFlow(direction) { $0.isStopped = true }
        if direction == .response { updateUpstreamReading() } else { updateBodyClock() }
    }
}
