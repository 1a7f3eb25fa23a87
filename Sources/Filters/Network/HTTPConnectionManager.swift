package import Engine
internal import HTTP

/// Speaks HTTP with a client: the terminal network filter of an `http:` listener.
///
/// Finds out which version the client speaks, when its first bytes come, and leaves the connection to the codec for it.
/// A codec hands each request, as a stream, to the filters and the router. A connection that says nothing has none.
package final class HTTPConnectionManager: NetworkFilter {
    /// The newest when the connection was made or a request began.
    private(set) var chain: HTTPChain
    private var codec: ServerCodec?
    private let openedNs: UInt64
    /// The address of the client as text, made when the first request needs it.
    private var addressText: [UInt8]?
    /// The value of `x-forwarded-client-cert`, made when the connection is there.
    private(set) var clientCertificateText: [UInt8] = []
    private(set) var isDraining = false
    /// Of the client's connection, once they were asked for.
    private(set) var addresses: ConnectionAddresses?
    private var readTLS: ConnectionTLS?
    private var isConnected = false

    package init(connection: Connection, chain: HTTPChain) {
        self.chain = chain
        openedNs = connection.worker.nowNs
        super.init(connection: connection)
    }

    /// The chain for a request that begins now.
    func currentChain() -> HTTPChain {
        if chain.successor != nil { chain = chain.newest }
        if chain.isRetired { isDraining = true }
        return chain
    }

    /// Whether the connection ends with the request that begins now, which is the given one of its requests.
    func hasServedEnough(requests: UInt64, _ settings: HTTPChainSettings) -> Bool {
        if let max = settings.requestsPerConnectionMax, requests >= max { return true }
        let max = settings.connectionDurationNs
        return max > 0 && connection.worker.nowNs - openedNs >= max
    }

    /// The address of the peer without its port; empty for Unix sockets.
    var peerAddressText: [UInt8] {
        if let addressText { return addressText }
        let text = connection.peerAddress?.ipText ?? []
        addressText = text
        return text
    }

    func askForAddresses() {
        if addresses == nil { addresses = ConnectionAddresses(connection) }
    }

    /// nil without TLS.
    var tls: ConnectionTLS? {
        if readTLS == nil, connection.isSecure { readTLS = ConnectionTLS(connection) }
        return readTLS
    }

    // MARK: Connection hooks

    package override func onConnected(_ connection: Connection) {
        isConnected = true
        if let certificate = connection.peerCertificate { clientCertificateText = ClientCertificate.text(certificate) }
        connection.setIdleTimeout(ns: chain.settings.idleTimeoutNs)
        connection.startReading()
    }

    package override func onData(_ data: consuming Lease, on connection: Connection) {
        if let codec {
            codec.onData(data)
        } else {
            let codec = HTTP1ServerCodec(self)
            self.codec = codec
            codec.onData(data)
        }
    }

    /// The client's first bytes were the preface of HTTP/2 (RFC 9113 §3.3): the connection goes on in that.
    ///
    /// - Parameter bytes: all that was received
    func becomeHTTP2(_ bytes: [UInt8]) {
        guard let codec = HTTP2ServerCodec(self, currentChain()) else { return connection.close(.limit) }
        self.codec = codec
        if isDraining { codec.onDrain() }
        codec.onBytes(bytes)
    }

    package override func onEnd(_ connection: Connection) {
        if let codec { codec.onEnd() } else { connection.closeWhenSent(.finished) }
    }

    package override func onFlush(_ connection: Connection) { codec?.onFlush() }
    package override func onAboveHighWatermark(_ connection: Connection) { codec?.onBlocked(true) }
    package override func onBelowLowWatermark(_ connection: Connection) { codec?.onBlocked(false) }

    package override func onIdle(_ connection: Connection) {
        if let codec { codec.onIdle() } else { connection.close(.idleTimeout) }
    }

    package override func onDeadline(_ connection: Connection) { codec?.onDeadline() }

    package override func onDrain(_ connection: Connection) {
        isDraining = true
        if let codec { codec.onDrain() } else { connection.closeWhenSent(.drained) }
    }

    package override func onClose(_ connection: Connection, _ reason: CloseReason) {
        codec?.onClose(reason)
        if !isConnected, connection.isSecure, let logs = chain.accessLogs {
            if logs.needsAddresses { askForAddresses() }
            logs.write(connection, acceptedNs: openedNs, addresses, reason)
        }
    }
}

/// Makes the manager of each connection of a listener.
package final class HTTPConnectionManagerFactory: NetworkFilterFactory {
    private let chain: HTTPChain

    package init(chain: HTTPChain) {
        self.chain = chain
        super.init()
    }

    package override func makeFilter(for connection: Connection) -> NetworkFilter {
        HTTPConnectionManager(connection: connection, chain: chain.newest)
    }
}
