internal import Config
package import Engine
internal import HTTP
internal import HTTP2

/// One worker's HTTP/2 connections to the endpoints of a cluster: many requests share one.
///
/// A request takes the connection of its endpoint with the fewest streams that has room for one more, also one that is
/// still connecting; only when none has room is another made, so there are as many connections as the endpoint's limit
/// of streams asks for. A connection that the endpoint is leaving (GOAWAY) takes no more and ends with its last stream.
package final class HTTP2ConnectionPool: HTTPConnectionPool {
    /// All that may take requests, by endpoint.
    private var open: [[HTTP2UpstreamConnection]]
    let output = HTTP2Output()
    let http2: HTTP2Settings
    /// Streams on one connection at most, however many the endpoint takes: beyond that a second connection spreads the
    /// work over the endpoint's own threads.
    let streamsPerConnectionMax: Int
    /// nil where endpoints are not asked whether they are there.
    let keepAlive: HTTP2KeepAlive.Settings?
    /// Endpoints may end streams as they like: each costs them a request.
    private static let resets = HTTP2FloodLimits.Rate(burst: 100_000, perSecond: 100_000)

    package override init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        open = Array(repeating: [], count: cluster.cluster.endpoints.count)
        let configuration = cluster.cluster.http2
        var http2 = HTTP2Settings(configuration, limits: settings.limits)
        http2.floods.resets = Self.resets
        self.http2 = http2
        streamsPerConnectionMax = configuration.maxConcurrentStreams
        keepAlive = HTTP2KeepAlive.Settings(configuration)
        super.init(cluster: cluster, settings: settings, worker: worker)
    }

    /// A stream of its own is fresh enough on a connection that was used before.
    override func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard let endpoint = cluster.pick(avoiding: tried) else { return .refused(.noEndpoint) }
        if let connection = share(endpoint, with: request) { return .started(connection) }
        guard let connection = HTTP2UpstreamConnection(pool: self, endpoint: endpoint) else {
            return .refused(.exhausted)
        }
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            open[endpoint].append(connection)
            requestStarted(endpoint)
            connection.connecting(socket, startedNs: worker.nowNs)
            connection.start(request)
            return .started(connection)
        case .refused(.overflow): return .refused(.overflow)
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    /// Starts `request` on the connection to `endpoint` that has the fewest streams; nil when none has room.
    func share(_ endpoint: Int, with request: UpstreamRequest) -> HTTP2UpstreamConnection? {
        var best: HTTP2UpstreamConnection?
        for connection in open[endpoint] where connection.hasRoom {
            if connection.requestCount < (best?.requestCount ?? .max) { best = connection }
        }
        guard let best else { return nil }
        requestStarted(endpoint)
        best.start(request)
        return best
    }

    /// Takes up a connection that was made elsewhere, and has turned out to speak HTTP/2.
    func adopt(_ connection: HTTP2UpstreamConnection) { open[connection.endpoint].append(connection) }

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
