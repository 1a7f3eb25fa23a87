internal import Config
internal import Engine

/// TLS of a listener, with everything that it points to loaded.
package final class ListenerTLS: Sendable {
    let context: TLSServerContext
    let files: TLSFiles
    /// In the order of the configuration.
    let certificates: [LoadedCertificate]

    init(context: TLSServerContext, files: TLSFiles, certificates: [LoadedCertificate]) {
        self.context = context
        self.files = files
        self.certificates = certificates
    }
}

/// TLS of a cluster.
package final class ClusterTLS: Sendable {
    let context: TLSClientContext
    let files: TLSFiles
    let certificates: [LoadedCertificate]

    init(context: TLSClientContext, files: TLSFiles, certificates: [LoadedCertificate]) {
        self.context = context
        self.files = files
        self.certificates = certificates
    }
}

/// A certificate that is in use, and where it came from.
package struct LoadedCertificate: Sendable {
    var path: String
    var details: CertificateDetails
}

/// Loads what `tls` of listeners and clusters points to. What cannot be used is reported at the option that names it.
struct TLSCompiler: Sendable {
    private let tickets = TicketKeys()
    private let keyLogs = KeyLogs()
    /// `ringway check` opens no file for writing.
    var opensKeyLogs = true

    func rotateTicketKeys() { tickets?.rotate() }

    // MARK: Listeners

    /// - Parameter protocols: what an `http:` listener speaks; nil for others
    func compile(
        _ configuration: ListenerTLSConfiguration, of listener: String, speaking protocols: [String]?,
        _ diagnostics: Diagnostics
    ) -> ListenerTLS? {
        var files = TLSFiles()
        var certificates: [TLSCertificate] = []
        for entry in configuration.certificates {
            if let loaded = certificate(entry, &files, diagnostics) { certificates.append(loaded) }
        }
        let clientAuthorities = configuration.clientCA.flatMap { authorities($0, &files, diagnostics) }
        let keyLog = keyLog(configuration.common, diagnostics)
        guard let tickets else {
            diagnostics.report(
                "the system gives no random numbers", expected: "a system that has some",
                at: configuration.common.origin.position)
            return nil
        }
        // What is missing was reported.
        guard !certificates.isEmpty, certificates.count == configuration.certificates.count,
            (configuration.clientCA == nil) == (clientAuthorities == nil)
        else { return nil }
        var settings = TLSServerContext.Settings(certificates: certificates, tickets: tickets)
        settings.rules = TLSRules(configuration.common)
        settings.applicationProtocols = configuration.common.alpn ?? protocols ?? []
        if let protocols { settings.applicationProtocols.removeAll { !protocols.contains($0) } }
        settings.clientAuthorities = clientAuthorities
        settings.clientCertificate =
            configuration.clientCA == nil
            ? .ignored : configuration.clientCertificate == .require ? .required : .optional
        settings.handshakeTimeoutNs = configuration.handshakeTimeout.nanoseconds
        settings.sessionContext = Self.sessionContext(settings, listener)
        settings.keyLog = keyLog
        do throws(TLSProblem) {
            return ListenerTLS(
                context: try TLSServerContext(settings), files: files,
                certificates: zip(configuration.certificates, certificates).map {
                    LoadedCertificate(path: $0.certificate.path, details: $1.details)
                })
        } catch {
            report(error, configuration.common, configuration.certificates.first, diagnostics)
            return nil
        }
    }

    /// All listeners seal tickets with the same keys, so each says which are its own: what was verified by another
    /// one, or with authorities that have gone, does not do here.
    private static func sessionContext(_ settings: TLSServerContext.Settings, _ listener: String) -> [UInt8] {
        var hash = FNV1a()
        hash.add(listener)
        hash.add(settings.clientCertificate == .required ? "required" : "\(settings.clientCertificate)")
        for authority in settings.clientAuthorities?.details ?? [] { hash.add(authority.fingerprint) }
        return hash.bytes
    }

    // MARK: Clusters

    func compile(
        _ configuration: ClusterTLSConfiguration, for upstreamProtocol: UpstreamProtocol, _ diagnostics: Diagnostics
    ) -> ClusterTLS? {
        var files = TLSFiles()
        var settings = TLSClientContext.Settings()
        settings.rules = TLSRules(configuration.common)
        settings.serverName = configuration.serverName
        settings.applicationProtocols = configuration.common.alpn ?? Self.protocols(upstreamProtocol)
        settings.verifies = configuration.verifies
        settings.subjectNames = configuration.subjectNames
        settings.keyLog = keyLog(configuration.common, diagnostics)
        let errorsBefore = diagnostics.reportCount
        settings.authorities = configuration.ca.flatMap { authorities($0, &files, diagnostics) }
        settings.certificate = configuration.certificate.flatMap { certificate($0, &files, diagnostics) }
        guard diagnostics.reportCount == errorsBefore else { return nil }
        do throws(TLSProblem) {
            let loaded = zip([configuration.certificate], [settings.certificate]).compactMap { configured, loaded in
                configured.flatMap { configured in
                    loaded.map { LoadedCertificate(path: configured.certificate.path, details: $0.details) }
                }
            }
            return ClusterTLS(context: try TLSClientContext(settings), files: files, certificates: loaded)
        } catch {
            report(error, configuration.common, configuration.certificate, diagnostics)
            return nil
        }
    }

