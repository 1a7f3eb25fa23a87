package import Config
package import Engine
package import HTTP

/// One worker's HTTP connections to the endpoints of a cluster, as the router sees them. Each version of HTTP has its
/// subclass: it decides how requests share connections.
///
/// A request for which there is neither room nor leave for another connection waits, first in, first out, until a
/// connection of this worker has room or, looked for every few milliseconds, another worker has given one up.
///
/// The limits are the cluster's, over all workers.
package class HTTPConnectionPool: TimerTask {
    package struct Settings: Sendable {
        package var limits: HTTP1Limits
        /// Nanoseconds without a request; 0 for no limit.
        package var idleTimeoutNs: UInt64
        package var requestsPerConnectionMax: UInt64?
        /// Nanoseconds after which a connection takes no other request; 0 for no limit.
        package var connectionDurationNs: UInt64
        /// Requests that may wait for a connection.
        package var pendingMax: UInt64
        /// Requests in flight.
        package var requestsMax: UInt64?
        /// Retries in flight.
        package var retriesMax: UInt64

        package init(
            limits: HTTP1Limits, idleTimeoutNs: UInt64, requestsPerConnectionMax: UInt64?,
            connectionDurationNs: UInt64 = 0, pendingMax: UInt64, requestsMax: UInt64?, retriesMax: UInt64
        ) {
            self.limits = limits
            self.idleTimeoutNs = idleTimeoutNs
            self.requestsPerConnectionMax = requestsPerConnectionMax
            self.connectionDurationNs = connectionDurationNs
            self.pendingMax = pendingMax
            self.requestsMax = requestsMax
            self.retriesMax = retriesMax
        }
    }

    package enum Start {
        /// `onReady` was called, or will be.
        case started(UpstreamConnection)
        /// Waits for a connection of the pool.
        case pending
        case refused(UpstreamReset)
    }

    package final let cluster: WorkerCluster
    final let worker: Worker
    final let settings: Settings
    package private(set) final var isClosed = false
    /// Requests that wait for a connection. First in, first out.
    private final var pending: [UpstreamRequest] = []
    private final var isWatching = false
    /// Whose requests this pool serves, when it is one of two that share them. It keeps this one.
    private unowned(unsafe) final var owner: HTTPConnectionPool?
    /// How long a request may wait for a place that another worker gives up.
    private static let watchNs: UInt64 = 10_000_000

    init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        self.cluster = cluster
        self.settings = settings
        self.worker = worker
        super.init()
    }

    /// Starts `request` on a connection that is there, or on a new one, or lets it wait.
    ///
    /// - Parameters:
    ///   - tried: endpoints that it is not to go to while there are others
    ///   - fresh: not on a connection that was used before
    package final func start(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard admitsRequest() else { return .refused(.overflow) }
        let start = tryStart(request, excluding: tried, fresh: fresh)
        guard case .refused(.overflow) = start else { return start }
        guard cluster.sum(ClusterStat.pendingRequests) < settings.pendingMax else {
            cluster.counters.add(to: ClusterStat.pendingOverflowed)
            return start
        }
        pending.append(request)
        cluster.counters.add(to: ClusterStat.pendingRequests)
        watch()
        return .pending
    }

    /// The request does not wait any more.
    package final func withdraw(_ request: UpstreamRequest) {
        guard let index = pending.firstIndex(where: { $0 === request }) else { return }
        pending.remove(at: index)
        cluster.counters.subtract(from: ClusterStat.pendingRequests)
    }

    /// The cluster is no longer configured, or replaced: idle connections are closed, busy ones when they have
    /// finished. Requests of streams that still know this pool are served.
    package func close() { isClosed = true }

    /// Retries that every budget allows (Envoy's `min_retry_concurrency`), so that a cluster with few requests has
    /// some too.
    private static let budgetRetriesMin: UInt64 = 3

    /// Whether another retry may be in flight; one that may is counted until `endRetry`.
    ///
    /// - Parameter budget: the share of the cluster's requests that may be retries, which replaces the cluster's limit
    package final func beginRetry(budget: Percent?) -> Bool {
        guard cluster.sum(ClusterStat.retriesActive) < retriesMax(budget) else {
            cluster.counters.add(to: ClusterStat.retriesOverflowed)
            return false
        }
        cluster.counters.add(to: ClusterStat.retriesActive)
        return true
    }

    private func retriesMax(_ budget: Percent?) -> UInt64 {
        guard let budget else { return settings.retriesMax }
        let requests = cluster.sum(ClusterStat.requestsActive) &+ cluster.sum(ClusterStat.pendingRequests)
        return max(Self.budgetRetriesMin, requests * UInt64(budget.partsPerMillion) / 1_000_000)
    }

    package final func endRetry() { cluster.counters.subtract(from: ClusterStat.retriesActive) }

    // MARK: What each version has of its own

    /// Starts `request` as `start` does, or returns `.refused(.overflow)` when there is neither a connection with room
    /// nor leave for another one.
    func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        preconditionFailure("each version has its own")
    }

    /// Called every few milliseconds from `watch` on, until nothing waits here and this returns false.
    ///
    /// - Returns: whether there is something to share with requests that wait on other workers
    func shareWithOtherWorkers() -> Bool { false }

    // MARK: For subclasses and their connections

    /// From now on the requests that wait at `owner` are those that this pool's connections are for.
    final func serve(_ owner: HTTPConnectionPool) { unsafe self.owner = owner }

    final var pendingCount: Int { unsafe owner?.pendingCount ?? pending.count }
    final var hasPending: Bool { pendingCount > 0 }

    /// The request that has waited longest, which waits no more.
    final func nextPending() -> UpstreamRequest? {
        if let owner = unsafe owner { return owner.nextPending() }
        guard !pending.isEmpty else { return nil }
        cluster.counters.subtract(from: ClusterStat.pendingRequests)
        return pending.removeFirst()
    }

    /// There may be room: starts what waits, as far as it goes.
    final func startPending() {
        if let owner = unsafe owner { return owner.startPending() }
        while let next = pending.first {
            switch tryStart(next, excluding: TriedEndpoints(), fresh: false) {
            case .started(let connection):
                withdraw(next)
                next.onStarted(connection)
            case .pending, .refused(.overflow): return
            case .refused(let reset):
                withdraw(next)
                next.onReset(reset)
            }
        }
    }

    /// Looks for room, or for those who need it, before long.
    final func watch() {
        if let owner = unsafe owner { return owner.watch() }
        guard !isWatching else { return }
        isWatching = true
        _ = worker.schedule(self, afterNs: Self.watchNs)
    }

    package final override func onTimer(_ tag: Int, on worker: Worker) {
        isWatching = false
        startPending()
        if shareWithOtherWorkers() || hasPending { watch() }
    }

    final var limits: HTTP1Limits { settings.limits }
    final var idleTimeoutNs: UInt64 { settings.idleTimeoutNs }

    /// Whether a connection is not to take another request.
    final func hasServedEnough(requests: UInt64, sinceNs: UInt64) -> Bool {
        if let max = settings.requestsPerConnectionMax, requests >= max { return true }
        let max = settings.connectionDurationNs
        return max > 0 && worker.nowNs - sinceNs >= max
    }

    final func discard(_ data: consuming Lease) { worker.discard(data) }

    final func connected(afterNs ns: UInt64) {
        cluster.counters.add(to: ClusterStat.connects)
        cluster.counters.record(ns, in: ClusterStat.connectTime)
    }

    /// The cluster takes another request. One that it does not take is counted.
    final func admitsRequest() -> Bool {
        guard let max = settings.requestsMax, cluster.sum(ClusterStat.requestsActive) >= max else { return true }
        cluster.counters.add(to: ClusterStat.requestsOverflowed)
        return false
    }

    final func requestStarted(_ endpoint: Int) {
        cluster.counters.add(to: ClusterStat.requestsActive)
        cluster.counters.add(to: ClusterStat.requestsStarted)
        cluster.addLoad(to: endpoint)
    }

    /// The request of a connection is over, however it went.
    final func requestEnded(_ endpoint: Int) {
        cluster.counters.subtract(from: ClusterStat.requestsActive)
        cluster.removeLoad(from: endpoint)
    }
}
