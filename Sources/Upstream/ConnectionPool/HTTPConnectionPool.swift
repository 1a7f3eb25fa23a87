package import Engine
package import HTTP

/// One worker's HTTP connections to the endpoints of a cluster, as the router sees them. Each version of HTTP has its
/// subclass: it decides how requests share connections.
///
/// The limits are the cluster's, over all workers.
package class HTTPConnectionPool: TimerTask {
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

    init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        self.cluster = cluster
        self.settings = settings
        self.worker = worker
        super.init()
    }

    /// Starts `request` on a connection that is there, or on a new one.
    ///
    /// - Parameters:
    ///   - tried: endpoints that it is not to go to
    ///   - fresh: not on a connection that was used before
    package func start(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        preconditionFailure("each version has its own")
    }

    /// The request does not wait any more.
    package func withdraw(_ request: UpstreamRequest) {}

    /// The cluster is no longer configured, or replaced: idle connections are closed, busy ones when they have
    /// finished. Requests of streams that still know this pool are served.
    package func close() { isClosed = true }

    /// Whether another retry may be in flight; one that may is counted until `endRetry`.
    package final func beginRetry() -> Bool {
        guard cluster.sum(ClusterStat.retriesActive) < settings.retriesMax else {
            cluster.counters.add(to: ClusterStat.retriesOverflowed)
            return false
        }
        cluster.counters.add(to: ClusterStat.retriesActive)
        return true
    }

    package final func endRetry() { cluster.counters.subtract(from: ClusterStat.retriesActive) }

    // MARK: For subclasses and their connections

    final var limits: HTTP1Limits { settings.limits }
    final var idleTimeoutNs: UInt64 { settings.idleTimeoutNs }

    final func discard(_ data: consuming Lease) { worker.discard(data) }

    final func connected(afterNs ns: UInt64) {
        cluster.counters.add(to: ClusterStat.connects)
        cluster.counters.record(ns, in: ClusterStat.connectTime)
    }

    /// The cluster takes another request. One that it does not take is counted.
    final func admitsRequest() -> Bool {
        guard let max = settings.requestsMax, cluster.sum(ClusterStat.requestsActive) >= max else { return true }
        cluster.counters.add(to: ClusterStat.overflowed)
        return false
    }

    final func requestStarted(_ endpoint: Int) {
        cluster.counters.add(to: ClusterStat.requestsActive)
        cluster.addLoad(to: endpoint)
    }

    /// The request of a connection is over, however it went.
    final func requestEnded(_ endpoint: Int) {
        cluster.counters.subtract(from: ClusterStat.requestsActive)
        cluster.removeLoad(from: endpoint)
    }
}
