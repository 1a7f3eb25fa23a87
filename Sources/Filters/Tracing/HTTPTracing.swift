internal import Config
internal import Engine
internal import HTTP
internal import Upstream

/// Traces the exchanges of a listener on one worker: reads where a request stands in its trace, decides, tells the next
/// service, and leaves a record of what was traced in the worker's ring. Takes no lock and allocates nothing.
package final class HTTPTracing {
    let plan: HTTPTracingPlan
    let worker: Worker
    let counters: StatsScope
    let ring: ByteRing
    let operation: CommandWriter?
    let tags: [(name: [UInt8], writer: CommandWriter)]
    let upstreamSpans: Bool
    /// A route may differ, so it has to be known before the decision.
    let hasRoutes: Bool
    var clock = WallClock()
    /// Late traces of this second.
    var lateSecond: UInt64 = 0
    var lateCount = 0
    let ways = SpanWayMemory()
    private let formats: [TraceFormat]
    private let usesW3C: Bool
    private let usesSkyWalking: Bool
    let listener: RouteText
    /// Which spans are exported although they were not sampled.
    let late: LateTracesConfiguration
    /// What SkyWalking is told of this proxy.
    private let service: RouteText
    private let instance: RouteText
    private let memory = RouteMemory()
    /// X-Ray's ids begin with the time.
    private let datesIDs: Bool
    /// Nobody could be told more than 64 bits of an id.
    private let hasShortIDs: Bool
    private var random: SplitMix64
    private let responseFields: NotedFields
    private let trailerFields: NotedFields

    init(plan: HTTPTracingPlan, worker: Worker, counters: StatsScope) {
        self.plan = plan
        self.worker = worker
        self.counters = counters
        ring = plan.rings.rings[worker.index]
        operation = plan.operation.map(CommandWriter.init)
        tags = plan.tags.map { ($0.name, CommandWriter($0.format)) }
        upstreamSpans = plan.configuration.upstreamSpans
        hasRoutes = !plan.routes.isEmpty
        formats = plan.configuration.propagation
        listener = memory.store(plan.listener)
        late = plan.configuration.late
        service = memory.store(plan.source.serviceName)
        instance = memory.store(plan.source.nodeID)
        datesIDs = formats.contains(.xray)
        hasShortIDs = formats == [.openTracing]
        usesSkyWalking = formats.contains(.skyWalking)
        usesW3C = formats.contains(.w3c)
        responseFields = plan.tags.reduce(into: NotedFields()) { $0.formUnion($1.format.responseFields) }
        trailerFields = plan.tags.reduce(into: NotedFields()) { $0.formUnion($1.format.trailerFields) }
        var system = SystemRandomNumberGenerator()
        random = SplitMix64(seed: system.next())
        counters.add(to: TracingStat.active)
    }

    deinit { counters.subtract(from: TracingStat.active) }

    // MARK: The request

    /// The head of a request is complete and in order.
    ///
    /// - Parameter route: where it would go now, when routes differ
    func begin(_ stream: HTTPStream, _ trace: Stable<TraceState>, _ origin: RequestOrigin, _ route: Route?) {
        stream.askForAddresses()
        let own = route.flatMap { $0.index < plan.routes.count ? $0.index : nil }
        trace.value.route = Int32(own ?? -1)
        let caller = plan.caller(of: stream.request.headers)
        let decided = caller?.sampled ?? plan.decision(of: stream.request.headers)
        // Drawn for whom it decides about.
        let isClients = stream.request.headers.contains(.xClientTraceId)
        let needsChance = isClients || !stream.request.headers.contains(.xRequestId)
        let chance = needsChance ? UInt32(random.next() % 1_000_000) : 0
        let sampling = own.flatMap { plan.routes[$0]?.rates.current } ?? plan.rates.current
        let question = plan.question(
            stream.request.headers, decided, origin, chance: chance, readsID: plan.isByChance(sampling))
        let reason = plan.answer(question, sampling, stream.request, nowNs: worker.nowNs)
        trace.value.isDecided = true
        trace.value.reason = reason
        counters.add(to: TracingStat(reason))
        if plan.packsReason { TraceRequestID.pack(reason, into: &stream.request) }
        var context = caller ?? newTrace(stream)
        context.parentID = context.spanID
        context.spanID = newID()
        let isDebug = decided == .debug && origin != .outside
        context.sampled = reason == .notTraced ? .no : isDebug ? .debug : .yes
        trace.value.context = context
        if let name = stream.request.headers[.xEnvoyDecoratorOperation] {
            trace.value.decoratedName = name
            stream.request.headers.remove(.xEnvoyDecoratorOperation)
        }
        if let own, let route = plan.routes[own], route.propagatesOperation, !route.operation.isEmpty {
            ByteSlice.withBytes(of: route.operation) { _ = stream.request.headers.set(.xEnvoyDecoratorOperation, $0) }
            // A client that has a name for it knows better, and one from outside is told nothing.
            trace.value.tellsClient = origin != .outside && trace.value.decoratedName.isEmpty
        }
        // A state that belongs to another trace, or to none.
        if usesW3C, stream.request.headers.contains(.tracestate),
            caller == nil || W3CTraceContext.extract(stream.request.headers) != caller
        {
            stream.request.headers.remove(.tracestate)
        }
        // What SkyWalking's header says of another trace than the one that goes on is nobody's caller here.
        if usesSkyWalking, let caller, let told = SkyWalkingContext.extract(stream.request.headers),
            (told.traceHigh, told.traceLow) == (caller.traceHigh, caller.traceLow)
        {
            trace.value.skyWalking = stream.request.headers[SkyWalkingContext.name] ?? .empty
        }
        inject(context, into: stream, trace, spanIndex: 0)
    }

    private func newTrace(_ stream: HTTPStream) -> TraceContext {
        if hasShortIDs { return TraceContext(traceHigh: 0, traceLow: newID(), spanID: 0) }
        var high = random.next()
        if datesIDs {
            let seconds = clock.epochNs(of: worker.nowNs, nowNs: worker.nowNs) / 1_000_000_000
            high = seconds << 32 | high & 0xFFFF_FFFF
        }
        return TraceContext(traceHigh: high, traceLow: newID(), spanID: 0)
    }

    private func newID() -> UInt64 { max(random.next(), 1) }

    private func inject(
        _ context: TraceContext, into stream: HTTPStream, _ trace: Stable<TraceState>, spanIndex: Int
    ) {
        var segment = SkyWalkingSegment()
        if usesSkyWalking {
            segment = SkyWalkingSegment(
                serverSpanID: trace.value.context.spanID, spanIndex: spanIndex, caller: trace.value.skyWalking,
                service: service.bytes, instance: instance.bytes, endpoint: stream.request.path,
                target: stream.request.authority)
        }
        // By index, because an array is counted while it is iterated.
        for index in formats.indices { formats[index].inject(context, segment, into: &stream.request.headers) }
    }

    /// It is a health check, which leaves no span however it ends.
    func leaveOut(_ trace: Stable<TraceState>) {
        trace.value.isLeftOut = true
        counters.add(to: TracingStat.healthCheck)
    }

    // MARK: Tries

    /// The router is about to try an endpoint.
    func tryBegins(_ stream: HTTPStream, _ trace: Stable<TraceState>) {
        guard upstreamSpans else { return }
        tryEnds(stream, trace, failed: true)
        trace.value.beginTry(spanID: newID(), nowNs: worker.nowNs)
    }

    /// The head of the request is about to leave for the endpoint.
    func willWrite(_ stream: HTTPStream, _ trace: Stable<TraceState>) {
        let current = trace.value.currentTry
        guard upstreamSpans, current >= 0 else { return }
        var context = trace.value.context
        context.parentID = context.spanID
        context.spanID = trace.value.tries[current].spanID
        inject(context, into: stream, trace, spanIndex: current + 1)
    }

    /// The endpoint that is tried has begun to answer.
    func upstreamResponse(_ stream: HTTPStream, _ trace: Stable<TraceState>, _ head: borrowing ResponseHead) {
        let current = trace.value.currentTry
        if current >= 0 { trace.value.tries[current].status = head.status.rawValue }
    }

    /// The current try came to its end. Does nothing without one.
    func tryEnds(_ stream: HTTPStream, _ trace: Stable<TraceState>, failed: Bool) {
        trace.value.endTry(endpoint: stream.hot.value.info.endpoint, nowNs: worker.nowNs, failed: failed)
    }

    // MARK: The response

    /// The final head is about to leave for the client. The endpoint may have a name for the span of the try, which is
    /// for this proxy alone; the client may be told one in turn.
    func willSendHead(_ trace: Stable<TraceState>, _ headers: inout HeaderTable) {
        if let name = headers[.xEnvoyDecoratorOperation] {
            trace.value.tryName.set(name)
            headers.remove(.xEnvoyDecoratorOperation)
        }
        guard trace.value.tellsClient, let route = plan.routes[Int(trace.value.route)] else { return }
        ByteSlice.withBytes(of: route.operation) { _ = headers.set(.xEnvoyDecoratorOperation, $0) }
    }

    /// The final head is on its way to the client.
    func responseHead(_ stream: HTTPStream, _ headers: borrowing HeaderTable) {
        if !responseFields.isEmpty { stream.note(.response, responseFields, of: headers) }
    }

    func responseTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        if !trailerFields.isEmpty { stream.note(.trailer, trailerFields, of: fields) }
    }
}
