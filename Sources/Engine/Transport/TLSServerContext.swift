internal import CTLS

/// What a server does about its clients' certificates.
package enum ClientCertificatePolicy: Sendable, Equatable {
    case ignored
    /// Asked for; one that is sent must be good.
    case optional
    case required
}

/// The server's side of TLS for one listener: certificates, rules, tickets. Immutable, shared by all workers.
@safe
package final class TLSServerContext: TLSContext, @unchecked Sendable {
    package struct Settings: Sendable {
        /// The first one is the default.
        package var certificates: [TLSCertificate]
        package var rules = TLSRules()
        /// Protocols of the application, best first; empty leaves ALPN alone.
        package var applicationProtocols: [String] = []
        package var clientAuthorities: TLSAuthorities?
        package var clientCertificate = ClientCertificatePolicy.ignored
        /// Nanoseconds from the accepted connection to the end of the handshake.
        package var handshakeTimeoutNs: UInt64 = 10_000_000_000
        package var tickets: TicketKeys
        /// What sessions are good for: tickets of another value are not taken. At most 32 bytes count.
        package var sessionContext: [UInt8] = []
        package var keyLog: TLSKeyLog?

        package init(certificates: [TLSCertificate], tickets: TicketKeys) {
            self.certificates = certificates
            self.tickets = tickets
        }
    }

    package let certificates: [TLSCertificate]
    package let handshakeTimeoutNs: UInt64
    private let selector: CertificateSelector
    /// By the selector's groups.
    private let contexts: [OpaquePointer]
    private let offered: [String]
    private let tickets: TicketKeys
    private let authorities: TLSAuthorities?

    package init(_ settings: Settings) throws(TLSProblem) {
        certificates = settings.certificates
        handshakeTimeoutNs = settings.handshakeTimeoutNs
        tickets = settings.tickets
        authorities = settings.clientAuthorities
        selector = CertificateSelector(
            settings.certificates.map {
                .init(
                    names: $0.details.serverNames,
                    keyKind: String($0.details.keyDescription.prefix { $0 != " " }))
            })
        offered = settings.applicationProtocols
        var made: [OpaquePointer] = unsafe []
        do throws(TLSProblem) {
            for group in selector.groups {
                let context = unsafe try Self.makeContext(
                    TLS_server_method(), settings.rules, isServer: true, logsKeys: settings.keyLog != nil)
                unsafe made.append(context)
                for index in group { unsafe try Self.use(settings.certificates[index], in: context) }
            }
        } catch {
            unsafe made.forEach { unsafe SSL_CTX_free($0) }
            throw error
        }
        unsafe contexts = made
        super.init(keyLog: settings.keyLog)
        unsafe contexts.forEach { unsafe configure($0, settings) }
    }

    deinit {
        unsafe contexts.forEach { unsafe SSL_CTX_free($0) }
    }

    override var isServer: Bool { true }

    override func makeSession() -> OpaquePointer? {
        unsafe SSL_new(contexts[CertificateSelector.defaultGroup]).map { ssl in
            unsafe SSL_set_accept_state(ssl)
            return unsafe ssl
        }
    }

    private static func use(_ certificate: TLSCertificate, in context: OpaquePointer) throws(TLSProblem) {
        guard unsafe SSL_CTX_use_certificate(context, certificate.leaf) == 1 else {
            throw .ofLibrary(.certificate, "the certificate cannot be used")
        }
        guard unsafe SSL_CTX_use_PrivateKey(context, certificate.key) == 1 else {
            throw .ofLibrary(.key, "the private key cannot be used")
        }
        for index in unsafe certificate.chain.indices {
            guard unsafe rw_tls_add_chain_certificate(context, certificate.chain[index]) == 1 else {
                throw .ofLibrary(.certificate, "a certificate of the chain cannot be used")
            }
        }
    }

    /// What cannot fail.
    private func configure(_ context: OpaquePointer, _ settings: Settings) {
        // Sessions are kept by clients, in tickets: nothing to share between workers but the keys.
        unsafe rw_tls_set_session_cache(context, Int(SSL_SESS_CACHE_OFF))
        unsafe SSL_CTX_set_timeout(context, TicketKeys.lifetimeSeconds)
        let own = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe settings.sessionContext.withUnsafeBufferPointer {
            unsafe _ = SSL_CTX_set_session_id_context(context, $0.baseAddress, UInt32(min($0.count, 32)))
        }
        unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context) { ssl, name, iv, cipher, mac, seals in
            guard let name = unsafe name, let iv = unsafe iv, let server = unsafe TLSServerContext.of(ssl) else {
                return -1
            }
            return unsafe server.tickets.prepare(name: name, iv: iv, cipher: cipher, mac: mac, seals: seals == 1)
        }
        unsafe rw_tls_set_server_name_callback(
            context,
            { ssl, _, argument in
                let server = unsafe Unmanaged<TLSServerContext>.fromOpaque(argument!).takeUnretainedValue()
                return unsafe server.chooseCertificates(ssl!)
            }, own)
        if !offered.isEmpty {
            unsafe SSL_CTX_set_alpn_select_cb(
                context,
                { _, chosen, chosenCount, list, count, argument in
                    let server = unsafe Unmanaged<TLSServerContext>.fromOpaque(argument!).takeUnretainedValue()
                    let clients = unsafe UnsafeBufferPointer(start: list, count: Int(count))
                    return unsafe server.chooseProtocol(among: clients, chosen!, chosenCount!)
                }, own)
        }
        if certificates.contains(where: { !$0.staple.isEmpty }) {
            unsafe rw_tls_set_status_callback(
                context,
                { ssl, argument in
                    let server = unsafe Unmanaged<TLSServerContext>.fromOpaque(argument!).takeUnretainedValue()
                    return unsafe server.staple(ssl!)
                }, own)
        }
        guard settings.clientCertificate != .ignored, let authorities else { return }
        unsafe SSL_CTX_set1_cert_store(context, authorities.store)
        unsafe authorities.announce(in: context)
        let required = settings.clientCertificate == .required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nil)
    }

    private static func of(_ ssl: OpaquePointer?) -> TLSServerContext? {
        guard let session = unsafe TLSSession.of(ssl) else { return nil }
        return unsafe session.pointee.context.takeUnretainedValue() as? TLSServerContext
    }

    // MARK: In the handshake

    private func chooseCertificates(_ ssl: OpaquePointer) -> Int32 {
        guard let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return SSL_TLSEXT_ERR_NOACK }
        let group = unsafe selector.group(for: String(cString: name))
        if group != CertificateSelector.defaultGroup { unsafe _ = SSL_set_SSL_CTX(ssl, contexts[group]) }
        return SSL_TLSEXT_ERR_OK
    }

    /// RFC 7301 §3.2: the server's preference; without a common one the handshake ends.
    private func chooseProtocol(
        among clients: UnsafeBufferPointer<UInt8>, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>,
        _ chosenCount: UnsafeMutablePointer<UInt8>
    ) -> Int32 {
        for own in offered {
            var place = 0
            while place < clients.count {
                let count = unsafe Int(clients[place])
                let end = place + 1 + count
                guard end <= clients.count else { break }
                if count == own.utf8.count, unsafe clients[place + 1..<end].elementsEqual(own.utf8) {
                    // Into the client's own list, which lives until OpenSSL has copied it.
                    unsafe chosen.pointee = clients.baseAddress! + place + 1
                    unsafe chosenCount.pointee = UInt8(count)
                    return SSL_TLSEXT_ERR_OK
                }
                place = end
            }
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

    private func staple(_ ssl: OpaquePointer) -> Int32 {
        let leaf = unsafe SSL_get_certificate(ssl)
        guard let own = certificates.first(where: { unsafe $0.leaf == leaf }), !own.staple.isEmpty else {
            return SSL_TLSEXT_ERR_NOACK
        }
        let copy = unsafe own.staple.withUnsafeBytes { unsafe rw_tls_duplicate($0.baseAddress, $0.count) }
        unsafe rw_tls_set_staple(ssl, copy?.assumingMemoryBound(to: UInt8.self), Int32(own.staple.count))
        return SSL_TLSEXT_ERR_OK
    }
}
