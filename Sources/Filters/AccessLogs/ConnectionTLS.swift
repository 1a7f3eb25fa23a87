internal import Engine

/// What a client's TLS handshake has settled, read once for all lines that ask for it.
final class ConnectionTLS {
    let version: String?
    let cipher: String?
    let serverName: String?
    /// nil without a client certificate.
    let peer: CertificateDetails?

    init(_ connection: Connection) {
        version = connection.tlsVersion
        cipher = connection.tlsCipher
        serverName = connection.requestedServerName
        peer = connection.peerCertificate
    }
}

extension CloseReason {
    /// The flag of a client's connection that ended so by its own doing.
    var downstreamFlag: ResponseFlag {
        switch self {
        case .remoteReset, .transportTimeout, .transportError, .tlsHandshakeAborted, .tlsTruncated:
            .downstreamConnectionTermination
        case .otherSideReset, .otherSideClosed: .upstreamConnectionTermination
        case .idleTimeout: .streamIdleTimeout
        default: isOfTLS ? .downstreamProtocolError : .none
        }
    }
}
