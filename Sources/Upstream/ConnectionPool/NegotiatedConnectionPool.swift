package import Engine

/// One worker's connections to the endpoints of a cluster that say themselves which version of HTTP they speak, in the
/// TLS handshake (ALPN, RFC 7301).
///
/// Every handshake decides for its connection: endpoints may differ, and change. What the last one came to is remembered
/// for its endpoint, and tells how many connections to make. To an endpoint that is not known yet, or speaks HTTP/2, one
/// handshake is under way at a time, and requests wait for it, because the connection may be for all of them; one that
/// speaks HTTP/1.1 gets a connection for each request.
///
/// The connections are those of two other pools, one a version, which serve the requests that wait here.
package final class NegotiatedConnectionPool: HTTPConnectionPool {
    let http1: HTTP1ConnectionPool
    let http2: HTTP2ConnectionPool
    private var endpoints: [EndpointState]

    private struct EndpointState {
        enum Version { case unknown, http1, http2 }

        var version = Version.unknown
        /// Handshakes under way.
        var negotiating = 0
    }

    package override init(cluster: WorkerCluster, settings: Settings, worker: Worker) {
        http1 = HTTP1ConnectionPool(cluster: cluster, settings: settings, worker: worker)
        http2 = HTTP2ConnectionPool(cluster: cluster, settings: settings, worker: worker)
        endpoints = Array(repeating: EndpointState(), count: cluster.cluster.endpoints.count)
        super.init(cluster: cluster, settings: settings, worker: worker)
        http1.serve(self)
        http2.serve(self)
    }

    override func tryStart(_ request: UpstreamRequest, excluding tried: TriedEndpoints, fresh: Bool) -> Start {
        guard let endpoint = cluster.pick(avoiding: tried) else { return .refused(.noEndpoint) }
        if let connection = http2.share(endpoint, with: request) { return .started(connection) }
        if !fresh, let connection = http1.takeIdle(endpoint, for: request) { return .started(connection) }
        guard mayConnect(to: endpoint) else { return .refused(.overflow) }
        let connection = NegotiatedUpstreamConnection(pool: self, endpoint: endpoint, request: request)
        switch cluster.connect(to: endpoint, on: worker, handler: connection) {
        case .connecting(let socket, _):
            endpoints[endpoint].negotiating += 1
            requestStarted(endpoint)
            connection.started(socket)
            return .started(connection)
        case .refused(.overflow): return .refused(.overflow)
        case .refused(.noEndpoint): return .refused(.noEndpoint)
        case .refused(.exhausted): return .refused(.exhausted)
        }
    }

    private func mayConnect(to endpoint: Int) -> Bool {
        let state = endpoints[endpoint]
        switch state.version {
        case .unknown: return state.negotiating == 0
        case .http1: return true
        case .http2: return state.negotiating <= pendingCount / http2.streamsPerConnectionMax
        }
    }

    package override func close() {
        super.close()
        http1.close()
        http2.close()
    }

    override func shareWithOtherWorkers() -> Bool { http1.shareWithOtherWorkers() }

    // MARK: From connections

    /// The endpoint has chosen.
    func negotiated(_ endpoint: Int, isHTTP2: Bool) {
        endpoints[endpoint].negotiating -= 1
        endpoints[endpoint].version = isHTTP2 ? .http2 : .http1
    }

    /// The connection ended before its endpoint had chosen. The requests that waited for it try by themselves: one after
    /// the other, each would wait for as long as a connect may take.
    func forget(_ connection: NegotiatedUpstreamConnection, _ reason: CloseReason) {
        let endpoint = connection.endpoint
        cluster.release(endpoint: endpoint, reason, asLoad: false)
        endpoints[endpoint].negotiating -= 1
        if endpoints[endpoint].version == .unknown, reason.isConnectFailure { endpoints[endpoint].version = .http1 }
        startPending()
    }
}
