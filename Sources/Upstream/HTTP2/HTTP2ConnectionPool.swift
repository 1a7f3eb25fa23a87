package import Engine
internal import HTTP
internal import HTTP2

/// One worker's HTTP/2 connections to the endpoints of a cluster: many requests share one.
///
/// A request takes the connection of its endpoint with the fewest streams that has room for one more, also one that is
/// still connecting; only when none has room is another made, so there are as many connections as the endpoint's limit
/// of streams asks for. A connection that the endpoint is leaving (GOAWAY) takes no more and ends with its last stream.
package final class HTTP2ConnectionPool: HTTPConnectionPool {
    /// Streams on one connection at most, however many the endpoint takes: beyond that a second connection spreads the
    /// work over the endpoint's own threads.
    static let streamsPerConnectionMax = 100

    /// All that may take requests, by endpoint.
    private var open: [[HTTP2UpstreamConnection]]
    let output = HTTP2Output()
    let http2: HTTP2Settings
    /// Endpoints may end streams as they like: each costs them a request.
    private static let resets = HTTP2FloodLimits.Rate(burst: 100_000, perSecond: 100_000)

    package override init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        open = Array(repeating: [], count: cluster.cluster.endpoints.count)
        var http2 = HTTP2Settings(limits: settings.limits)
        http2.floods.resets = Self.resets
        self.http2 = http2
        super.init(cluster: cluster, settings: settings, worker: worker)
    }

    /// A stream of its own is fresh enough on a connection that was used before.
    override func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard let endpoint = cluster.pick(avoiding: tried) else { return .refused(.noEndpoint) }
        var best: HTTP2UpstreamConnection?
        for connection in open[endpoint] where connection.hasRoom {
            if connection.requestCount < (best?.requestCount ?? .max) { best = connection }
        }
        if let best {
            requestStarted(endpoint)
            best.start(request)
            return .started(best)
        }
        guard let connection = HTTP2UpstreamConnection(pool: self, endpoint: endpoint) else {
            return .refused(.exhausted)
        }
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            open[endpoint].append(connection)
            requestStarted(endpoint)
            connection.connecting(socket)
            connection.start(request)
            return .started(connection)
        case .refused(.overflow): return .refused(.overflow)
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    package override func close() {
        super.close()
        let all = open
        open = Array(repeating: [], count: open.count)
        for connections in all { for connection in connections { connection.retire() } }
    }

    // MARK: From connections

    /// The connection takes no more requests.
    func leave(_ connection: HTTP2UpstreamConnection) {
        open[connection.endpoint].removeAll { $0 === connection }
    }

    func forget(_ connection: HTTP2UpstreamConnection, _ reason: CloseReason) {
        cluster.release(endpoint: connection.endpoint, reason, asLoad: false)
        leave(connection)
        startPending()
    }

    /// A stream has ended, or the endpoint takes more of them.
    func hasRoom() { startPending() }
}
