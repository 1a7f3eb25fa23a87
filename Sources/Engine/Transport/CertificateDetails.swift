internal import CTLS

/// What a certificate says, as text: for filters, headers, logs and the admin interface.
public struct CertificateDetails: Sendable, Equatable {
    /// Distinguished names as RFC 2253 writes them: `CN=client,O=Example`.
    public var subject = ""
    public var issuer = ""
    /// In hexadecimal, upper case.
    public var serialNumber = ""
    /// Subject alternative names (RFC 5280 §4.2.1.6).
    public var dnsNames: [String] = []
    public var uriNames: [String] = []
    public var ipNames: [String] = []
    /// Seconds from the epoch.
    public var notBefore: Int64 = 0
    public var notAfter: Int64 = 0
    /// SHA-256 of the certificate's DER form, in lower-case hexadecimal.
    public var fingerprint = ""
    /// Algorithm and size of the public key: `RSA 2048`, `EC 256`.
    public var keyDescription = ""

    /// The names that clients may know the owner by: of the SAN extension, or without any the common name.
    package var serverNames: [String] {
        let names = dnsNames + ipNames
        return names.isEmpty && !commonName.isEmpty ? [commonName] : names
    }

    package var commonName = ""

    /// - Parameter certificate: an `X509 *`, borrowed
    init(_ certificate: OpaquePointer) {
        subject = unsafe Self.text(of: unsafe X509_get_subject_name(certificate))
        issuer = unsafe Self.text(of: unsafe X509_get_issuer_name(certificate))
        commonName = unsafe Self.commonName(of: unsafe X509_get_subject_name(certificate))
        serialNumber = unsafe Self.serialNumber(of: certificate)
        unsafe _ = rw_tls_seconds(X509_get0_notBefore(certificate), &notBefore)
        unsafe _ = rw_tls_seconds(X509_get0_notAfter(certificate), &notAfter)
        fingerprint = unsafe Self.fingerprint(of: certificate)
        if let key = unsafe X509_get0_pubkey(certificate) {
            let name = unsafe EVP_PKEY_get0_type_name(key).map { unsafe String(cString: $0) } ?? "unknown"
            keyDescription = unsafe "\(name) \(EVP_PKEY_get_bits(key))"
        }
        unsafe readAlternativeNames(certificate)
    }

    private static func text(of name: OpaquePointer?) -> String {
        guard let name = unsafe name, let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe BIO_free(bio) }
        guard unsafe rw_tls_print_name(bio, name) >= 0 else { return "" }
        return unsafe takeText(bio)
    }

    private static func takeText(_ bio: OpaquePointer) -> String {
        var text: [UInt8] = []
        unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
            while true {
                let count = unsafe BIO_read(bio, buffer.baseAddress, Int32(buffer.count))
                if count <= 0 { break }
                unsafe text.append(contentsOf: buffer[..<Int(count)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func commonName(of name: OpaquePointer?) -> String {
        guard let name = unsafe name else { return "" }
        let index = unsafe X509_NAME_get_index_by_NID(name, NID_commonName, -1)
        guard index >= 0, let entry = unsafe X509_NAME_get_entry(name, index),
            let data = unsafe X509_NAME_ENTRY_get_data(entry)
        else { return "" }
        let bytes = unsafe UnsafeBufferPointer(start: ASN1_STRING_get0_data(data), count: Int(ASN1_STRING_length(data)))
        return unsafe String(decoding: bytes, as: UTF8.self)
    }

    private static func serialNumber(of certificate: OpaquePointer) -> String {
        guard let number = unsafe ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nil) else { return "" }
        defer { unsafe BN_free(number) }
        guard let text = unsafe BN_bn2hex(number) else { return "" }
        defer { unsafe CRYPTO_free(text, nil, 0) }
        return unsafe String(cString: text)
    }

    private static func fingerprint(of certificate: OpaquePointer) -> String {
        unsafe withUnsafeTemporaryAllocation(byteCount: Int(EVP_MAX_MD_SIZE), alignment: 1) { digest in
            var count: UInt32 = 0
            guard
                unsafe X509_digest(
                    certificate, EVP_sha256(), digest.baseAddress?.assumingMemoryBound(to: UInt8.self), &count) == 1
            else { return "" }
            return unsafe String(hexadecimal: digest[..<Int(count)])
        }
    }

    private mutating func readAlternativeNames(_ certificate: OpaquePointer) {
        guard let found = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return }
        let names = OpaquePointer(found)
        defer { unsafe rw_tls_free_names(names) }
        for index in 0..<(unsafe rw_tls_names_count(names)) {
            guard let name = unsafe rw_tls_name_at(names, index) else { continue }
            let isAddress = unsafe rw_tls_name_is_ip(name) != 0
            let isDNS = unsafe rw_tls_name_is_dns(name) != 0
            guard unsafe isAddress || isDNS || rw_tls_name_is_uri(name) != 0 else { continue }
            var count: Int32 = 0
            let start = unsafe rw_tls_name_bytes(name, &count)
            let bytes = unsafe UnsafeBufferPointer(start: start, count: Int(count))
            if isAddress {
                if let text = unsafe Self.address(bytes) { ipNames.append(text) }
            } else if isDNS {
                unsafe dnsNames.append(String(decoding: bytes, as: UTF8.self))
            } else {
                unsafe uriNames.append(String(decoding: bytes, as: UTF8.self))
            }
        }
    }

    private static func address(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        switch bytes.count {
        case 4: return unsafe NetworkAddress(ipv4Bits: bytes.reduce(0) { $0 << 8 | UInt32($1) }, port: 0).host
        case 16: return unsafe NetworkAddress(ipv6Bits: bytes.reduce(0) { $0 << 8 | UInt128($1) }, port: 0).host
        default: return nil
        }
    }
}

extension String {
    init(hexadecimal bytes: some Sequence<UInt8>) {
        var text: [UInt8] = []
        let digits = Array("0123456789abcdef".utf8)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        self = String(decoding: text, as: UTF8.self)
    }
}
