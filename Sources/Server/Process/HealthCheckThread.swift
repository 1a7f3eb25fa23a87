internal import Engine
internal import Logging
internal import Upstream

/// The thread that checks the health of endpoints: a worker of its own, without listeners and bound to no CPU. It is
/// started with the first configuration that asks for checks, and sleeps when there are none.
final class HealthCheckThread: Sendable {
    private let thread: WorkerThread

    /// - Parameters:
    ///   - index: none of the workers'
    ///   - report: called on this thread for every endpoint that changed
    init(
        index: Int, registry: StatsRegistry, report: @escaping @Sendable (HealthChecker.Transition) -> Void
    ) throws(SystemLack) {
        thread = try WorkerThread(
            index: index, cpu: nil, limits: Self.limits, name: "health-checks", stats: registry.background)
        try thread.start()
        thread.send { worker in
            // Of the kind whose cells are never given away.
            let owner = StatsRegistry.Owner(.worker, "health checks")
            guard let range = try? registry.range(for: owner, count: ConnectionStat.cellCount) else {
                preconditionFailure("a few cells are left after those of all endpoints")
            }
            worker.context = HealthChecker(
                worker: worker, registry: registry, connections: registry.backgroundScope(range),
                seed: .random(in: 0 ... .max), onTransition: report)
        }
    }

    /// Much less than a worker that carries traffic needs. A check beyond the sockets is put off and counted.
    private static var limits: WorkerLimits {
        var limits = WorkerLimits()
        limits.connectionsMax = 1 << 17
        limits.segmentsMax = 1 << 17
        limits.bufferSize = 16 << 10
        limits.bufferBytesMax = 4 << 20
        limits.pipesMax = 0
        return limits
    }

    func check(_ clusters: [Cluster]) {
        thread.send { worker in
            guard let checker = worker.context as? HealthChecker else {
                preconditionFailure("the first message makes the checker")
            }
            checker.apply(clusters)
        }
    }
}
