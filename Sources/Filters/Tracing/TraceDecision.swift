package import Config
internal import Synchronization

/// Why a request is traced, or that it is not.
package enum TraceReason: UInt8, Sendable, CaseIterable {
    case notTraced
    /// By chance.
    case sampled
    /// `x-envoy-force-trace` of a trusted caller.
    case serviceForced
    /// `x-client-trace-id`.
    case clientForced
    /// A trusted caller traces it.
    case parent
    /// Because of how it ended.
    case late
}

/// Shares of requests that are traced. Written by control, read by workers with each request.
package final class TraceRates: Sendable {
    private let random: Atomic<UInt32>
    private let client: Atomic<UInt32>
    private let overall: Atomic<UInt32>

    package init(_ sampling: TraceSampling) {
        random = Atomic(sampling.random.partsPerMillion)
        client = Atomic(sampling.client.partsPerMillion)
        overall = Atomic(sampling.overall.partsPerMillion)
    }

    package var current: TraceSampling {
        TraceSampling(
            random: Percent(partsPerMillion: random.load(ordering: .relaxed)),
            client: Percent(partsPerMillion: client.load(ordering: .relaxed)),
            overall: Percent(partsPerMillion: overall.load(ordering: .relaxed)))
    }

    package func set(_ sampling: TraceSampling) {
        random.store(sampling.random.partsPerMillion, ordering: .relaxed)
        client.store(sampling.client.partsPerMillion, ordering: .relaxed)
        overall.store(sampling.overall.partsPerMillion, ordering: .relaxed)
    }
}

/// What the decision about one request rests on.
struct TraceQuestion {
    /// 0 to 999,999, of the request's id.
    var pivot: UInt32
    /// 0 to 999,999, drawn for this request.
    var chance: UInt32
    /// There is an `x-client-trace-id`.
    var hasClientID = false
    /// There is an `x-envoy-force-trace` that counts.
    var isForced = false
    /// What a caller that is trusted has decided, in the headers of the trace or in the id.
    var caller = Caller.undecided

    enum Caller: Equatable {
        case undecided
        case no
        case yes(TraceReason)
    }

    /// Envoy's order: whoever decided before; then the client; a trusted service; chance. What is left of that by the
    /// overall share is traced.
    func answer(_ sampling: TraceSampling) -> TraceReason {
        var reason = TraceReason.notTraced
        if case .yes(let known) = caller {
            reason = known
        } else if hasClientID, chance < sampling.client.partsPerMillion {
            reason = .clientForced
        } else if isForced {
            reason = .serviceForced
        } else if caller == .undecided, pivot < sampling.random.partsPerMillion {
            reason = .sampled
        }
        return pivot < sampling.overall.partsPerMillion ? reason : .notTraced
    }
}
