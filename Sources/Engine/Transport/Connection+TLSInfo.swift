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
    public var applicationProtocol: String? { facts?.applicationProtocol }

    /// The server name that the client sent (SNI); nil without one.
    public var requestedServerName: String? { facts?.serverName }

    /// `TLSv1.2` or `TLSv1.3`; nil without TLS.
    public var tlsVersion: String? { unsafe facts?.version.map { unsafe String(cString: $0) } }

    /// The cipher suite by OpenSSL's name; nil without TLS.
    public var tlsCipher: String? { unsafe facts?.cipher.map { unsafe String(cString: $0) } }

    /// The peer's certificate, which was verified; nil when it sent none. Read anew at each call: keep it.
    public var peerCertificate: CertificateDetails? {
        unsafe facts?.certificate.map { unsafe CertificateDetails($0) }
    }

    private var facts: TLSFacts? {
        guard isCurrent, let session = unsafe state.secure else { return nil }
        return unsafe session.pointee.facts
    }
}
