package import Config
package import Engine
package import HTTP

/// `tracing` of a listener, compiled: shared by all workers. An object, because a value of its size is copied for each
/// question.
package final class HTTPTracingPlan: Sendable {
    /// What a route has different.
    struct Route: Sendable {
        let rates: TraceRates
        let operation: [UInt8]
        let propagatesOperation: Bool
    }

    struct Tag: Sendable {
        let name: [UInt8]
        let format: CommandFormat
    }

    let configuration: HTTPTracingConfiguration
    let listener: String
    let source: SpanSource
    let packsReason: Bool
    /// Of exporters, one bit each.
    let exporters: UInt32
    let rates: TraceRates
    /// By the number of the route; shorter where the last ones have nothing different.
    let routes: [Route?]
    /// nil where chance is the same for all requests.
    let rules: TraceRules?
    let operation: CommandFormat?
    let tags: [Tag]
    /// Whose decisions may stand without a trace.
    private let readsB3: Bool
    let rings: SpanRings
    package let stats: StatsRegistry.Range

    /// nil after everything that is wrong with the formats was reported.
    ///
    /// - Parameters:
    ///   - exporters: one bit each
    ///   - rates: gives the shares of a route, or with nil those of the listener, which may differ from the configured
    package init?(
        _ configuration: HTTPTracingConfiguration, of listener: ListenerConfiguration, _ http: HTTPConfiguration,
        source: SpanSource, exporters: UInt32, rings: SpanRings, stats: StatsRegistry.Range, _ diagnostics: Diagnostics,
        rates: (RouteConfiguration?) -> TraceRates
    ) {
        let before = diagnostics.reportCount
        self.configuration = configuration
        self.listener = listener.name
        self.source = source
        self.exporters = exporters
        self.rings = rings
        self.stats = stats
        packsReason = http.requestID.packsTraceReason
        readsB3 = configuration.propagation.contains { $0 == .b3 || $0 == .b3Single }
        self.rates = rates(nil)
        // Numbered as in the route table: in the order of the file.
        var routes = http.hosts.flatMap(\.routes).map { route in
            route.tracing.map {
                Route(
                    rates: rates(route), operation: Array(($0.operation ?? "").utf8),
                    propagatesOperation: $0.propagatesOperation)
            }
        }
        while case .some(.none) = routes.last { routes.removeLast() }
        self.routes = routes
        rules = configuration.samplingRules.flatMap { file in
            TraceSamplingRules.load(path: file.text, at: file.origin.position, diagnostics).map(TraceRules.init)
        }
        operation = configuration.operation.flatMap { Self.format($0, diagnostics) }
        tags = configuration.tags.compactMap { tag in
            Self.format(tag.value, diagnostics).map { Tag(name: Array(tag.name.utf8), format: $0) }
        }
        if diagnostics.reportCount > before { return nil }
    }

    private static func format(_ text: PlacedText, _ diagnostics: Diagnostics) -> CommandFormat? {
        do throws(ConfigProblem) {
            return try CommandFormat(headerValue: text.text)
        } catch {
            diagnostics.report(
                "a format is \(text.text.quotedForMessage)" + (error.detail.map { ", \($0)" } ?? ""),
                expected: CommandFormat.expectation, suggestion: error.suggestion, at: text.origin.position)
            return nil
        }
    }

    /// Spans go to the same exporters, under the same name. Everything else is in the configuration of the listener.
    package func isEquivalent(to other: HTTPTracingPlan) -> Bool {
        exporters == other.exporters && source == other.source && rules?.source == other.rules?.source
    }

    // MARK: Requests

    /// Where a request stands, as the first format says that it has.
    func caller(of headers: borrowing HeaderTable) -> TraceContext? {
        // By index, because an array is counted while it is iterated.
        for index in configuration.propagation.indices {
            if let context = configuration.propagation[index].extract(headers) { return context }
        }
        return nil
    }

    /// What a caller decided about a trace that it does not name, or nobody can read.
    func decision(of headers: borrowing HeaderTable) -> TraceContext.Sampled {
        readsB3 ? B3TraceContext.decision(headers) : .undecided
    }

    /// What the decision about a request rests on, once its headers are in order.
    ///
    /// - Parameters:
    ///   - decided: what the headers of the trace say, whoever sent them
    ///   - chance: 0 to 999,999, drawn for this request
    ///   - readsID: false where the number of the request's id makes no difference
    func question(
        _ headers: borrowing HeaderTable, _ decided: TraceContext.Sampled, _ origin: RequestOrigin, chance: UInt32,
        readsID: Bool = true
    ) -> TraceQuestion {
        var question = TraceQuestion(pivot: chance, chance: chance)
        let id = headers[.xRequestId]
        if readsID, let id {
            question.pivot = (packsReason ? TraceRequestID.packedPivot(of: id) : nil) ?? TraceRequestID.pivot(of: id)
        }
        question.hasClientID = headers.contains(.xClientTraceId)
        // Of others it was removed.
        question.isForced = headers.contains(.xEnvoyForceTrace)
        if packsReason, let known = id.flatMap(TraceRequestID.packedReason), known != .notTraced {
            question.caller = .yes(known)
        } else if origin != .outside, decided != .undecided {
            question.caller = decided == .no ? .no : .yes(.parent)
        }
        return question
    }

    /// Whether of two requests that are alike one may be traced and the other not.
    func isByChance(_ sampling: TraceSampling) -> Bool {
        rules != nil || sampling.random.isPartial || sampling.overall.isPartial
    }

    /// The answer, where a manifest may have a say.
    func answer(
        _ question: TraceQuestion, _ sampling: TraceSampling, _ head: borrowing RequestHead, nowNs: UInt64
    ) -> TraceReason {
        guard let rules else { return question.answer(sampling) }
        // Whoever asks for a trace comes first; chance is what is left.
        let asked = question.answer(TraceSampling(random: .zero, client: sampling.client, overall: sampling.overall))
        guard asked == .notTraced, question.caller == .undecided,
            question.pivot < sampling.overall.partsPerMillion,
            rules.takes(head, pivot: question.pivot, nowNs: nowNs)
        else { return asked }
        return .sampled
    }

    /// Whether a request would be traced and why, in words.
    ///
    /// - Parameters:
    ///   - route: its number
    ///   - isEdge: clients of the listener are strangers
    package func explain(_ headers: borrowing HeaderTable, route: Int, isEdge: Bool) -> String {
        let sampling = ((route < routes.count ? routes[route] : nil)?.rates ?? rates).current
        let decided = caller(of: headers)?.sampled ?? decision(of: headers)
        var question = question(headers, decided, isEdge ? .outside : .behindProxy, chance: 0)
        let replacesID = isEdge || !headers.contains(.xRequestId)
        // Only an internal client may force a trace, and nobody knows here who asks.
        question.isForced = false
        if replacesID, question.caller == .undecided, !question.hasClientID {
            let share = rules == nil ? "\(sampling.random) of such requests, by their ids" : "by the sampling rules"
            return "\(share); \(sampling.overall) at most"
        }
        if rules != nil, question.caller == .undecided, !question.hasClientID { return "by the sampling rules" }
        let number = "its id has the number \(question.pivot) of 1000000"
        return switch question.answer(sampling) {
        case .notTraced where question.caller == .no: "no, its caller decided against it"
        case .notTraced: "no, \(number), sampling is \(sampling.random), overall \(sampling.overall)"
        case .sampled: "yes, \(number), sampling is \(sampling.random)"
        case .parent: "yes, its caller traces it"
        case .clientForced: "yes, for x-client-trace-id, with a chance of \(sampling.client)"
        case .serviceForced, .late: "yes, a service in front asks for it"
        }
    }

    /// The same on one worker.
    ///
    /// - Parameter counters: `TracingStat`, on this worker
    package func makeTracing(on worker: Worker, counters: StatsScope) -> HTTPTracing {
        HTTPTracing(plan: self, worker: worker, counters: counters)
    }
}

