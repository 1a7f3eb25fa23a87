internal import Engine

/// The value of `x-forwarded-client-cert`, in Envoy's form: `Hash=…;Subject="…";URI=…;DNS=…`.
enum ClientCertificate {
    static func text(_ certificate: CertificateDetails) -> [UInt8] {
        var parts = ["Hash=\(certificate.fingerprint)", "Subject=\(quoted(certificate.subject))"]
        parts += certificate.uriNames.map { "URI=\(safe($0))" }
        parts += certificate.dnsNames.map { "DNS=\(safe($0))" }
        return Array(parts.joined(separator: ";").utf8)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { result += "\\" }
            if isFieldText(scalar) { result.unicodeScalars.append(scalar) }
        }
        return result + "\""
    }

    /// As it is, unless it has what means something in the field: then in quotes.
    private static func safe(_ text: String) -> String {
        let needsQuotes = text.unicodeScalars.contains { ",;=\"\\".unicodeScalars.contains($0) || !isFieldText($0) }
        return needsQuotes ? quoted(text) : text
    }

    /// RFC 9110 §5.5. A certificate is signed by somebody we trust, but not for its taste in control characters.
    private static func isFieldText(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x20 && scalar.value != 0x7F
    }
}
