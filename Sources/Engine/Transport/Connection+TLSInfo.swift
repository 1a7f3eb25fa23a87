internal import CTLS

/// What a connection's handshake has settled. Nothing of it is known before `onConnected`.
extension Connection {
    /// Bytes are encrypted on this connection.
    public var isSecure: Bool { unsafe isCurrent && state.secure != nil }

    /// Why TLS failed on this connection, which is about to end of it; nil when it did not.
    package var transportFailure: CloseReason? {
        guard isCurrent, !state.flags.isDisjoint(with: [.closing, .closeWhenSent]), state.closeReason.isOfTLS else {
            return nil
        }
        return state.closeReason
    }

    /// The protocol that both sides agreed on (ALPN, RFC 7301), such as `h2`; nil without one.
    public var applicationProtocol: String? {
        unsafe withSSL { ssl in
            var start: UnsafePointer<UInt8>?
            var count: UInt32 = 0
            unsafe SSL_get0_alpn_selected(ssl, &start, &count)
            guard let start = unsafe start, count > 0 else { return nil }
            return unsafe String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
        }
    }

    /// The server name that the client sent (SNI); nil without one.
    public var requestedServerName: String? {
        unsafe withSSL { ssl in
            unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { unsafe String(cString: $0) }
        }
    }

    /// `TLSv1.2` or `TLSv1.3`; nil without TLS.
    public var tlsVersion: String? {
        unsafe withSSL { ssl in unsafe SSL_get_version(ssl).map { unsafe String(cString: $0) } }
    }

    /// The cipher suite by OpenSSL's name; nil without TLS.
    public var tlsCipher: String? {
        unsafe withSSL { ssl in
            unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { unsafe String(cString: $0) }
        }
    }

    /// The peer's certificate, which was verified; nil when it sent none. Read anew at each call: keep it.
    public var peerCertificate: CertificateDetails? {
        unsafe withSSL { ssl in
            guard unsafe SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER != 0,
                let certificate = unsafe SSL_get1_peer_certificate(ssl)
            else { return nil }
            defer { unsafe X509_free(certificate) }
            return unsafe CertificateDetails(certificate)
        }
    }

    private func withSSL<R>(_ body: (OpaquePointer) -> R?) -> R? {
        guard isCurrent, let session = unsafe state.secure else { return nil }
        return unsafe body(session.pointee.ssl)
    }
}
