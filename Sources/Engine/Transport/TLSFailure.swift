internal import CTLS

/// What an error of OpenSSL means to whoever counts the ends of connections.
enum TLSFailure {
    /// RFC 8446 §6: OpenSSL numbers an alert that the peer sent so much above the alert's own number.
    private static let alertBase = Int32(SSL_AD_REASON_OFFSET)

    /// - Parameters:
    ///   - error: the first of OpenSSL's queue, 0 when there was none
    ///   - ssl: the session that failed
    static func reason(of error: UInt, _ ssl: OpaquePointer?) -> CloseReason {
        let code = rw_tls_error_reason(error)
        switch code {
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SUITABLE_KEY_SHARE,
            SSL_R_NO_SUITABLE_GROUPS, SSL_R_NO_CIPHERS_AVAILABLE, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
            SSL_R_NO_CIPHERS_SPECIFIED, SSL_R_UNSUPPORTED_ELLIPTIC_CURVE:
            return .tlsNoSharedCipher
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH,
            SSL_R_UNSUPPORTED_SSL_VERSION, SSL_R_INAPPROPRIATE_FALLBACK:
            return .tlsNoSharedVersion
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return .tlsNoSharedProtocol
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return .tlsCertificateMissing
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return verification(unsafe SSL_get_verify_result(ssl))
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return .tlsPlainHTTP
        case alertBase...(alertBase + 255):
            return alert(code - alertBase)
        default:
            return .tlsProtocolError
        }
    }

    private static func verification(_ result: Int) -> CloseReason {
        switch Int32(truncatingIfNeeded: result) {
        case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID:
            .tlsCertificateExpired
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED:
            .tlsUnknownCA
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            .tlsNameMismatch
        default:
            .tlsCertificateRejected
        }
    }

    /// What the peer said, where that names a cause that we count by itself.
    static func alert(_ number: Int32) -> CloseReason {
        switch number {
        case SSL_AD_PROTOCOL_VERSION: .tlsNoSharedVersion
        case SSL_AD_HANDSHAKE_FAILURE, SSL_AD_INSUFFICIENT_SECURITY: .tlsNoSharedCipher
        case SSL_AD_NO_APPLICATION_PROTOCOL: .tlsNoSharedProtocol
        case Int32(SSL_AD_CERTIFICATE_REQUIRED): .tlsCertificateMissing
        default: .tlsPeerRefused
        }
    }
}
