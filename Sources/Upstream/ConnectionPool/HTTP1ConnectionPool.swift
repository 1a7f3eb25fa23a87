package import Engine
internal import HTTP

/// One worker's HTTP/1.1 connections to the endpoints of a cluster: one request each at a time, kept alive in between.
///
/// Idle ones are used last in, first out: the one used last is the least likely to have been closed, and those
/// at the bottom reach the idle timeout. Each idle connection has its receive armed, so one that the endpoint
/// closes leaves the pool at once.
///
/// Where connections are limited, requests that wait on one worker may need a place that another worker's idle
/// connection has; both look for each other every few milliseconds.
package final class HTTP1ConnectionPool: HTTPConnectionPool {
    /// Of the response that is being received: all connections of the pool share it, so that it stays in the cache. A
    /// head is parsed and handed over in one go; one that comes in pieces has a place of its own.
    let responseHead: Stable<ResponseHead>
    private var idle: [[HTTP1UpstreamConnection]]
    private var idleCount = 0

    package override init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        idle = Array(repeating: [], count: cluster.cluster.endpoints.count)
        responseHead = Stable(ResponseHead(headersMax: settings.limits.headersMax))
        super.init(cluster: cluster, settings: settings, worker: worker)
    }

    deinit { responseHead.destroy() }

    override func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard let endpoint = cluster.pick(avoiding: tried) else { return .refused(.noEndpoint) }
        if !fresh, let connection = takeIdle(endpoint, for: request) { return .started(connection) }
        let connection = HTTP1UpstreamConnection(pool: self, endpoint: endpoint, request: request)
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            requestStarted(endpoint)
            connection.started(socket, startedNs: worker.nowNs)
            return .started(connection)
        case .refused(.overflow): return .refused(.overflow)
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    /// Begins `request` on a connection to `endpoint` that nobody uses; nil when there is none.
    func takeIdle(_ endpoint: Int, for request: UpstreamRequest) -> HTTP1UpstreamConnection? {
        while let connection = idle[endpoint].popLast() {
            idleCount -= 1
            // One that closes at the end of this turn is still here.
            guard connection.isOpen else { continue }
            guard !connection.hasServedEnough else {
                connection.retire()
                continue
            }
            requestStarted(endpoint)
            connection.begin(request)
            return connection
        }
        return nil
    }

    package override func close() {
        super.close()
        for index in idle.indices {
            for connection in idle[index] { connection.retire() }
            idle[index] = []
        }
        idleCount = 0
    }

    // MARK: From connections

    /// A connection is free for the next request.
    func putBack(_ connection: HTTP1UpstreamConnection) {
        if connection.hasServedEnough {
            connection.retire()
        } else if let next = nextPending() {
            requestStarted(connection.endpoint)
            connection.begin(next)
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

    // MARK: Sharing connections between workers

    override func shareWithOtherWorkers() -> Bool {
        if !hasPending, idleCount > 0, cluster.sum(ClusterStat.pendingRequests) > 0 { closeOneIdle() }
        return idleCount > 0 && cluster.limitsConnections
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
