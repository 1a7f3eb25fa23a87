internal import Engine

/// The checks of one endpoint, one after the other.
///
///     wait ─▶ ask, on the kept connection or a new one ─▶ result, or time-out ─▶ wait …
final class HealthCheckSession: TimerTask {
    private enum Timer: Int { case nextCheck, timeout }

    private let checker: HealthChecker
    private let cluster: CheckedCluster
    /// The endpoint's number in the cluster.
    private let index: Int
    private(set) var record: HealthRecord
    private var probe: HealthProbe?
    private var isChecking = false
    private var nextCheck = TaskTimer.none
    private var timeout = TaskTimer.none

    /// - Parameter record: what earlier checks of the same endpoint have come to
    init(_ index: Int, of cluster: CheckedCluster, record: HealthRecord, checker: HealthChecker) {
        self.index = index
        self.cluster = cluster
        self.record = record
        self.checker = checker
        super.init()
        if cluster.health[index] != record.health { cluster.health.set(record.health, of: index) }
    }

    var endpoint: Endpoint { cluster.cluster.endpoints[index] }

    func start(afterNs delayNs: UInt64) {
        nextCheck = checker.worker.schedule(self, tag: Timer.nextCheck.rawValue, afterNs: delayNs)
    }

    func stop() {
        checker.worker.cancel(nextCheck)
        checker.worker.cancel(timeout)
        isChecking = false
        probe?.abandon()
        probe = nil
    }

    override func onTimer(_ tag: Int, on worker: Worker) {
        switch Timer(rawValue: tag) {
        case .nextCheck: begin()
        case .timeout:
            probe?.abandon()
            probe = nil
            checked(.failed(.timeout))
        case nil: break
        }
    }

    private func begin() {
        isChecking = true
        timeout = checker.worker.schedule(self, tag: Timer.timeout.rawValue, afterNs: cluster.check.timeoutNs)
        if let probe, probe.isIdle { probe.ask() } else { connect() }
    }

    private func connect() {
        let probe: HealthProbe =
            switch cluster.check.question {
            case .http(let http): HTTPHealthProbe(http, of: endpoint, for: self)
            case .tcp(let tcp): TCPHealthProbe(tcp, of: endpoint, for: self)
            }
        self.probe = probe
        if probe.connect(on: checker.worker, counters: checker.connections, timeoutNs: cluster.check.timeoutNs) {
            return
        }
        // This process is out of descriptors: that says nothing about the endpoint.
        probe.abandon()
        self.probe = nil
        cluster.counters.add(to: ClusterStat.healthChecksSkipped)
        wait()
    }

    // MARK: From the probe

    /// The kept connection was closed before the question arrived: the same check, on a new one.
    func askAgain() {
        if isChecking { connect() }
    }

    func checked(_ result: HealthCheckResult) {
        guard isChecking else { return }
        cluster.count(result)
        if record.note(result, cluster.check.thresholds) {
            let wasUnknown = cluster.health[index].contains(.pendingCheck)
            cluster.health.set(record.health, of: index)
            cluster.countTransition(to: record.health)
            checker.report(endpoint, of: cluster, result, isFirst: wasUnknown)
        }
        wait()
    }

    func probeClosed(_ closed: HealthProbe) {
        if probe === closed { probe = nil }
    }

    private func wait() {
        isChecking = false
        checker.worker.cancel(timeout)
        start(afterNs: checker.delayNs(after: record.health, of: cluster))
    }
}
