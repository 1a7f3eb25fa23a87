extension ConfigurationDecoder {
    /// `tls` of a listener. nil after an error without which there would be nothing to serve with.
    func listenerTLS(_ object: ConfigObject) -> ListenerTLSConfiguration? {
        let certificates = object.required(
            "certificates", .list(of: .object("certificate", certificate), count: ConfigLimits.certificates))
        let common = tlsProtocol(object)
        let clientCA = object.optional("client_ca", .file)
        let policy = object.optional(
            "client_certificate",
            .choice(["require": ListenerTLSConfiguration.ClientCertificate.require, "optional": .optional]))
        if policy != nil, object.entry("client_ca") == nil {
            object.reportMissing(
                "\"client_ca\"", expected: "the authorities whose certificates \"client_certificate\" is about")
        }
        let timeout = object.value(
            "handshake_timeout", .duration(in: ConfigLimits.handshakeTimeout),
            default: ListenerTLSConfiguration.defaultHandshakeTimeout)
        return ListenerTLSConfiguration(
            certificates: certificates ?? [], common: common, clientCA: clientCA,
            clientCertificate: policy ?? .require, handshakeTimeout: timeout)
    }

    /// `tls` of a cluster.
    func clusterTLS(_ object: ConfigObject) -> ClusterTLSConfiguration? {
        let common = tlsProtocol(object)
        let cert = object.optional("cert", .file)
        let key = object.optional("key", .file)
        if (object.entry("cert") == nil) != (object.entry("key") == nil) {
            object.reportMissing("\"cert\" or \"key\"", expected: "both or neither")
        }
        let verifies = object.value("verify", .bool, default: true)
        let names = object.value(
            "verify_san", .list(of: .subjectName, count: ConfigLimits.subjectNames), default: [])
        if !verifies, let entry = object.atMostOne(of: ["ca", "verify_san"]) {
            diagnostics.report(
                "\(entry.key.quotedForMessage) beside `verify: false`",
                expected: "either, because nothing is verified", at: entry.keyPosition)
        }
        return ClusterTLSConfiguration(
            common: common, serverName: object.optional("sni", .hostName), ca: object.optional("ca", .file),
            verifies: verifies, subjectNames: names,
            certificate: cert.flatMap { cert in key.map { CertificateConfiguration(certificate: cert, key: $0) } })
    }

    private func certificate(_ object: ConfigObject) -> CertificateConfiguration? {
        let cert = object.required("cert", .file)
        let key = object.required("key", .file)
        let staple = object.optional("ocsp_staple", .file)
        guard let cert, let key else { return nil }
        return CertificateConfiguration(certificate: cert, key: key, ocspStaple: staple)
    }

    private func tlsProtocol(_ object: ConfigObject) -> TLSProtocolConfiguration {
        let names = ConfigFormat<[String]>.list(of: .tlsName, count: ConfigLimits.tlsNames)
        let common = TLSProtocolConfiguration(
            minVersion: object.value(
                "min_version", .tlsVersion, default: TLSProtocolConfiguration.defaultMinVersion),
            maxVersion: object.optional("max_version", .tlsVersion),
            ciphers: object.value("ciphers", names, default: []),
            cipherSuites: object.value("cipher_suites", names, default: []),
            groups: object.value("groups", names, default: []),
            alpn: object.optional("alpn", .list(of: .applicationProtocol, count: ConfigLimits.applicationProtocols)),
            keyLog: object.optional("key_log", .file),
            origin: ConfigOrigin(object.position),
            ciphersOrigin: ConfigOrigin(object.position(of: "ciphers")),
            cipherSuitesOrigin: ConfigOrigin(object.position(of: "cipher_suites")),
            groupsOrigin: ConfigOrigin(object.position(of: "groups")))
        if common.minVersion == .tls13, common.maxVersion == .tls12 {
            diagnostics.report(
                "\"max_version\" is below \"min_version\"", expected: "at least \"min_version\"",
                at: object.position(of: "max_version"))
        }
        return common
    }
}

extension ConfigFormat where Value == FileReference {
    /// A path. Whether the file can be used is checked by those who load it.
    static var file: ConfigFormat {
        ConfigFormat("the path of a file") { value in
            guard let text = value.text else { return nil }
            guard !text.isEmpty, !text.utf8.contains(0) else {
                value.refuse()
                return nil
            }
            return FileReference(text, origin: ConfigOrigin(value.node.position))
        }
    }
}

extension ConfigFormat where Value == TLSProtocolConfiguration.Version {
    /// Quoted or not: `1.2` is text here.
    static var tlsVersion: ConfigFormat {
        choice(["1.2": .tls12, "1.3": .tls13])
    }
}

extension ConfigFormat where Value == String {
    /// RFC 7301 §3.1: 1 to 255 bytes.
    static var applicationProtocol: ConfigFormat {
        text("the name of a protocol such as h2 or http/1.1") { text throws(ConfigProblem) in
            guard (1...255).contains(text.utf8.count) else { throw ConfigProblem() }
            return text
        }
    }

    /// RFC 6066 §3: a host name; addresses are not sent.
    static var hostName: ConfigFormat {
        text("a host name such as api.internal") { text throws(ConfigProblem) in
            let isName = text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard isName, (1...253).contains(text.utf8.count) else { throw ConfigProblem() }
            return text
        }
    }

    /// A name in a certificate.
    static var subjectName: ConfigFormat {
        text("a host name, an address or a URI") { text throws(ConfigProblem) in
            guard (1...1024).contains(text.utf8.count), !text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
                throw ConfigProblem()
            }
            return text
        }
    }

    /// A cipher, suite or group: no separator of OpenSSL's lists, and none of the words that change a list.
    static var tlsName: ConfigFormat {
        text("a name such as ECDHE-RSA-AES128-GCM-SHA256") { text throws(ConfigProblem) in
            let isName = text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard isName, (1...64).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "-") else {
                throw ConfigProblem()
            }
            return text
        }
    }
}
