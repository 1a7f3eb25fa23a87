/// How HTTP/2 is spoken on the connections of a listener (RFC 9113).
package struct HTTP2Configuration: Sendable, Equatable {
    /// Clients may speak it: by prior knowledge, or by choosing h2 in TLS.
    package var isEnabled: Bool
    /// Requests in progress at once on one connection.
    package var maxConcurrentStreams: Int
    /// Bytes of a body that may be on their way to us on one stream.
    package var streamWindow: ByteSize
    /// The same for a whole connection.
    package var connectionWindow: ByteSize

    package static let defaultMaxConcurrentStreams = 100
    package static let defaultStreamWindow = ByteSize.kibibytes(256)
    package static let defaultConnectionWindow = ByteSize.mebibytes(1)

    package init(
        isEnabled: Bool = true,
        maxConcurrentStreams: Int = HTTP2Configuration.defaultMaxConcurrentStreams,
        streamWindow: ByteSize = HTTP2Configuration.defaultStreamWindow,
        connectionWindow: ByteSize = HTTP2Configuration.defaultConnectionWindow
    ) {
        self.isEnabled = isEnabled
        self.maxConcurrentStreams = maxConcurrentStreams
        self.streamWindow = streamWindow
        self.connectionWindow = connectionWindow
    }
}

/// What is spoken with the endpoints of a cluster.
package enum UpstreamProtocol: Sendable, Hashable {
    case http1
    /// HTTP/2 by prior knowledge (RFC 9113 §3.3): the endpoint is not asked.
    case http2
}
