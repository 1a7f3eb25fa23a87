/// How HTTP/2 is spoken on the connections of a listener, or of a cluster (RFC 9113).
package struct HTTP2Configuration: Sendable, Hashable {
    /// Requests in progress at once on one connection.
    package var maxConcurrentStreams: Int
    /// Bytes of a body that may be on their way to us on one stream.
    package var streamWindow: ByteSize
    /// The same for a whole connection.
    package var connectionWindow: ByteSize
    /// Bytes that the windows of streams may grow beyond `streamWindow` where the path takes more, all streams of a
    /// connection together; zero for never.
    package var windowGrowth: ByteSize
    /// Without a byte from the peer, before it is asked for a sign of life; nil for never.
    package var pingInterval: TimeSpan?
    /// What it has for its answer.
    package var pingTimeout: TimeSpan

    package static let defaultMaxConcurrentStreams = 100
    package static let defaultStreamWindow = ByteSize.kibibytes(256)
    package static let defaultConnectionWindow = ByteSize.mebibytes(1)
    package static let defaultWindowGrowth = ByteSize.mebibytes(8)
    package static let defaultPingTimeout = TimeSpan.seconds(20)

    package init(
        maxConcurrentStreams: Int = HTTP2Configuration.defaultMaxConcurrentStreams,
        streamWindow: ByteSize = HTTP2Configuration.defaultStreamWindow,
        connectionWindow: ByteSize = HTTP2Configuration.defaultConnectionWindow,
        windowGrowth: ByteSize = HTTP2Configuration.defaultWindowGrowth,
        pingInterval: TimeSpan? = nil,
        pingTimeout: TimeSpan = HTTP2Configuration.defaultPingTimeout
    ) {
        self.maxConcurrentStreams = maxConcurrentStreams
        self.streamWindow = streamWindow
        self.connectionWindow = connectionWindow
        self.windowGrowth = windowGrowth
        self.pingInterval = pingInterval
        self.pingTimeout = pingTimeout
    }
}

/// What is spoken with the endpoints of a cluster.
package enum UpstreamProtocol: Sendable, Hashable {
    case http1
    /// HTTP/2 by prior knowledge (RFC 9113 §3.3): the endpoint is not asked.
    case http2
    /// What the endpoint chooses in its TLS handshake (ALPN, RFC 7301), each for itself; HTTP/1.1 where it does not say.
    case negotiated
}