    private static func protocols(_ upstreamProtocol: UpstreamProtocol) -> [String] {
        switch upstreamProtocol {
        case .http1: []
        case .http2: ["h2"]
        case .negotiated: ["h2", "http/1.1"]
        }
    }

    // MARK: Files

    private func certificate(
        _ configuration: CertificateConfiguration, _ files: inout TLSFiles, _ diagnostics: Diagnostics
    ) -> TLSCertificate? {
        let pem = files.read(configuration.certificate, diagnostics)
        let key = files.read(configuration.key, diagnostics)
        let staple = configuration.ocspStaple.flatMap { files.read($0, diagnostics) }
        guard let pem, let key, (configuration.ocspStaple == nil) == (staple == nil) else { return nil }
        do throws(TLSProblem) {
            return try TLSCertificate(pem: pem, keyPEM: key, staple: staple ?? [])
        } catch {
            let file =
                switch error.part {
                case .key: configuration.key
                case .staple: configuration.ocspStaple ?? configuration.certificate
                default: configuration.certificate
                }
            report(error, file, diagnostics)
            return nil
        }
    }

    private func authorities(
        _ file: FileReference, _ files: inout TLSFiles, _ diagnostics: Diagnostics
    ) -> TLSAuthorities? {
        guard let pem = files.read(file, diagnostics) else { return nil }
        do throws(TLSProblem) {
            return try TLSAuthorities(pem: pem)
        } catch {
            report(error, file, diagnostics)
            return nil
        }
    }

    private func keyLog(_ common: TLSProtocolConfiguration, _ diagnostics: Diagnostics) -> TLSKeyLog? {
        guard opensKeyLogs, let file = common.keyLog else { return nil }
        return keyLogs.log(to: file, diagnostics)
    }

    // MARK: Errors

    private func report(_ problem: TLSProblem, _ file: FileReference, _ diagnostics: Diagnostics) {
        let expected =
            switch problem.part {
            case .key: "the private key of the certificate, as PEM"
            case .staple: "an OCSP response in DER form"
            case .authorities: "certificates of authorities, as PEM"
            default: "a certificate and those that lead to a root, as PEM"
            }
        diagnostics.report(
            "\(file.path.quotedForMessage): \(problem.reason)", expected: expected, at: file.origin.position)
    }

    private func report(
        _ problem: TLSProblem, _ common: TLSProtocolConfiguration, _ certificate: CertificateConfiguration?,
        _ diagnostics: Diagnostics
    ) {
        switch problem.part {
        case .certificate, .key, .authorities, .staple:
            if let certificate {
                report(problem, problem.part == .key ? certificate.key : certificate.certificate, diagnostics)
            }
        case .ciphers:
            diagnostics.report(
                problem.reason, expected: "names as `openssl ciphers` lists them",
                at: common.ciphersOrigin.position)
        case .cipherSuites:
            diagnostics.report(
                problem.reason, expected: "names such as TLS_AES_128_GCM_SHA256",
                at: common.cipherSuitesOrigin.position)
        case .groups:
            diagnostics.report(
                problem.reason, expected: "names such as X25519 or P-256", at: common.groupsOrigin.position)
        case .versions, .library:
            diagnostics.report(problem.reason, expected: "what OpenSSL can do", at: common.origin.position)
        }
    }
}

extension TLSRules {
    fileprivate init(_ configuration: TLSProtocolConfiguration) {
        self.init()
        minVersion = TLSVersion(configuration.minVersion)
        maxVersion = configuration.maxVersion.map(TLSVersion.init)
        ciphers = configuration.ciphers
        cipherSuites = configuration.cipherSuites
        groups = configuration.groups
    }
}

extension TLSVersion {
    fileprivate init(_ version: TLSProtocolConfiguration.Version) {
        self = version == .tls12 ? .tls12 : .tls13
    }
}

/// FNV-1a with 64 bits: to tell settings apart, not to keep anything secret.
private struct FNV1a {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ text: String) {
        for byte in text.utf8 { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
        state = (state ^ 0xFF) &* 0x100_0000_01b3
    }

    var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: state >> (8 * UInt64($0))) } }
}
