internal import Config
internal import Filters
internal import Synchronization

/// What belongs to tracing and outlives generations: the workers' rings, the places of exporters in records, their
/// counters, and the shares that were changed through the admin interface.
package final class TracingHub: Sendable {
    /// Where shares hold: a listener, or one of its routes.
    struct RateKey: Hashable, Sendable {
        var listener: String
        /// nil for the listener itself.
        var route: String?
    }

    private struct Entry {
        let key: RateKey
        let configured: ConfiguredSampling
        let rates: TraceRates
    }

    private struct State {
        var slots: [String: Int] = [:]
        var stats: [String: SpanExporterStats] = [:]
        var rates: [Entry] = []
        var overrides: [RateKey: TraceSamplingChange] = [:]

        /// What was changed comes before what is configured, and the route before its listener.
        func sampling(of key: RateKey, _ configured: ConfiguredSampling) -> TraceSampling {
            let listener = overrides[RateKey(listener: key.listener)] ?? TraceSamplingChange()
            let own = key.route == nil ? TraceSamplingChange() : overrides[key] ?? TraceSamplingChange()
            return configured.route.merging(own).applied(to: listener.applied(to: configured.listener))
        }
    }

    let rings: SpanRings
    private let state = Mutex(State())

    /// - Parameter workers: 0 when a configuration is only checked
    package init(workers: Int) { rings = SpanRings(workers: workers) }

    // MARK: Exporters

    /// The bit of an exporter, the same as long as configurations name it. nil when there are too many.
    func slot(of name: String) -> Int? {
        state.withLock { state in
            if let slot = state.slots[name] { return slot }
            let taken = Set(state.slots.values)
            guard let free = (0..<UInt32.bitWidth).first(where: { !taken.contains($0) }) else { return nil }
            state.slots[name] = free
            return free
        }
    }

    func stats(of name: String) -> SpanExporterStats {
        state.withLock { state in
            if let stats = state.stats[name] { return stats }
            let stats = SpanExporterStats()
            state.stats[name] = stats
            return stats
        }
    }

    /// Spans that wait for any exporter.
    var waiting: UInt64 { state.withLock { $0.stats.values.reduce(0) { $0 + $1.waiting } } }

    // MARK: Shares

    /// The shares of a listener or route: the object that it has already, as long as the configuration says the same,
    /// because workers go on with a listener that did not change.
    func rates(of key: RateKey, _ configured: ConfiguredSampling) -> TraceRates {
        state.withLock { state in
            if let entry = state.rates.first(where: { $0.key == key && $0.configured == configured }) {
                return entry.rates
            }
            let rates = TraceRates(state.sampling(of: key, configured))
            state.rates.append(Entry(key: key, configured: configured, rates: rates))
            return rates
        }
    }

    /// Changes shares while the process runs. They hold until they are changed again, whatever is reloaded; those of a
    /// listener for its routes as well, as far as these have none of their own.
    ///
    /// - Parameter change: nil goes back to the configured ones
    func change(_ key: RateKey, _ change: TraceSamplingChange?) {
        state.withLock { state in
            let merged = change.map { (state.overrides[key] ?? TraceSamplingChange()).merging($0) }
            state.overrides[key] = merged
            for entry in state.rates where entry.key.listener == key.listener {
                entry.rates.set(state.sampling(of: entry.key, entry.configured))
            }
        }
    }

    /// Forgets what only other generations had.
    func retain(exporters: Set<String>, rates: [(RateKey, ConfiguredSampling)]) {
        state.withLock { state in
            state.slots = state.slots.filter { exporters.contains($0.key) }
            state.stats = state.stats.filter { exporters.contains($0.key) || $0.value.waiting > 0 }
            state.rates.removeAll { entry in !rates.contains { $0.0 == entry.key && $0.1 == entry.configured } }
            let keys = Set(rates.map(\.0))
            state.overrides = state.overrides.filter { keys.contains($0.key) }
        }
    }
}

/// The shares that a configuration has for a listener, or for one of its routes.
struct ConfiguredSampling: Sendable, Equatable {
    let listener: TraceSampling
    /// What the route has different.
    let route: TraceSamplingChange

    init(_ listener: TraceSampling, of route: RouteTracingConfiguration? = nil) {
        self.listener = listener
        self.route = TraceSamplingChange(random: route?.random, client: route?.client, overall: route?.overall)
    }

    var sampling: TraceSampling { route.applied(to: listener) }
}

/// Shares that differ from those that would hold otherwise; nil for those that do not.
struct TraceSamplingChange: Sendable, Equatable {
    var random: Percent?
    var client: Percent?
    var overall: Percent?

    func applied(to sampling: TraceSampling) -> TraceSampling {
        TraceSampling(
            random: random ?? sampling.random, client: client ?? sampling.client,
            overall: overall ?? sampling.overall)
    }

    func merging(_ other: TraceSamplingChange) -> TraceSamplingChange {
        TraceSamplingChange(
            random: other.random ?? random, client: other.client ?? client, overall: other.overall ?? overall)
    }
}
