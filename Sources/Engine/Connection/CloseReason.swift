/// Why a connection ended. Every reason is a label value of `ringway_connection_closes_total`.
public enum CloseReason: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Both sides ended their streams in order.
    case finished
    /// The peer of this connection reset it.
    case remoteReset
    /// The connection on the other side of the proxy was reset, so this one was too.
    case otherSideReset
    /// The connection on the other side of the proxy ended early: refused, timed out, or drained.
    case otherSideClosed
    /// The peer's host refused the connect; or nobody listens on a Unix socket's path.
    case connectRefused
    /// The connect took longer than its timeout.
    case connectTimeout
    /// The peer's host or network is not reachable.
    case connectUnreachable
    /// The socket failed in some other way while connecting.
    case connectFailed
    /// No bytes in either direction for the idle timeout.
    case idleTimeout
    /// The peer vanished: the kernel gave up retransmitting.
    case transportTimeout
    /// The peer did not answer a PING of HTTP/2 in time.
    case pingTimeout
    /// The socket failed in some other way.
    case transportError
    /// The cluster has no endpoint that takes the connection, or is at its connection limit.
    case noUpstream
    /// A filter refused the connection.
    case denied
    /// A rate limit refused the connection, or this process was out of descriptors or table slots for it.
    case limit
    /// A filter or a request handler ended the connection.
    case localClose
    /// The peer broke the protocol that is spoken on the connection.
    case protocolError
    /// The listener was removed or the process is shutting down: the connection ended at the next good moment,
    /// or when the drain timeout had passed.
    case drained
    /// No chain of the listener is for this connection.
    case noFilterChain
    /// The peer's socket ended without TLS's own end (close_notify): what came may not be all.
    case tlsTruncated
    /// No version of TLS that both sides speak.
    case tlsNoSharedVersion
    /// No cipher suite, group or signature algorithm that both sides have.
    case tlsNoSharedCipher
    /// No protocol of the application in common (ALPN).
    case tlsNoSharedProtocol
    /// The peer's certificate leads to no authority that is trusted here.
    case tlsUnknownCA
    /// The peer's certificate is not valid yet, or not any more.
    case tlsCertificateExpired
    /// The server's certificate is for other names.
    case tlsNameMismatch
    /// The client sent no certificate where one is required.
    case tlsCertificateMissing
    /// The peer's certificate was refused for another reason.
    case tlsCertificateRejected
    /// The peer ended the handshake or the session with an alert.
    case tlsPeerRefused
    /// A client spoke HTTP without TLS.
    case tlsPlainHTTP
    /// A client took too long for its handshake.
    case tlsHandshakeTimeout
    /// The peer's socket ended in the middle of the handshake.
    case tlsHandshakeAborted
    /// A client wanted to renegotiate.
    case tlsRenegotiation
    /// What the peer sent is not TLS, or was changed on its way.
    case tlsProtocolError

    /// The value of the `reason` label.
    public var label: String {
        switch self {
        case .finished: "finished"
        case .remoteReset: "remote_reset"
        case .otherSideReset: "other_side_reset"
        case .otherSideClosed: "other_side_closed"
        case .connectRefused: "connect_refused"
        case .connectTimeout: "connect_timeout"
        case .connectUnreachable: "connect_unreachable"
        case .connectFailed: "connect_failed"
        case .idleTimeout: "idle_timeout"
        case .transportTimeout: "transport_timeout"
        case .pingTimeout: "ping_timeout"
        case .transportError: "transport_error"
        case .noUpstream: "no_upstream"
        case .denied: "denied"
        case .limit: "limit"
        case .localClose: "local_close"
        case .protocolError: "protocol_error"
        case .drained: "drained"
        case .noFilterChain: "no_filter_chain"
        case .tlsTruncated: "tls_truncated"
        case .tlsNoSharedVersion: "tls_no_shared_version"
        case .tlsNoSharedCipher: "tls_no_shared_cipher"
        case .tlsNoSharedProtocol: "tls_no_shared_protocol"
        case .tlsUnknownCA: "tls_unknown_ca"
        case .tlsCertificateExpired: "tls_certificate_expired"
        case .tlsNameMismatch: "tls_name_mismatch"
        case .tlsCertificateMissing: "tls_certificate_missing"
        case .tlsCertificateRejected: "tls_certificate_rejected"
        case .tlsPeerRefused: "tls_peer_refused"
        case .tlsPlainHTTP: "tls_plain_http"
        case .tlsHandshakeTimeout: "tls_handshake_timeout"
        case .tlsHandshakeAborted: "tls_handshake_aborted"
        case .tlsRenegotiation: "tls_renegotiation"
        case .tlsProtocolError: "tls_protocol_error"
        }
    }

    /// Whether only connections with TLS end so.
    package var isOfTLS: Bool {
        rawValue >= CloseReason.tlsTruncated.rawValue && rawValue <= CloseReason.tlsProtocolError.rawValue
    }

    /// Whether the connection never came about.
    public var isConnectFailure: Bool {
        switch self {
        case .connectRefused, .connectTimeout, .connectUnreachable, .connectFailed, .tlsNoSharedVersion,
            .tlsNoSharedCipher, .tlsNoSharedProtocol, .tlsUnknownCA, .tlsCertificateExpired, .tlsNameMismatch,
            .tlsCertificateMissing, .tlsCertificateRejected, .tlsPeerRefused, .tlsHandshakeAborted:
            true
        default: false
        }
    }
}
