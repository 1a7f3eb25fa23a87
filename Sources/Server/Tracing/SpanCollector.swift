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
    private var clusters: [String: WorkerCluster] = [:]
    private var pools: [String: HTTPConnectionPool] = [:]
    private var isFlushing = false

    /// How often the rings are looked at, while there is anything in them and otherwise.
    private static let busyNs: UInt64 = 20_000_000
    private static let idleNs: UInt64 = 50_000_000
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
        _ = worker.schedule(self, afterNs: found || isFlushing ? Self.busyNs : Self.idleNs)
    }

    /// Sends everything as soon as it can.
    func flush() { isFlushing = true }

    /// - Returns: whether there was anything
    private func drain() -> Bool {
        var found = false
        for ring in rings.rings {
            for _ in 0..<Self.passesMax {
                let count = unsafe ring.withReadable { bytes in
                    var reader = unsafe SpanReader(bytes)
                    while let view = reader.next() { give(view) }
                    return bytes.count
                }
                guard count > 0 else { break }
                ring.consume(count)
                found = true
            }
        }
        return found
    }

    private func give(_ view: SpanView) {
        for exporter in exporters where view.record.exporters & (1 << UInt32(exporter.plan.slot)) != 0 {
            exporter.append(view, nowNs: worker.nowNs)
        }
    }
}
