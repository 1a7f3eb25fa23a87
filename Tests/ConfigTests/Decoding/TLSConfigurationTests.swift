import Testing

@testable import Config

private let webCluster = "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]"

private func errors(inListenerTLS keys: String) -> [String] {
    errors(inListener: "address: :1\ntcp: web\ntls: { \(keys) }", clusters: webCluster)
}

@Test func aListenerWithTLSIsReadWithItsDefaults() throws {
    let text = document(
        listener: "address: :1\ntcp: web\ntls: { certificates: [{ cert: a.pem, key: a.key }] }", clusters: webCluster)
    let tls = try #require(configuration(text)?.listeners[0].tls)
    #expect(
        tls.certificates == [
            CertificateConfiguration(certificate: FileReference("a.pem"), key: FileReference("a.key"))
        ])
    #expect(tls.common == TLSProtocolConfiguration())
    #expect(tls.common.minVersion == .tls12 && tls.common.maxVersion == nil && tls.common.alpn == nil)
    #expect(tls.clientCA == nil && tls.clientCertificate == .require)
    #expect(tls.handshakeTimeout == .seconds(10))
}

@Test func everyKeyOfAListenersTLSIsRead() throws {
    let tls = try #require(
        configuration(
            document(
                listener: """
                    address: :1
                    tcp: web
                    tls:
                      certificates: [{ cert: a.pem, key: a.key, ocsp_staple: a.der }, { cert: b.pem, key: b.key }]
                      min_version: 1.2
                      max_version: "1.3"
                      alpn: [h2, http/1.1]
                      ciphers: [ECDHE-RSA-AES128-GCM-SHA256]
                      cipher_suites: [TLS_AES_128_GCM_SHA256]
                      groups: [X25519]
                      client_ca: ca.pem
                      client_certificate: optional
                      handshake_timeout: 3s
                      key_log: keys.txt
                    """, clusters: webCluster))?.listeners[0].tls)
    #expect(tls.certificates.map(\.certificate.path) == ["a.pem", "b.pem"])
    #expect(tls.certificates[0].ocspStaple == FileReference("a.der"))
    #expect(tls.common.minVersion == .tls12 && tls.common.maxVersion == .tls13)
    #expect(tls.common.alpn == ["h2", "http/1.1"])
    #expect(tls.common.ciphers == ["ECDHE-RSA-AES128-GCM-SHA256"])
    #expect(tls.common.cipherSuites == ["TLS_AES_128_GCM_SHA256"] && tls.common.groups == ["X25519"])
    #expect(tls.clientCA == FileReference("ca.pem") && tls.clientCertificate == .optional)
    #expect(tls.handshakeTimeout == .seconds(3) && tls.common.keyLog == FileReference("keys.txt"))
}

@Test func everyKeyOfAClustersTLSIsRead() throws {
    let text = document(
        cluster: """
            endpoints: ["10.0.0.1:1"]
            tls: { sni: api.internal, ca: ca.pem, cert: c.pem, key: c.key, verify_san: [a.test, "spiffe://x/y"] }
            """)
    let tls = try #require(configuration(text)?.clusters[0].tls)
    #expect(tls.serverName == "api.internal" && tls.ca == FileReference("ca.pem") && tls.verifies)
    #expect(tls.subjectNames == ["a.test", "spiffe://x/y"])
    #expect(tls.certificate?.key == FileReference("c.key"))
    let bare = try #require(configuration(document(cluster: "endpoints: [\"10.0.0.1:1\"]\ntls: {}"))?.clusters[0].tls)
    #expect(bare == ClusterTLSConfiguration())
}

@Test(arguments: [
    ("", "5:10: missing key \"certificates\" in tls; expected a list, each item an object"),
    ("certificates: []", "5:26: \"certificates\" has 0 items; expected at least 1"),
    ("certificates: [{ cert: a }]", "5:27: missing key \"key\" in certificate; expected the path of a file"),
    (
        "certificates: [{ cert: a, key: b }], min_version: 1.1",
        "5:62: \"min_version\" is \"1.1\"; expected one of 1.2, 1.3 (did you mean \"1.2\"?)"
    ),
    (
        "certificates: [{ cert: a, key: b }], min_version: 1.3, max_version: 1.2",
        "5:80: \"max_version\" is below \"min_version\"; expected at least \"min_version\""
    ),
    (
        "certificates: [{ cert: a, key: b }], client_certificate: optional",
        "5:10: missing key \"client_ca\" in tls; expected the authorities whose certificates \"client_certificate\" is about"
    ),
    (
        "certificates: [{ cert: a, key: b }], ciphers: [\"ALL:!MD5\"]",
        "5:59: an item of \"ciphers\" is \"ALL:!MD5\"; expected a name such as ECDHE-RSA-AES128-GCM-SHA256"
    ),
])
func wrongKeysOfAListenersTLSAreRefused(_ keys: String, _ error: String) {
    #expect(errors(inListenerTLS: keys) == [error])
}

@Test(arguments: [
    ("cert: a", "4:10: missing key \"cert\" or \"key\" in tls; expected both or neither"),
    ("sni: \"a b\"", "4:17: \"sni\" is \"a b\"; expected a host name such as api.internal"),
    (
        "verify: false, ca: a",
        "4:27: \"ca\" beside `verify: false`; expected either, because nothing is verified"
    ),
    ("verify_san: [\"\"]", "4:25: an item of \"verify_san\" is \"\"; expected a host name, an address or a URI"),
])
func wrongKeysOfAClustersTLSAreRefused(_ keys: String, _ error: String) {
    #expect(errors(inCluster: "endpoints: [\"10.0.0.1:1\"]\ntls: { \(keys) }") == [error])
}
