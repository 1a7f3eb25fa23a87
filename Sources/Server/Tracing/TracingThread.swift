internal import Engine
internal import Filters
internal import Glibc
internal import Logging

/// The thread that exports spans: a worker without listeners, bound to no CPU, so that backends are reached through
/// clusters like any upstream. Started with the first configuration that has an exporter.
final class TracingThread: Sendable {
    private let thread: WorkerThread
    private let hub: TracingHub

    /// A flush ends when nothing more was taken for so long, and after so long altogether.
    private static let flushPatienceNs: UInt64 = 1_000_000_000
    private static let flushMaxNs: UInt64 = 5_000_000_000

    init(index: Int, registry: StatsRegistry, hub: TracingHub) throws(SystemLack) {
        thread = try WorkerThread(
            index: index, cpu: nil, limits: Self.limits, name: "tracing", stats: registry.exporting)
        self.hub = hub
        try thread.start()
        let rings = hub.rings
        thread.send { $0.context = SpanCollector(worker: $0, registry: registry, rings: rings) }
    }

    /// A few connections with large requests.
    private static var limits: WorkerLimits {
        var limits = WorkerLimits()
        limits.connectionsMax = 1 << 12
        limits.segmentsMax = 1 << 16
        limits.bufferSize = 16 << 10
        limits.bufferBytesMax = 4 << 20
        limits.pipesMax = 0
        return limits
    }

    func export(_ plan: TracingPlan) { thread.send { SpanCollector.of($0).apply(plan) } }

    /// Waits until all spans are exported, or nothing more is taken.
    func flush(_ log: Logger) {
        thread.send { SpanCollector.of($0).flush() }
        let startedNs = monotonicNowNs()
        var progressNs = startedNs
        var waiting = UInt64.max
        while true {
            let now = hub.waiting
            let nowNs = monotonicNowNs()
            if now == 0, hub.rings.rings.allSatisfy(\.isDrained) { return }
            if now != waiting {
                waiting = now
                progressNs = nowNs
            }
            if nowNs - progressNs > Self.flushPatienceNs || nowNs - startedNs > Self.flushMaxNs {
                log.warning("the process ends with spans that could not be exported", metadata: ["spans": "\(now)"])
                return
            }
            Self.pause()
        }
    }

    private static func pause() { usleep(2000) }
}
