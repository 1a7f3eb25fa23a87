internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// Empties the workers' rings and gives what was in them to the exporters. The context of the tracing thread's worker.
final class SpanCollector: TimerTask {
    private let worker: Worker
    private let registry: StatsRegistry
    private let rings: SpanRings
    private var exporters: [any SpanSink] = []
    /// Of the exporters, in the same order: what is set in the records that are theirs.
    private var bits: [UInt32] = []
    private var clusters: [String: WorkerCluster] = [:]
    private var pools: [String: HTTPConnectionPool] = [:]
    private var isFlushing = false
    private var pauseNs = SpanCollector.busyMaxNs

    /// How often the rings are looked at while there is nothing in them, and otherwise, at most and at least.
    private static let idleNs: UInt64 = 50_000_000
    private static let busyMaxNs: UInt64 = 20_000_000
    private static let busyMinNs: UInt64 = 2_500_000
    /// So many bytes at a look are best: neither worker nor reader goes through much of a CPU's caches with them, and
    /// waking for them costs next to nothing.
    private static let goodBytes = 96 << 10
    /// Of one ring, before it is another's turn.
    private static let passesMax = 4

    init(worker: Worker, registry: StatsRegistry, rings: SpanRings) {
        self.worker = worker
        self.registry = registry
        self.rings = rings
        super.init()
        _ = worker.schedule(self, afterNs: Self.idleNs)
    }

    static func of(_ worker: Worker) -> SpanCollector {
        guard let collector = worker.context as? SpanCollector else {
            preconditionFailure("the first message makes the collector")
        }
        return collector
    }

    // MARK: Configuration

    /// Exports as `plan` says from now on. What goes on as it was keeps what waits there.
    func apply(_ plan: TracingPlan) {
        var kept: [any SpanSink] = []
        var used: Set<String> = []
        var old = exporters
        for next in plan.exporters {
            if let cluster = next.cluster { used.insert(cluster.name) }
            if let index = old.firstIndex(where: { $0.serves(next, plan.source) }) {
                kept.append(old.remove(at: index))
            } else {
                kept.append(sink(next, plan.source))
            }
        }
        for exporter in old { exporter.stop() }
        exporters = kept
        bits = kept.map { 1 << UInt32($0.plan.slot) }
        for (name, pool) in pools where !used.contains(name) {
            pool.close()
            pools[name] = nil
            clusters[name] = nil
        }
    }

    private func sink(_ next: TracingPlan.Exporter, _ source: SpanSource) -> any SpanSink {
        switch next.configuration.backend {
        case .http(let backend, let collector):
            guard let cluster = next.cluster else { preconditionFailure("a collector has a cluster") }
            return SpanExporter(next, source, backend, collector, pool: pool(of: cluster), worker: worker)
        case .xray(let daemon): return XRayExporter(next, source, daemon)
        }
    }

    private func pool(of cluster: Cluster) -> HTTPConnectionPool {
        if let pool = pools[cluster.name] {
            if pool.cluster.cluster === cluster { return pool }
            pool.close()
        }
        let own = WorkerCluster(cluster, registry: registry, worker: registry.exportingIndex)
        let pool = makePool(of: own, on: worker)
        clusters[cluster.name] = own
        pools[cluster.name] = pool
        return pool
    }

    // MARK: Spans

    override func onTimer(_ tag: Int, on worker: Worker) {
        let found = drain()
        for exporter in exporters { exporter.tick(nowNs: worker.nowNs, all: isFlushing) }
        // A change by half at most, so that a single burst or gap does not decide.
        let ideal = found > 0 ? UInt64(Self.goodBytes) * pauseNs / UInt64(found) : .max
        pauseNs = min(max(min(max(ideal, pauseNs / 2), pauseNs * 3 / 2), Self.busyMinNs), Self.busyMaxNs)
        _ = worker.schedule(self, afterNs: found > 0 || isFlushing ? pauseNs : Self.idleNs)
    }

    /// Sends everything as soon as it can.
    func flush() { isFlushing = true }

    /// - Returns: bytes of the ring that had most
    private func drain() -> Int {
        var most = 0
        for ring in rings.rings {
            var total = 0
            for _ in 0..<Self.passesMax {
                let count = unsafe ring.withReadable { bytes in
                    var reader = unsafe SpanReader(bytes)
                    while let view = reader.next() { give(view) }
                    return bytes.count
                }
                guard count > 0 else { break }
                ring.consume(count)
                total += count
            }
            most = max(most, total)
        }
        return most
    }

    private func give(_ view: SpanView) {
        for index in exporters.indices where view.record.exporters & bits[index] != 0 {
            exporters[index].append(view, nowNs: worker.nowNs)
        }
    }
}
