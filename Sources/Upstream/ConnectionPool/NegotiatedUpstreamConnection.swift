internal import Engine

/// A connection to an endpoint that chooses between HTTP/1.1 and HTTP/2 in its TLS handshake. Until it has, a request
/// waits here; from then on a connection of that version has the socket, by way of this one, and is what the request
/// hears of.
final class NegotiatedUpstreamConnection: UpstreamConnection {
    private let pool: NegotiatedConnectionPool
    /// Waits for the handshake. Alive until its last hook was called, or until it has cancelled: so it is not counted.
    private unowned(unsafe) var request: UpstreamRequest?
    private var connection: Connection?
    private var startedNs: UInt64 = 0
    /// What the endpoint has chosen.
    private var chosen: UpstreamConnection?

    init(pool: NegotiatedConnectionPool, endpoint: Int, request: UpstreamRequest) {
        self.pool = pool
        unsafe self.request = request
        super.init(endpoint: endpoint)
    }

    func started(_ connection: Connection) {
        self.connection = connection
        startedNs = connection.worker.nowNs
    }

    /// Before the handshake is complete; later the request knows the connection that was chosen.
    override func cancel(_ request: UpstreamRequest) {
        guard unsafe self.request === request else { return }
        unsafe self.request = nil
        pool.requestEnded(endpoint)
        connection?.close(.localClose)
    }

    // MARK: Connection hooks

    override func onConnected(_ connection: Connection) {
        guard let request = unsafe request else { return connection.close(.localClose) }
        unsafe self.request = nil
        if connection.applicationProtocol == "h2" {
            guard let chosen = HTTP2UpstreamConnection(pool: pool.http2, endpoint: endpoint) else {
                return fail(request, connection)
            }
            self.chosen = chosen
            pool.negotiated(endpoint, isHTTP2: true)
            pool.http2.adopt(chosen)
            chosen.connecting(connection, startedNs: startedNs)
            chosen.start(request)
            chosen.onConnected(connection)
            if pool.isClosed { chosen.retire() }
        } else {
            let chosen = HTTP1UpstreamConnection(pool: pool.http1, endpoint: endpoint, request: request)
            self.chosen = chosen
            pool.negotiated(endpoint, isHTTP2: false)
            chosen.started(connection, startedNs: startedNs)
            chosen.onConnected(connection)
        }
        pool.startPending()
    }

    /// Without memory for a session.
    private func fail(_ request: UpstreamRequest, _ connection: Connection) {
        pool.requestEnded(endpoint)
        connection.close(.limit)
        request.onReset(.exhausted)
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        guard let chosen else { return connection.worker.discard(data) }
        chosen.onData(data, on: connection)
    }

    override func onEnd(_ connection: Connection) { chosen?.onEnd(connection) }
    override func onFlush(_ connection: Connection) { chosen?.onFlush(connection) }
    override func onAboveHighWatermark(_ connection: Connection) { chosen?.onAboveHighWatermark(connection) }
    override func onBelowLowWatermark(_ connection: Connection) { chosen?.onBelowLowWatermark(connection) }
    override func onIdle(_ connection: Connection) { chosen?.onIdle(connection) }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        self.connection = nil
        if let chosen { return chosen.onClose(connection, reason) }
        let failed = unsafe request
        unsafe request = nil
        if failed != nil { pool.requestEnded(endpoint) }
        pool.forget(self, reason)
        failed?.onReset(.connectFailed(reason))
    }
}
