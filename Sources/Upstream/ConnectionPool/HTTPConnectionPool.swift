package import Config
package import Engine
package import HTTP

/// One worker's HTTP connections to the endpoints of a cluster, kept alive between requests.
///
/// Idle ones are used last in, first out: the one used last is the least likely to have been closed, and those
/// at the bottom reach the idle timeout. Each idle connection has its receive armed, so one that the endpoint
/// closes leaves the pool at once.
///
/// The limits are the cluster's, over all workers. Where connections are limited, requests that wait on one worker
/// may need a place that another worker's idle connection has; both look for each other every few milliseconds.
package final class HTTPConnectionPool: TimerTask {
    package struct Settings: Sendable {
        package var limits: HTTP1Limits
        /// Nanoseconds without a request; 0 for no limit.
        package var idleTimeoutNs: UInt64
        package var requestsPerConnectionMax: UInt64?
        /// Requests that may wait for a connection.
        package var pendingMax: UInt64
        /// Requests in flight.
        package var requestsMax: UInt64?
        /// Retries in flight.
        package var retriesMax: UInt64

        package init(
            limits: HTTP1Limits, idleTimeoutNs: UInt64, requestsPerConnectionMax: UInt64?, pendingMax: UInt64,
            requestsMax: UInt64?, retriesMax: UInt64
        ) {
            self.limits = limits
            self.idleTimeoutNs = idleTimeoutNs
            self.requestsPerConnectionMax = requestsPerConnectionMax
            self.pendingMax = pendingMax
            self.requestsMax = requestsMax
            self.retriesMax = retriesMax
        }
    }

    /// How long a request may wait for a place that another worker gives up.
    private static let watchNs: UInt64 = 10_000_000

    package let cluster: WorkerCluster
    private let worker: Worker
    private let settings: Settings
    private var idle: [[UpstreamConnection]]
    private var idleCount = 0
    /// Requests that wait for a connection, because the cluster is at its connection limit. First in, first out.
    private var pending: [UpstreamRequest] = []
    private var isWatching = false
    package private(set) var isClosed = false

    package init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        self.cluster = cluster
        self.settings = settings
        self.worker = worker
        idle = Array(repeating: [], count: cluster.cluster.endpoints.count)
        super.init()
    }

    package enum Start {
        /// `onReady` was called, or will be.
        case started(UpstreamConnection)
        /// Waits for a connection of the pool.
        case pending
        case refused(UpstreamReset)
    }

    /// Starts `request` on an idle connection, or on a new one.
    ///
    /// - Parameters:
    ///   - tried: endpoints that it is not to go to while there are others
    ///   - fresh: not on a connection that was used before
    package func start(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        if let max = settings.requestsMax, cluster.sum(ClusterStat.requestsActive) >= max {
            cluster.counters.add(to: ClusterStat.overflowed)
            return .refused(.overflow)
        }
        let start = tryStart(request, excluding: tried, fresh: fresh)
        guard case .refused(.overflow) = start else { return start }
        guard cluster.sum(ClusterStat.pendingRequests) < settings.pendingMax else {
            cluster.counters.add(to: ClusterStat.overflowed)
            return start
        }
        pending.append(request)
        cluster.counters.add(to: ClusterStat.pendingRequests)
        watch()
        return .pending
    }

    /// `.refused(.overflow)` when there is neither an idle connection nor room for another one.
    private func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard let endpoint = cluster.pick(avoiding: tried) else { return .refused(.noEndpoint) }
        if !fresh {
            while let connection = idle[endpoint].popLast() {
                idleCount -= 1
                // One that closes at the end of this turn is still here.
                guard connection.isOpen else { continue }
                requestStarted(endpoint)
                connection.begin(request)
                return .started(connection)
            }
        }
        let connection = UpstreamConnection(pool: self, endpoint: endpoint, request: request)
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            requestStarted(endpoint)
            connection.started(socket)
            return .started(connection)
        case .refused(.overflow): return .refused(.overflow)
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    /// The request does not wait any more.
    package func withdraw(_ request: UpstreamRequest) {
        guard let index = pending.firstIndex(where: { $0 === request }) else { return }
        pending.remove(at: index)
        cluster.counters.subtract(from: ClusterStat.pendingRequests)
    }

    /// Retries that every budget allows (Envoy's `min_retry_concurrency`), so that a cluster with few requests has
    /// some too.
    private static let budgetRetriesMin: UInt64 = 3

    /// Whether another retry may be in flight; one that may is counted until `endRetry`.
    ///
    /// - Parameter budget: the share of the cluster's requests that may be retries, which replaces the cluster's limit
    package func beginRetry(budget: Percent?) -> Bool {
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

    package func endRetry() { cluster.counters.subtract(from: ClusterStat.retriesActive) }

    /// The cluster is no longer configured, or replaced: idle connections are closed, busy ones when they have
    /// finished. Requests of streams that still know this pool are served.
    package func close() {
        isClosed = true
        for index in idle.indices {
            for connection in idle[index] { connection.retire() }
            idle[index] = []
        }
        idleCount = 0
    }

    // MARK: From connections

    var limits: HTTP1Limits { settings.limits }
    var idleTimeoutNs: UInt64 { settings.idleTimeoutNs }

    func discard(_ data: consuming Lease) { worker.discard(data) }

    func connected(afterNs ns: UInt64) {
        cluster.counters.add(to: ClusterStat.connects)
        cluster.counters.record(ns, in: ClusterStat.connectTime)
    }

    private func requestStarted(_ endpoint: Int) {
        cluster.counters.add(to: ClusterStat.requestsActive)
        cluster.addLoad(to: endpoint)
    }

    /// The request of a connection is over, however it went.
    func requestEnded(_ endpoint: Int) {
        cluster.counters.subtract(from: ClusterStat.requestsActive)
        cluster.removeLoad(from: endpoint)
    }

    /// A connection is free for the next request.
    func putBack(_ connection: UpstreamConnection) {
        if let max = settings.requestsPerConnectionMax, connection.requestCount >= max {
            connection.retire()
        } else if !pending.isEmpty {
            requestStarted(connection.endpoint)
            connection.begin(nextPending())
        } else {
            idle[connection.endpoint].append(connection)
            idleCount += 1
            if cluster.limitsConnections { watch() }
        }
    }

    func forget(_ connection: UpstreamConnection, _ reason: CloseReason) {
        cluster.release(endpoint: connection.endpoint, reason, asLoad: false)
        if let index = idle[connection.endpoint].lastIndex(where: { $0 === connection }) {
            idle[connection.endpoint].remove(at: index)
            idleCount -= 1
        }
        // There is room for one more connection now.
        startPending()
    }

    private func nextPending() -> UpstreamRequest {
        cluster.counters.subtract(from: ClusterStat.pendingRequests)
        return pending.removeFirst()
    }

    private func startPending() {
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

    // MARK: Sharing connections between workers

    private func watch() {
        guard !isWatching else { return }
        isWatching = true
        _ = worker.schedule(self, afterNs: Self.watchNs)
    }

    package override func onTimer(_ tag: Int, on worker: Worker) {
        isWatching = false
        startPending()
        if pending.isEmpty, idleCount > 0, cluster.sum(ClusterStat.pendingRequests) > 0 { closeOneIdle() }
        if !pending.isEmpty || (idleCount > 0 && cluster.limitsConnections) { watch() }
    }

    /// The one that was used longest ago, of the first endpoint that has any.
    private func closeOneIdle() {
        for index in idle.indices where !idle[index].isEmpty {
            idle[index].removeFirst().retire()
            idleCount -= 1
            return
        }
    }
}
