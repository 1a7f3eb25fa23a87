internal import Engine

/// The checks of one endpoint, one after the other.
///
///     wait ─▶ ask, on the kept connection or a new one ─▶ result, or time-out ─▶ wait …
final class HealthCheckSession: TimerTask {
    private enum Timer: Int { case nextCheck, timeout }

    private let checker: HealthChecker
    private unowned let cluster: CheckedCluster
    private let check: HealthCheck
    /// The endpoint's number in the cluster.
    private let index: Int
    private(set) var record: HealthRecord
    private var probe: HealthProbe?
    /// Nil where the cluster speaks no TLS.
    private let tls: TLSClientSessions?
    private var isChecking = false
    private var nextCheck = TaskTimer.none
    private var timeout = TaskTimer.none

    /// - Parameter record: what earlier checks of the same endpoint have come to
    init(
        _ index: Int, of cluster: CheckedCluster, check: HealthCheck, record: HealthRecord, checker: HealthChecker
    ) {
        self.index = index
        self.cluster = cluster
        self.check = check
        self.record = record
        self.checker = checker
        tls = cluster.cluster.tls.map(TLSClientSessions.init)
        super.init()
        publish()
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
        timeout = checker.worker.schedule(self, tag: Timer.timeout.rawValue, afterNs: check.timeoutNs)
        if let probe, probe.isIdle { probe.ask() } else { connect() }
    }

    private func connect() {
        let probe: HealthProbe =
            switch check.question {
            case .http(let http): makeHTTPProbe(.http(http))
            case .grpc(let grpc): makeHTTPProbe(.grpc(grpc))
            case .tcp(let tcp): TCPHealthProbe(tcp, of: endpoint, for: self)
            }
        self.probe = probe
        if probe.connect(
            on: checker.worker, counters: checker.connections, timeoutNs: check.timeoutNs, tls: tls)
        {
            return
        }
        // This process is out of descriptors: that says nothing about the endpoint.
        probe.abandon()
        self.probe = nil
        cluster.counters.add(to: ClusterStat.healthChecksSkipped)
        wait()
    }

    private func makeHTTPProbe(_ question: HTTPHealthQuestion) -> HTTPHealthProbe {
        HTTPHealthProbe(
            question, speaking: cluster.cluster.upstreamProtocol, output: checker.output, of: endpoint, for: self)
    }

    // MARK: From the probe

    /// The kept connection was closed before the question arrived: the same check, on a new one.
    func askAgain() {
        if isChecking { connect() }
    }

    func checked(_ result: HealthCheckResult) {
        guard isChecking else { return }
        cluster.count(result)
        if record.note(result, check.thresholds) {
            let isFirst = cluster.health[index].contains(.pendingCheck)
            publish()
            cluster.countTransition(to: record.health)
            report(result, isFirst: isFirst)
        }
        wait()
    }

    private func publish() { cluster.health.set(record.health, among: .checks, of: index) }

    private func report(_ result: HealthCheckResult, isFirst: Bool) {
        switch result {
        case .passed: checker.report(endpoint, of: cluster, .healthy(isFirst: isFirst))
        case .failed(let failure): checker.report(endpoint, of: cluster, .unhealthy(failure))
        }
    }

    func probeClosed(_ closed: HealthProbe) {
        if probe === closed { probe = nil }
    }

    private func wait() {
        isChecking = false
        checker.worker.cancel(timeout)
        start(afterNs: checker.delayNs(after: record.health, check, of: cluster))
    }
}
