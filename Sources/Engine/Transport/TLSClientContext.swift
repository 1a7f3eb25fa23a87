internal import CTLS

/// The client's side of TLS for one cluster. Immutable, shared by all workers.
@safe
package final class TLSClientContext: TLSContext, @unchecked Sendable {
    package struct Settings: Sendable {
        package var rules = TLSRules()
        /// Sent as the server's name; nil sends none.
        package var serverName: String?
        package var applicationProtocols: [String] = []
        /// Whom to trust; nil for the system's authorities.
        package var authorities: TLSAuthorities?
        /// Whether the server's certificate is checked at all.
        package var verifies = true
        /// Of these the server's certificate must be for one: host names, addresses or URIs. Empty for the server name,
        /// and without that for the address of the endpoint.
        package var subjectNames: [String] = []
        package var certificate: TLSCertificate?
        package var keyLog: TLSKeyLog?

        package init() {}
    }

    package let certificate: TLSCertificate?
    package let authorities: TLSAuthorities?
    private let context: OpaquePointer
    private let serverName: String?
    private let verifies: Bool
    private let subjectNames: [String]

    package init(_ settings: Settings) throws(TLSProblem) {
        let made = unsafe try Self.makeContext(
            TLS_client_method(), settings.rules, isServer: false, logsKeys: settings.keyLog != nil)
        do throws(TLSProblem) {
            if let certificate = settings.certificate { unsafe try Self.use(certificate, in: made) }
        } catch {
            unsafe SSL_CTX_free(made)
            throw error
        }
        unsafe context = made
        serverName = settings.serverName
        verifies = settings.verifies
        subjectNames = settings.subjectNames.isEmpty ? settings.serverName.map { [$0] } ?? [] : settings.subjectNames
        certificate = settings.certificate
        authorities = settings.authorities
        super.init(keyLog: settings.keyLog)
        unsafe configure(made, settings)
    }

    deinit { unsafe SSL_CTX_free(context) }

    override var isServer: Bool { false }

    override func makeSession() -> OpaquePointer? {
        guard let ssl = unsafe SSL_new(context) else { return nil }
        unsafe SSL_set_connect_state(ssl)
        if let serverName { unsafe _ = rw_tls_set_server_name(ssl, serverName) }
        return unsafe ssl
    }

    private static func use(_ certificate: TLSCertificate, in context: OpaquePointer) throws(TLSProblem) {
        guard unsafe SSL_CTX_use_certificate(context, certificate.leaf) == 1 else {
            throw .ofLibrary(.certificate, "the certificate cannot be used")
        }
        guard unsafe SSL_CTX_use_PrivateKey(context, certificate.key) == 1 else {
            throw .ofLibrary(.key, "the private key cannot be used")
        }
        unsafe certificate.chain.forEach { unsafe _ = rw_tls_add_chain_certificate(context, $0) }
    }

    private func configure(_ context: OpaquePointer, _ settings: Settings) {
        if let authorities {
            unsafe SSL_CTX_set1_cert_store(context, authorities.store)
        } else {
            unsafe _ = SSL_CTX_set_default_verify_paths(context)
            ERR_clear_error()
        }
        unsafe SSL_CTX_set_verify(context, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        let offered = settings.applicationProtocols.reduce(into: [UInt8]()) { list, name in
            list.append(UInt8(truncatingIfNeeded: name.utf8.count))
            list.append(contentsOf: name.utf8)
        }
        if !offered.isEmpty { unsafe _ = SSL_CTX_set_alpn_protos(context, offered, UInt32(offered.count)) }
        // Sessions are kept by workers, one for each endpoint (`TLSClientSessions`).
        unsafe rw_tls_set_session_cache(context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        unsafe SSL_CTX_sess_set_new_cb(context) { ssl, made in
            guard let session = unsafe TLSSession.of(ssl), let sessions = unsafe session.pointee.sessions else {
                return 0
            }
            unsafe sessions._withUnsafeGuaranteedRef { unsafe $0.keep(made!) }
            return 1
        }
    }

    /// Whether the certificate of a finished handshake is for one of the names that it must be for. The chain was
    /// verified in the handshake.
    func accepts(_ ssl: OpaquePointer, at address: NetworkAddress?) -> Bool {
        guard verifies else { return true }
        guard let certificate = unsafe SSL_get1_peer_certificate(ssl) else { return false }
        defer { unsafe X509_free(certificate) }
        if subjectNames.isEmpty {
            guard let address, !address.isUnix else { return false }
            return unsafe X509_check_ip_asc(certificate, address.host, 0) == 1
        }
        let uris = subjectNames.contains { $0.contains("://") } ? unsafe CertificateDetails(certificate).uriNames : []
        return subjectNames.contains { name in
            if name.contains("://") { return uris.contains(name) }
            return unsafe X509_check_host(certificate, name, 0, 0, nil) == 1
                || X509_check_ip_asc(certificate, name, 0) == 1
        }
    }
}

/// The sessions that one worker can resume with one endpoint: the newest one. On the worker's thread only.
@safe
package final class TLSClientSessions {
    package let context: TLSClientContext
    private var newest: OpaquePointer?

    package init(context: TLSClientContext) { self.context = context }

    deinit { unsafe SSL_SESSION_free(newest) }

    /// Takes over `session`'s reference.
    func keep(_ session: OpaquePointer) {
        unsafe SSL_SESSION_free(newest)
        unsafe newest = session
    }

    func offer(on ssl: OpaquePointer) {
        if let newest = unsafe newest { unsafe _ = SSL_set_session(ssl, newest) }
    }

    /// After a handshake that failed: the session may be why.
    func forget() {
        unsafe SSL_SESSION_free(newest)
        unsafe newest = nil
    }
}
