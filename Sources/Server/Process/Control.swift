package import Config
package import Engine
internal import Filters
internal import Glibc
package import Logging
internal import Synchronization
internal import Upstream

/// What a process does outside of its workers: it compiles configurations, opens listening sockets, sends
/// snapshots to the workers, renders statistics, and ends the process. All of it runs on one thread.
package final class Control: @unchecked Sendable {
    /// Read by workers without waiting, for `/ready`.
    package enum Phase: Int, Sendable {
        case starting, live, draining
    }

    package let registry: StatsRegistry
    /// What filters on the workers know of the process.
    let serving = ServingState()
    package let log: Logger
    let queue: ControlQueue
    /// Where scrapes are written, so that nothing else waits for them.
    let scrapes: ScrapeQueues
    private let workers: [WorkerThread]
    /// By worker; empty when no requests are remembered.
    let recorders: [FlightRecorder]
    private let peers: WorkerPeers
    let compiler: SnapshotCompiler
    let accessLogs: AccessLogFiles
    private let overrides: Overrides
    private let phaseValue = Atomic<Int>(Phase.starting.rawValue)
    /// Whether the end of the process was asked for: draining alone does not end it.
    private let isEnding = Atomic<Bool>(false)
    // From here on: touched on `queue` only, once the process has started.
    private(set) var snapshot: Snapshot?
    private var series: SeriesPlan?
    private(set) var applies = ApplyCounts()
    var certificateReloads = ApplyCounts()
    var certificateWatch = CertificateWatch()
    /// Workers that have not closed all their listeners yet, while draining.
    private var workersClosing = 0
    private var adminStats: StatsRegistry.Range?
    private var healthChecks: HealthCheckThread?
    private var tracing: TracingThread?
    /// Where listeners with port 0 listen, by listener key.
    private var chosenAddresses: [String: NetworkAddress] = [:]
    private(set) var reloadPath: String?
    private let startedNs = monotonicNowNs()
    /// What the admin interface shows of configurations.
    let redaction: ConfigRedaction
    let end: @Sendable (Int32) -> Void

    /// - Parameter end: ends the process with a code; called on the control queue.
    package init(
        configuration: Configuration, overrides: Overrides, extensions: Extensions, log: Logger,
        end: @escaping @Sendable (Int32) -> Void
    ) throws(SystemLack) {
        self.log = log
        self.end = end
        queue = try ControlQueue("control")
        scrapes = try ScrapeQueues()
        self.overrides = overrides
        let cpus = ProcessorShare.allowedCPUs()
        let count =
            switch configuration.workers {
            case .auto: ProcessorShare.automaticWorkerCount()
            case .fixed(let count): count
            }
        var limits = WorkerLimits()
        limits.bufferSize = configuration.buffers.size.bytes
        limits.bufferBytesMax = configuration.buffers.maxPerWorker.bytes
        var workers: [WorkerThread] = []
        for index in 0..<count {
            // More workers than CPUs are left to the scheduler: two pinned to one would only wait for each other.
            let cpu = count <= cpus.count ? cpus[index] : nil
            workers.append(try WorkerThread(index: index, cpu: cpu, limits: limits))
        }
        self.workers = workers
        let recentRequests = configuration.stats.recentRequests
        recorders = recentRequests > 0 ? workers.map { _ in FlightRecorder(capacity: recentRequests) } : []
        peers = WorkerPeers(workers)
        registry = StatsRegistry(blocks: workers.map(\.stats))
        accessLogs = AccessLogFiles(registry: registry, log: log)
        redaction = ConfigRedaction(
            filterKeys: Dictionary(extensions.httpFilters.map { ($0.name, $0.secretKeys) }) { $1 })
        compiler = SnapshotCompiler(registry: registry, extensions: extensions, accessLogs: accessLogs)
    }

    package var phase: Phase { Phase(rawValue: phaseValue.load(ordering: .relaxed)) ?? .starting }
    /// What the proxy says of itself when it is asked whether it wants new work: not while somebody wants health checks
    /// to fail. On any thread.
    var readiness: Phase { phase == .live && !serving.isServing ? .draining : phase }
    var workerCount: Int { workers.count }
    var uptimeSeconds: UInt64 { (monotonicNowNs() - startedNs) / 1_000_000_000 }

    /// Where `listener` can be reached.
    func address(of listener: ListenerPlan) -> String {
        chosenAddresses[listener.socketKey]?.description ?? listener.configuration.address.description
    }

    /// What a scrape that begins now shows; nil before the start.
    var metricInputs: MetricInputs? {
        guard let snapshot, let series else { return nil }
        return metricInputs(snapshot, series)
    }

    private func metricInputs(_ snapshot: Snapshot, _ plan: SeriesPlan) -> MetricInputs {
        MetricInputs(
            registry: registry, snapshot: snapshot, plan: plan, accessLogs: accessLogs.files, applies: applies,
            certificateReloads: certificateReloads, phase: phase, readiness: readiness, uptimeSeconds: uptimeSeconds,
            addresses: Dictionary(snapshot.listeners.map { ($0.configuration.name, address(of: $0)) }) { $1 })
    }

    // MARK: Start

    package enum StartFailure: Error {
        case configuration([ConfigError])
        case system(SystemLack)
    }

    /// Compiles, binds, starts the workers and begins to accept.
    ///
    /// - Parameter reloadPath: the file that SIGHUP reads again; nil when there is none.
    package func start(
        _ configuration: Configuration, source: String, reloadPath: String?, diagnostics: Diagnostics
    ) throws(StartFailure) {
        self.reloadPath = reloadPath
        guard let first = compiler.compile(configuration, source: source, previous: nil, diagnostics: diagnostics)
        else { throw .configuration(diagnostics.errors) }
        let sockets = try openedSockets(for: first, previous: nil, diagnostics, patienceNs: 1_000_000_000)
        let adminSocket = try openedAdminSocket(configuration, diagnostics)
        do throws(SystemLack) {
            for worker in workers { try worker.start() }
            try startHealthChecks(for: first)
            try startTracing(for: first)
        } catch {
            throw .system(error)
        }
        for worker in workers {
            let (registry, serving, peers) = (registry, serving, peers)
            let recorder = recorders.isEmpty ? nil : recorders[worker.index]
            worker.send {
                $0.join(peers)
                $0.context = WorkerAssembly(worker: $0, registry: registry, serving: serving, recorder: recorder)
            }
        }
        swap(to: first, sockets: sockets)
        applies.applied += 1
        if let adminSocket { startAdmin(adminSocket) }
        phaseValue.store(Phase.live.rawValue, ordering: .relaxed)
        queue.async { [self] in startCertificateWatch() }
    }

    private func openedSockets(
        for next: Snapshot, previous: Snapshot?, _ diagnostics: Diagnostics, patienceNs: UInt64
    ) throws(StartFailure) -> ListenerSockets {
        do throws(ListenerSockets.Failures) {
            return try ListenerSockets.open(
                for: next, previous: previous, workers: workers.count, patienceNs: patienceNs)
        } catch {
            for failure in error.list {
                diagnostics.report(failure.problem, expected: failure.expected, at: failure.position)
            }
            throw .configuration(diagnostics.errors)
        }
    }

    private func openedAdminSocket(
        _ configuration: Configuration, _ diagnostics: Diagnostics
    ) throws(StartFailure) -> ListeningSocket? {
        guard let admin = configuration.admin else { return nil }
        do throws(ListeningSocket.Failure) {
            let address = NetworkAddress(admin.address)
            return try ListeningSocket.open(address, workers: 1, dualStack: admin.address.isWildcard)[0]
        } catch {
            diagnostics.report(error.message, expected: error.expected, at: admin.origin.position)
            throw .configuration(diagnostics.errors)
        }
    }

    /// The admin interface is served by the first worker, on the same engine as everything else.
    private func startAdmin(_ socket: ListeningSocket) {
        guard let range = try? registry.range(for: AdminListener.owner, count: ListenerStat.cellCount) else { return }
        adminStats = range
        let scope = registry.scope(range, worker: 0)
        let mailbox = workers[0].mailbox
        workers[0].send { [self] worker in
            let chain = AdminListener.chain(control: self, mailbox: mailbox)
            WorkerAssembly.of(worker).adminListener = worker.addListener(
                socket: socket.descriptor, isShared: socket.isShared, counters: scope, limit: nil, chain: chain)
        }
    }

    // MARK: Change

    package enum ApplyOutcome: Sendable {
        case applied(generation: UInt64)
        case rejected([ConfigError])
        /// The caller's idea of the running generation was wrong.
        case conflict(generation: UInt64)
    }

    /// Applies a whole new configuration, or nothing of it.
    ///
    /// - Parameter ifGeneration: apply only while this is the running generation.
    func apply(text: String, file: String, ifGeneration: UInt64? = nil) -> ApplyOutcome {
        precondition(queue.isCurrent, "control is one thread")
        guard let running = snapshot else { preconditionFailure("applied before the start") }
        if let ifGeneration, ifGeneration != running.generation { return .conflict(generation: running.generation) }
        return apply(Configuration.load(text: text, file: file), running: running)
    }

    private func apply(_ loaded: LoadedConfiguration, running: Snapshot) -> ApplyOutcome {
        let diagnostics = loaded.diagnostics
        var understood = loaded.configuration
        if understood != nil { overrides.apply(to: &understood!) }
        // A file with errors is understood in part: what is missing from that part did not change.
        if let configuration = understood, !diagnostics.hasErrors { reportFixed(configuration, running, diagnostics) }
        guard phase == .live, let configuration = understood,
            let next = compiler.compile(
                configuration, source: loaded.source, previous: running, diagnostics: diagnostics)
        else { return rejected(diagnostics) }
        do throws(StartFailure) {
            let sockets = try openedSockets(for: next, previous: running, diagnostics, patienceNs: 200_000_000)
            try startHealthChecks(for: next, diagnostics)
            try startTracing(for: next, diagnostics)
            swap(to: next, sockets: sockets)
        } catch {
            return rejected(diagnostics)
        }
        applies.applied += 1
        log.notice("configuration applied", metadata: ["generation": "\(next.generation)"])
        warnOfExpiry()
        return .applied(generation: next.generation)
    }

    private func rejected(_ diagnostics: Diagnostics) -> ApplyOutcome {
        applies.rejected += 1
        if phase != .live { diagnostics.report("the proxy is draining", expected: "a proxy that is live", at: .start) }
        for error in diagnostics.errors { log.error("\(error)") }
        return .rejected(diagnostics.errors)
    }

    /// What belongs to the process and not to a generation.
    private func reportFixed(_ next: Configuration, _ running: Snapshot, _ diagnostics: Diagnostics) {
        let now = running.configuration
        func refuse(_ key: String, _ position: ConfigPosition = .start) {
            diagnostics.report(
                "`\(key)` differs from the running configuration",
                expected: "the running value: it is fixed when the process starts, so restart to change it",
                at: position)
        }
        if next.workers != now.workers { refuse("workers") }
        if next.buffers != now.buffers { refuse("buffers") }
        if next.stats.recentRequests != now.stats.recentRequests { refuse("stats.recent_requests") }
        if next.admin != now.admin { refuse("admin", next.admin?.origin.position ?? .start) }
    }

    /// Hands a snapshot to the workers. Nothing can fail from here on.
    func swap(to next: Snapshot, sockets: ListenerSockets) {
        removeUnixPaths(of: snapshot, keeping: next)
        let drainTimeout = next.configuration.drainTimeout.nanoseconds
        for worker in workers {
            let own = sockets.forWorker(worker.index)
            let groups = sockets.groups
            let queue = queue
            worker.send { handle in
                let removed = WorkerAssembly.of(handle).apply(next, sockets: own, groups: groups)
                guard !removed.isEmpty else { return }
                queue.async(afterNs: drainTimeout) {
                    worker.send { handle in
                        for id in removed { handle.closeConnections(of: id, .drained) }
                    }
                }
            }
        }
        let keys = Set(next.listeners.map(\.socketKey))
        chosenAddresses = chosenAddresses.merging(sockets.chosenAddresses(for: next.listeners)) { $1 }
            .filter { keys.contains($0.key) }
        healthChecks?.check(Array(next.clusters.values))
        tracing?.export(next.tracing)
        compiler.retire(allBut: next)
        snapshot = next
        series = SeriesPlan(
            snapshot: next, workers: workers.count, seriesMax: UInt64(next.configuration.stats.maxSeries),
            previous: series
        ) { plan in
            let inputs = metricInputs(next, plan)
            let native = Exposition.count(NativeCatalog(inputs: inputs).families, owners: plan.ownerCount)
            let envoy = Exposition.count(EnvoyCatalog(inputs: inputs).families, owners: plan.ownerCount)
            return zip(native, envoy).map { max($0, $1) }
        }
    }

    private func startHealthChecks(for next: Snapshot) throws(SystemLack) {
        guard healthChecks == nil, next.clusters.values.contains(where: { $0.health != nil }) else { return }
        healthChecks = try HealthCheckThread(index: workers.count, registry: registry) { [self] transition in
            queue.async { [self] in logHealth(transition) }
        }
    }

    private func startHealthChecks(for next: Snapshot, _ diagnostics: Diagnostics) throws(StartFailure) {
        do throws(SystemLack) {
            try startHealthChecks(for: next)
        } catch {
            diagnostics.report("no thread for health checks: \(error.what)", expected: error.remedy, at: .start)
            throw .configuration(diagnostics.errors)
        }
    }

    private func startTracing(for next: Snapshot) throws(SystemLack) {
        guard tracing == nil, !next.tracing.exporters.isEmpty else { return }
        tracing = try TracingThread(index: registry.exportingIndex + 1, registry: registry, hub: compiler.tracing)
    }

    private func startTracing(for next: Snapshot, _ diagnostics: Diagnostics) throws(StartFailure) {
        do throws(SystemLack) {
            try startTracing(for: next)
        } catch {
            diagnostics.report("no thread for tracing: \(error.what)", expected: error.remedy, at: .start)
            throw .configuration(diagnostics.errors)
        }
    }

    /// The good news of a start is no news.
    private func logHealth(_ transition: HealthChecker.Transition) {
        var metadata: Logger.Metadata = ["cluster": "\(transition.cluster)", "endpoint": "\(transition.endpoint)"]
        switch transition.change {
        case .healthy(let isFirst):
            if !isFirst { log.notice("endpoint is healthy", metadata: metadata) }
        case .unhealthy(let failure):
            metadata["reason"] = "\(failure.text)"
            log.warning("endpoint is unhealthy", metadata: metadata)
        case .ejected(let ns):
            metadata["for"] = "\(TimeSpan(nanoseconds: ns))"
            log.warning("endpoint is ejected", metadata: metadata)
        case .returned:
            log.notice("endpoint is back", metadata: metadata)
        }
    }

    /// SIGHUP: reads the file again.
    package func reload() {
        queue.async { [self] in
            guard let reloadPath, let running = snapshot else {
                log.warning("nothing to reload: the configuration did not come from a file")
                return
            }
            let loaded = Configuration.load(path: reloadPath)
            _ = apply(loaded, running: running)
        }
    }

    // MARK: End

    /// Stops accepting, lets connections finish, then ends the process. A second call ends it at once.
    package func drain() {
        if isEnding.exchange(true, ordering: .relaxed) {
            log.notice("ending at once")
            finish()
            return
        }
        queue.async { [self] in
            beginDrain()
            let timeout = snapshot?.configuration.drainTimeout.nanoseconds ?? 0
            waitForConnections(untilNs: monotonicNowNs() + timeout)
        }
    }

    /// Stops accepting for good, and keeps the process and its open connections.
    func drainListeners() {
        precondition(queue.isCurrent, "control is one thread")
        beginDrain()
    }

    /// A Unix socket's path outlives the socket: it goes with the listener.
    private func removeUnixPaths(of old: Snapshot?, keeping next: Snapshot?) {
        let kept = Set((next?.listeners ?? []).map(\.socketKey))
        for listener in old?.listeners ?? [] where listener.address.isUnix && !kept.contains(listener.socketKey) {
            _ = unsafe unlink(listener.address.host)
        }
    }

    private func beginDrain() {
        guard phase != .draining else { return }
        phaseValue.store(Phase.draining.rawValue, ordering: .relaxed)
        serving.beginDrain()
        log.notice("draining", metadata: ["connections": "\(acceptedConnections)"])
        removeUnixPaths(of: snapshot, keeping: nil)
        workersClosing = workers.count
        for worker in workers {
            worker.send { handle in
                WorkerAssembly.of(handle).removeAllListeners { [self] in queue.async { [self] in workersClosing -= 1 } }
            }
        }
    }

    private static let drainPollNs: UInt64 = 5_000_000

    private func waitForConnections(untilNs deadlineNs: UInt64) {
        // Those between two workers first: a connection is counted before it is not among them any more.
        let left = peers.inFlight + acceptedConnections
        // While a worker closes its listeners, what the kernel has accepted is not among the connections yet.
        if left > 0 || workersClosing > 0, monotonicNowNs() < deadlineNs {
            queue.async(afterNs: Self.drainPollNs) { [self] in waitForConnections(untilNs: deadlineNs) }
            return
        }
        if left > 0 {
            log.notice("drain timeout: closing what is left", metadata: ["connections": "\(left)"])
            for worker in workers { worker.send { WorkerAssembly.of($0).closeDrainingConnections() } }
        }
        waitForEndings(untilNs: monotonicNowNs() + Self.endingsNs)
    }

    /// What is cut off leaves a line in the access logs too.
    private static let endingsNs: UInt64 = 500_000_000

    private func waitForEndings(untilNs deadlineNs: UInt64) {
        if acceptedConnections > 0, monotonicNowNs() < deadlineNs {
            queue.async(afterNs: Self.drainPollNs) { [self] in waitForEndings(untilNs: deadlineNs) }
            return
        }
        workers[0].send { WorkerAssembly.of($0).removeAdminListener() }
        waitForAdmin(untilNs: monotonicNowNs() + Self.adminDrainNs)
    }

    /// The admin interface goes last, and whoever is being answered, be it by `/quitquitquit`, gets the answer.
    private static let adminDrainNs: UInt64 = 1_000_000_000

    private func waitForAdmin(untilNs deadlineNs: UInt64) {
        guard adminConnections > 0, monotonicNowNs() < deadlineNs else { return finish() }
        queue.async(afterNs: Self.drainPollNs) { [self] in waitForAdmin(untilNs: deadlineNs) }
    }

    private func finish() {
        accessLogs.flush()
        tracing?.flush(log)
        end(0)
    }

    /// USR1: access logs go on in files that are opened anew.
    package func reopenLogs() { accessLogs.reopen() }

    /// Open connections of clients, those of listeners that a reload removed included.
    private var acceptedConnections: UInt64 { registry.active(of: .listener) }

    private var adminConnections: UInt64 { adminStats.map { registry.sum($0, ConnectionStat.active) } ?? 0 }
}