extension Percent {
    /// Neither none nor all.
    fileprivate var isPartial: Bool { partsPerMillion > 0 && partsPerMillion < 1_000_000 }
}

/// Who the spans of this process are of.
package struct SpanSource: Sendable, Equatable {
    package let serviceName: String
    package let nodeID: String

    package init(serviceName: String, nodeID: String) {
        self.serviceName = serviceName
        self.nodeID = nodeID
    }
}

/// Where workers leave the spans of finished exchanges: a ring for each, which the tracing thread empties. One for the
/// process.
package final class SpanRings: Sendable {
    /// By worker.
    package let rings: [ByteRing]

    /// Bytes of a ring. At 450 bytes a span and 60,000 spans a second, 27 MB/s, it holds what comes in 300 ms.
    private static let ringBytes = 8 << 20
    /// So much may come before the tracing thread looks for the first time, 75 ms at that rate. As long as it looks
    /// often, a ring takes less: then both sides stay within a CPU's caches.
    private static let restartBytes = 2 << 20
    private static let steadyRestartBytes = 256 << 10

    package init(workers: Int) {
        rings = (0..<workers).map { _ in
            ByteRing(
                capacity: Self.ringBytes, restartBytes: Self.restartBytes, steadyRestartBytes: Self.steadyRestartBytes)
        }
    }

    deinit { for ring in rings { ring.destroy() } }
}

/// What workers count of the traces of a listener.
package enum TracingStat: Int, Sendable {
    /// Decisions, one cell a `TraceReason`, but `active` has the place of the second.
    case notTraced = 0
    /// At the place of `ConnectionStat.active`: cells in use are not given to another owner.
    case active = 1
    case sampled, serviceForced, clientForced, parent, late
    /// Exchanges whose spans found no room, because they are not taken as fast as they come.
    case dropped
    /// Late ones beyond the rate.
    case lateOverLimit
    /// Health checks that this proxy answered itself, which were decided about like all others before.
    case healthCheck

    package static let cellCount = 10

    package init(_ reason: TraceReason) {
        self =
            switch reason {
            case .notTraced: .notTraced
            case .sampled: .sampled
            case .serviceForced: .serviceForced
            case .clientForced: .clientForced
            case .parent: .parent
            case .late: .late
            }
    }
}
