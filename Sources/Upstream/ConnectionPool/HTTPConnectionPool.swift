package import Engine
package import HTTP

/// One worker's HTTP connections to the endpoints of a cluster, kept alive between requests.
///
/// Idle ones are used last in, first out: the one used last is the least likely to have been closed, and those
/// at the bottom reach the idle timeout. Each idle connection has its receive armed, so one that the endpoint
/// closes leaves the pool at once.
package final class HTTPConnectionPool {
    package struct Settings {
        package var limits: HTTP1Limits
        /// Nanoseconds without a request; 0 for no limit.
        package var idleTimeoutNs: UInt64
        package var requestsPerConnectionMax: UInt64?
        /// Requests of this worker that may wait for a connection.
        package var pendingMax: Int
        /// Requests of this worker in flight.
        package var requestsMax: Int?
        /// Retries of this worker in flight.
        package var retriesMax: Int

        package init(
            limits: HTTP1Limits, idleTimeoutNs: UInt64, requestsPerConnectionMax: UInt64?, pendingMax: Int,
            requestsMax: Int?, retriesMax: Int
        ) {
            self.limits = limits
            self.idleTimeoutNs = idleTimeoutNs
            self.requestsPerConnectionMax = requestsPerConnectionMax
            self.pendingMax = pendingMax
            self.requestsMax = requestsMax
            self.retriesMax = retriesMax
        }
    }

    package let cluster: WorkerCluster
    let settings: Settings
    private var idle: [[UpstreamConnection]]
    /// Requests that wait for a connection, because the cluster is at its connection limit. First in, first out;
    /// places of requests that were given up are nil.
    private var pending: [UpstreamRequest?] = []
    private var pendingHead = 0
    private var requestsActive = 0
    private var retriesActive = 0

    package init(cluster: WorkerCluster, settings: Settings) {
        self.cluster = cluster
        self.settings = settings
        idle = Array(repeating: [], count: cluster.cluster.endpoints.count)
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
    /// - Parameter fresh: not on a connection that was used before.
    package func start(
        _ request: UpstreamRequest, on worker: Worker, excluding tried: TriedEndpoints, fresh: Bool
    ) -> Start {
        if let max = settings.requestsMax, requestsActive >= max { return refuse(.overflow) }
        guard let endpoint = cluster.pick(excluding: tried) else { return .refused(.noEndpoint) }
        if !fresh, let connection = idle[endpoint].popLast() {
            requestsActive += 1
            connection.begin(request)
            return .started(connection)
        }
        let connection = UpstreamConnection(pool: self, endpoint: endpoint, request: request)
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            requestsActive += 1
            connection.started(socket)
            return .started(connection)
        case .refused(.overflow):
            guard pending.count - pendingHead < settings.pendingMax else { return refuse(.overflow) }
            pending.append(request)
            cluster.counters.add(to: ClusterStat.pendingRequests)
            return .pending
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    private func refuse(_ reset: UpstreamReset) -> Start {
        cluster.counters.add(to: ClusterStat.overflowed)
        return .refused(reset)
    }

    /// The request does not wait any more.
    package func withdraw(_ request: UpstreamRequest) {
        guard let index = pending[pendingHead...].firstIndex(where: { $0 === request }) else { return }
        pending[index] = nil
        cluster.counters.subtract(from: ClusterStat.pendingRequests)
    }

    /// Whether another retry may be in flight; one that may is counted until `endRetry`.
    package func beginRetry() -> Bool {
        guard retriesActive < settings.retriesMax else { return false }
        retriesActive += 1
        return true
    }

    package func endRetry() { retriesActive -= 1 }

    // MARK: From connections

    var limits: HTTP1Limits { settings.limits }
    var idleTimeoutNs: UInt64 { settings.idleTimeoutNs }

    func connected(afterNs ns: UInt64) {
        cluster.counters.add(to: ClusterStat.connects)
        cluster.counters.record(ns, in: ClusterStat.connectTime)
    }

    /// The request of a connection is over, however it went.
    func requestEnded() { requestsActive -= 1 }

    /// A connection is free for the next request.
    func putBack(_ connection: UpstreamConnection) {
        if let max = settings.requestsPerConnectionMax, connection.requestCount >= max {
            connection.retire()
            return
        }
        if let next = nextPending() {
            requestsActive += 1
            connection.begin(next)
        } else {
            idle[connection.endpoint].append(connection)
        }
    }

    private func nextPending() -> UpstreamRequest? {
        while pendingHead < pending.count {
            let request = pending[pendingHead]
            pending[pendingHead] = nil
            pendingHead += 1
            if let request {
                cluster.counters.subtract(from: ClusterStat.pendingRequests)
                return request
            }
        }
        pending.removeAll(keepingCapacity: true)
        pendingHead = 0
        return nil
    }

    func forget(_ connection: UpstreamConnection, _ reason: CloseReason, on worker: Worker) {
        cluster.release(endpoint: connection.endpoint, reason)
        if let index = idle[connection.endpoint].lastIndex(where: { $0 === connection }) {
            idle[connection.endpoint].remove(at: index)
        }
        // There is room for one more connection now.
        if let next = nextPending() {
            switch start(next, on: worker, excluding: TriedEndpoints(), fresh: false) {
            case .started, .pending: break
            case .refused(let reset): next.onReset(reset)
            }
        }
    }

    /// The cluster is no longer configured, or replaced: idle connections are closed, busy ones finish.
    package func close() {
        for connections in idle {
            for connection in connections { connection.retire() }
        }
        isClosed = true
    }

    private(set) var isClosed = false
}
