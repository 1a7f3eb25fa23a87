internal import CTLS

/// The versions that are spoken. Older ones are not: RFC 8996.
package enum TLSVersion: Int32, Sendable, Comparable {
    case tls12 = 0x0303
    case tls13 = 0x0304

    package static func < (left: TLSVersion, right: TLSVersion) -> Bool { left.rawValue < right.rawValue }
}

/// What both sides of TLS have in common.
package struct TLSRules: Sendable, Equatable {
    package var minVersion = TLSVersion.tls12
    /// nil for the newest there is.
    package var maxVersion: TLSVersion?
    /// TLS 1.2 suites by OpenSSL's names, best first; empty for those of RFC 9325 §4.2.
    package var ciphers: [String] = []
    /// TLS 1.3 suites; empty for all.
    package var cipherSuites: [String] = []
    /// Key exchange groups, best first; empty for a hybrid post-quantum one where the library has it, then X25519,
    /// P-256 and P-384.
    package var groups: [String] = []

    package init() {}

    private static let defaultCiphers = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    ]
    private static let defaultGroups = "X25519:P-256:P-384"
    private static let defaultGroupsWithHybrid = "X25519MLKEM768:" + defaultGroups

    /// - Parameter context: an `SSL_CTX *`
    func apply(to context: OpaquePointer) throws(TLSProblem) {
        guard unsafe rw_tls_set_min_version(context, minVersion.rawValue) == 1,
            unsafe rw_tls_set_max_version(context, maxVersion?.rawValue ?? 0) == 1
        else { throw .ofLibrary(.versions, "the library does not speak these versions") }
        let list = (ciphers.isEmpty ? Self.defaultCiphers : ciphers).joined(separator: ":")
        guard unsafe SSL_CTX_set_cipher_list(context, list) == 1 else {
            throw .ofLibrary(.ciphers, "the library has none of these ciphers")
        }
        if !cipherSuites.isEmpty {
            guard unsafe SSL_CTX_set_ciphersuites(context, cipherSuites.joined(separator: ":")) == 1 else {
                throw .ofLibrary(.cipherSuites, "the library does not have these cipher suites")
            }
        }
        if groups.isEmpty {
            if unsafe rw_tls_set_groups(context, Self.defaultGroupsWithHybrid) != 1 {
                ERR_clear_error()
                unsafe _ = rw_tls_set_groups(context, Self.defaultGroups)
            }
        } else if unsafe rw_tls_set_groups(context, groups.joined(separator: ":")) != 1 {
            throw .ofLibrary(.groups, "the library does not have these groups")
        }
        unsafe rw_tls_set_mode(context)
        unsafe rw_tls_set_options(context)
    }
}

/// Certificates of authorities, as an `X509_STORE`.
@safe
package final class TLSAuthorities: @unchecked Sendable {
    let store: OpaquePointer
    /// The names that a server tells its clients, `X509_NAME` each.
    private let certificates: [OpaquePointer]
    package let details: [CertificateDetails]

    /// The most authorities in one file: more than any system's bundle has.
    private static let authoritiesMax = 2000

    /// - Parameter pem: certificates as PEM
    package init(pem: [UInt8]) throws(TLSProblem) {
        let found = unsafe try TLSCertificate.certificates(in: pem, part: .authorities, max: Self.authoritiesMax)
        guard let store = unsafe X509_STORE_new() else { throw TLSProblem(.library, "out of memory") }
        unsafe found.forEach { unsafe X509_STORE_add_cert(store, $0) }
        // A certificate that is in the file twice is no error.
        ERR_clear_error()
        unsafe self.store = store
        unsafe certificates = found
        details = unsafe found.map { unsafe CertificateDetails($0) }
    }

    deinit {
        unsafe X509_STORE_free(store)
        unsafe certificates.forEach { unsafe X509_free($0) }
    }

    /// Tells clients which authorities the server takes certificates of.
    func announce(in context: OpaquePointer) {
        unsafe certificates.forEach { unsafe _ = SSL_CTX_add_client_CA(context, $0) }
    }
}

/// Where the secrets of sessions go that an operator wants to decrypt a capture with: one line each, in the format of
/// NSS. Called on the workers.
package typealias TLSKeyLog = @Sendable (String) -> Void

/// An `SSL_CTX` of either side, and what its callbacks need.
@safe
package class TLSContext: @unchecked Sendable {
    let keyLog: TLSKeyLog?

    init(keyLog: TLSKeyLog?) { self.keyLog = keyLog }

    /// - Parameter logsKeys: an operator wants to know them; servers need them in any case (`TLSRecordLayer`)
    static func makeContext(
        _ method: OpaquePointer?, _ rules: TLSRules, isServer: Bool, logsKeys: Bool
    ) throws(TLSProblem) -> OpaquePointer {
        guard let context = unsafe SSL_CTX_new(method) else { throw .ofLibrary(.library, "no TLS context") }
        do throws(TLSProblem) {
            unsafe try rules.apply(to: context)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        // Alerts that are sent tell what OpenSSL did not fail for: a renegotiation that it refused.
        unsafe SSL_CTX_set_info_callback(context) { ssl, event, value in
            guard event & SSL_CB_ALERT != 0, event & SSL_CB_WRITE != 0, value & 0xFF == SSL_AD_NO_RENEGOTIATION,
                let session = unsafe TLSSession.of(ssl)
            else { return }
            unsafe session.pointee.refusedRenegotiation = true
        }
        if isServer || logsKeys {
            unsafe SSL_CTX_set_keylog_callback(context) { ssl, line in
                guard let line = unsafe line, let session = unsafe TLSSession.of(ssl) else { return }
                if unsafe session.pointee.isServer { unsafe session.pointee.note(keyLog: line) }
                unsafe session.pointee.context._withUnsafeGuaranteedRef { unsafe $0.keyLog?(String(cString: line)) }
            }
        }
        return unsafe context
    }

    /// A new session. nil without memory.
    func makeSession() -> OpaquePointer? { fatalError("abstract") }
    var isServer: Bool { fatalError("abstract") }
}
