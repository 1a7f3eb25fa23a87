/// A file that the configuration points to: read when the configuration is loaded, and again when it changes.
package struct FileReference: Sendable, Hashable {
    /// As configured; a relative one counts from the working directory of the process.
    package var path: String
    package var origin: ConfigOrigin

    package init(_ path: String, origin: ConfigOrigin = ConfigOrigin()) {
        self.path = path
        self.origin = origin
    }
}

/// A certificate with its private key, and an OCSP response to staple.
package struct CertificateConfiguration: Sendable, Equatable {
    /// The certificate and those that lead to a root, as PEM.
    package var certificate: FileReference
    package var key: FileReference
    /// In DER form.
    package var ocspStaple: FileReference?

    package init(certificate: FileReference, key: FileReference, ocspStaple: FileReference? = nil) {
        self.certificate = certificate
        self.key = key
        self.ocspStaple = ocspStaple
    }
}

/// What listeners and clusters have in common under `tls`.
package struct TLSProtocolConfiguration: Sendable, Equatable {
    package enum Version: Sendable, Equatable {
        case tls12, tls13
    }

    package var minVersion: Version
    /// nil for the newest there is.
    package var maxVersion: Version?
    /// Suites of TLS 1.2 by OpenSSL's names; empty for the defaults.
    package var ciphers: [String]
    /// Suites of TLS 1.3; empty for all.
    package var cipherSuites: [String]
    /// Key exchange groups; empty for the defaults.
    package var groups: [String]
    /// Protocols of the application (ALPN), best first; nil for what fits the listener.
    package var alpn: [String]?
    /// Secrets of sessions are written there.
    package var keyLog: FileReference?
    package var origin: ConfigOrigin
    /// Where the lists stand that only the library can judge.
    package var ciphersOrigin: ConfigOrigin
    package var cipherSuitesOrigin: ConfigOrigin
    package var groupsOrigin: ConfigOrigin

    package static let defaultMinVersion = Version.tls12

    package init(
        minVersion: Version = TLSProtocolConfiguration.defaultMinVersion, maxVersion: Version? = nil,
        ciphers: [String] = [], cipherSuites: [String] = [], groups: [String] = [], alpn: [String]? = nil,
        keyLog: FileReference? = nil, origin: ConfigOrigin = ConfigOrigin(),
        ciphersOrigin: ConfigOrigin = ConfigOrigin(), cipherSuitesOrigin: ConfigOrigin = ConfigOrigin(),
        groupsOrigin: ConfigOrigin = ConfigOrigin()
    ) {
        self.minVersion = minVersion
        self.maxVersion = maxVersion
        self.ciphers = ciphers
        self.cipherSuites = cipherSuites
        self.groups = groups
        self.alpn = alpn
        self.keyLog = keyLog
        self.origin = origin
        self.ciphersOrigin = ciphersOrigin
        self.cipherSuitesOrigin = cipherSuitesOrigin
        self.groupsOrigin = groupsOrigin
    }
}

/// `tls` of a listener.
package struct ListenerTLSConfiguration: Sendable, Equatable {
    package enum ClientCertificate: Sendable, Equatable {
        case require, optional
    }

    /// At least one. The first one is for clients that name no server, or one that no certificate is for.
    package var certificates: [CertificateConfiguration]
    package var common: TLSProtocolConfiguration
    /// Authorities whose clients' certificates are taken; nil asks for none.
    package var clientCA: FileReference?
    package var clientCertificate: ClientCertificate
    /// From the accepted connection to the end of the handshake.
    package var handshakeTimeout: TimeSpan

    package static let defaultHandshakeTimeout = TimeSpan.seconds(10)

    package init(
        certificates: [CertificateConfiguration], common: TLSProtocolConfiguration = TLSProtocolConfiguration(),
        clientCA: FileReference? = nil, clientCertificate: ClientCertificate = .require,
        handshakeTimeout: TimeSpan = ListenerTLSConfiguration.defaultHandshakeTimeout
    ) {
        self.certificates = certificates
        self.common = common
        self.clientCA = clientCA
        self.clientCertificate = clientCertificate
        self.handshakeTimeout = handshakeTimeout
    }
}

/// `tls` of a cluster.
package struct ClusterTLSConfiguration: Sendable, Equatable {
    package var common: TLSProtocolConfiguration
    /// Sent as the server's name, and what its certificate is checked for; nil sends none.
    package var serverName: String?
    /// Authorities that are trusted; nil for the system's.
    package var ca: FileReference?
    /// Whether the server's certificate is checked.
    package var verifies: Bool
    /// Instead of `serverName`, the names of which the certificate must have one; empty for `serverName`.
    package var subjectNames: [String]
    /// For servers that ask for one.
    package var certificate: CertificateConfiguration?

    package init(
        common: TLSProtocolConfiguration = TLSProtocolConfiguration(), serverName: String? = nil,
        ca: FileReference? = nil, verifies: Bool = true, subjectNames: [String] = [],
        certificate: CertificateConfiguration? = nil
    ) {
        self.common = common
        self.serverName = serverName
        self.ca = ca
        self.verifies = verifies
        self.subjectNames = subjectNames
        self.certificate = certificate
    }
}
