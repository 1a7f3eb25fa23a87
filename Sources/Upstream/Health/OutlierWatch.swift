internal import Engine

/// Takes endpoints out of a cluster that clients get nothing good from, and puts them back.
///
/// Workers count failures in a row, each in its own cells, and a strike when there were too many. This looks for new
/// strikes, at the same time in all workers' cells; so nobody waits for anybody, and a flood of failures costs no more
/// than a few.
final class OutlierWatch: TimerTask {
    /// How long an endpoint with too many failures goes on being used at most.
    static let periodNs: UInt64 = 50_000_000

    private let checker: HealthChecker
    private unowned let cluster: CheckedCluster
    private let detection: OutlierDetection
    private var endpoints: [State]
    private var strikesSeen: UInt64
    private var timer = TaskTimer.none

    private struct State {
        var ejection: Ejection
        /// Strikes that were acted upon, or that nothing could be done about.
        var strikesSeen: UInt64
    }

    /// - Parameter known: earlier ejections, by the name of the endpoint
    init(_ cluster: CheckedCluster, _ detection: OutlierDetection, known: [String: Ejection], checker: HealthChecker) {
        self.checker = checker
        self.cluster = cluster
        self.detection = detection
        let registry = checker.registry
        strikesSeen = registry.sum(cluster.cluster.stats, ClusterStat.strikes)
        endpoints = cluster.cluster.endpoints.map { endpoint in
            State(
                ejection: known[endpoint.name] ?? Ejection(),
                strikesSeen: registry.sum(endpoint.stats, EndpointStat.strikes))
        }
        super.init()
        for index in endpoints.indices { publish(index) }
        wait()
    }

    func stop() { checker.worker.cancel(timer) }

    /// What is known, by the name of the endpoint.
    var ejections: [String: Ejection] {
        Dictionary(uniqueKeysWithValues: zip(cluster.cluster.endpoints, endpoints).map { ($0.name, $1.ejection) })
    }

    private func wait() { timer = checker.worker.schedule(self, afterNs: Self.periodNs) }

    override func onTimer(_ tag: Int, on worker: Worker) {
        putBack(nowNs: worker.nowNs)
        let strikes = checker.registry.sum(cluster.cluster.stats, ClusterStat.strikes)
        if strikes != strikesSeen {
            strikesSeen = strikes
            takeOut(nowNs: worker.nowNs)
        }
        wait()
    }

    private func putBack(nowNs: UInt64) {
        for index in endpoints.indices where endpoints[index].ejection.comesBack(nowNs: nowNs) {
            // What failed while it was out was sent before.
            endpoints[index].strikesSeen = strikes(of: index)
            publish(index)
            checker.report(cluster.cluster.endpoints[index], of: cluster, .returned)
        }
    }

    private func takeOut(nowNs: UInt64) {
        var ejected = endpoints.count { $0.ejection.untilNs != nil }
        for index in endpoints.indices {
            let strikes = strikes(of: index)
            guard strikes != endpoints[index].strikesSeen else { continue }
            endpoints[index].strikesSeen = strikes
            guard endpoints[index].ejection.untilNs == nil else { continue }
            guard detection.allowsEjection(beside: ejected, of: endpoints.count) else {
                cluster.counters.add(to: ClusterStat.ejectionsOverflowed)
                continue
            }
            let durationNs = endpoints[index].ejection.eject(detection, nowNs: nowNs)
            ejected += 1
            cluster.counters.add(to: ClusterStat.ejections)
            publish(index)
            checker.report(cluster.cluster.endpoints[index], of: cluster, .ejected(forNs: durationNs))
        }
    }

    private func strikes(of index: Int) -> UInt64 {
        checker.registry.sum(cluster.cluster.endpoints[index].stats, EndpointStat.strikes)
    }

    private func publish(_ index: Int) {
        let isOut = endpoints[index].ejection.untilNs != nil
        cluster.health.set(isOut ? .ejected : [], among: .ejected, of: index)
    }
}
