internal import CTLS

/// A certificate with its chain and its private key, checked to belong together. Immutable.
@safe
package final class TLSCertificate: @unchecked Sendable {
    package let details: CertificateDetails
    /// An OCSP response in DER form to staple (RFC 6066 §8); empty for none.
    let staple: [UInt8]
    let leaf: OpaquePointer
    let chain: [OpaquePointer]
    let key: OpaquePointer

    /// The most certificates in one file.
    private static let certificatesMax = 16

    /// - Parameters:
    ///   - pem: the certificate, then those that lead to a root, as PEM
    ///   - keyPEM: its private key, as PEM, not encrypted
    ///   - staple: an OCSP response in DER form
    package init(pem: [UInt8], keyPEM: [UInt8], staple: [UInt8] = []) throws(TLSProblem) {
        var found = unsafe try Self.certificates(in: pem, part: .certificate, max: Self.certificatesMax)
        let leaf = unsafe found.removeFirst()
        do throws(TLSProblem) {
            unsafe key = try Self.privateKey(in: keyPEM, of: leaf)
            if !staple.isEmpty { try Self.check(staple) }
        } catch {
            unsafe X509_free(leaf)
            unsafe found.forEach { unsafe X509_free($0) }
            throw error
        }
        unsafe self.leaf = leaf
        unsafe chain = found
        self.staple = staple
        details = unsafe CertificateDetails(leaf)
    }

    deinit {
        unsafe X509_free(leaf)
        unsafe chain.forEach { unsafe X509_free($0) }
        unsafe EVP_PKEY_free(key)
    }

    /// The certificates of a PEM file, in order; the caller frees them.
    static func certificates(
        in pem: [UInt8], part: TLSProblem.Part, max: Int
    ) throws(TLSProblem) -> [OpaquePointer] {
        guard let bio = unsafe memoryBIO(pem) else { throw TLSProblem(.library, "out of memory") }
        defer { unsafe BIO_free(bio) }
        var found: [OpaquePointer] = unsafe []
        var problem: TLSProblem?
        while let certificate = unsafe PEM_read_bio_X509(bio, nil, refusePassword, nil) {
            unsafe found.append(certificate)
            guard unsafe found.count <= max else {
                problem = TLSProblem(part, "more than \(max) certificates")
                break
            }
        }
        if problem == nil {
            let error = ERR_peek_last_error()
            let isAtEnd = error == 0 || rw_tls_error_reason(error) == PEM_R_NO_START_LINE
            if unsafe found.isEmpty, isAtEnd {
                ERR_clear_error()
                problem = TLSProblem(part, "no certificate in PEM form")
            } else if !isAtEnd {
                problem = .ofLibrary(part, "unreadable certificate")
            }
        }
        ERR_clear_error()
        if let problem {
            unsafe found.forEach { unsafe X509_free($0) }
            throw problem
        }
        return unsafe found
    }

    private static func privateKey(in pem: [UInt8], of leaf: OpaquePointer) throws(TLSProblem) -> OpaquePointer {
        // OpenSSL calls anything that it can make nothing of unsupported.
        guard String(decoding: pem, as: UTF8.self).contains("PRIVATE KEY-----") else {
            throw TLSProblem(.key, "no private key in PEM form")
        }
        guard let bio = unsafe memoryBIO(pem) else { throw TLSProblem(.library, "out of memory") }
        defer { unsafe BIO_free(bio) }
        guard let key = unsafe PEM_read_bio_PrivateKey(bio, nil, refusePassword, nil) else {
            throw .ofLibrary(.key, "unreadable private key (keys with a password are not taken)")
        }
        guard unsafe X509_check_private_key(leaf, key) == 1 else {
            ERR_clear_error()
            unsafe EVP_PKEY_free(key)
            throw TLSProblem(.key, "the private key does not belong to the certificate")
        }
        return unsafe key
    }

    private static func check(_ staple: [UInt8]) throws(TLSProblem) {
        let isReadable = unsafe staple.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            guard let response = unsafe d2i_OCSP_RESPONSE(nil, &start, bytes.count) else { return false }
            unsafe OCSP_RESPONSE_free(response)
            return true
        }
        if !isReadable {
            ERR_clear_error()
            throw TLSProblem(.staple, "no OCSP response in DER form")
        }
    }

    private static func memoryBIO(_ bytes: [UInt8]) -> OpaquePointer? {
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        let written = unsafe bytes.withUnsafeBytes { unsafe BIO_write(bio, $0.baseAddress, Int32($0.count)) }
        guard bytes.isEmpty || written == Int32(bytes.count) else {
            unsafe BIO_free(bio)
            return nil
        }
        return unsafe bio
    }
}

/// OpenSSL would ask on the terminal for the password of a key.
private func refusePassword(
    _: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?
) -> Int32 { -1 }
