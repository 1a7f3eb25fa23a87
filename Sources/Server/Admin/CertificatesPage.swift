internal import Engine
internal import Filters
internal import Glibc
internal import HTTP

/// `/certs`: the certificates in use. Never their keys.
extension AdminHandler {
    func certificates(_ request: AdminRequest) -> LocalResponse {
        let certificates = control.snapshot?.certificates ?? []
        let now = Int64(time(nil))
        if request.wantsJSON {
            return .json(.object([("certificates", .array(certificates.map { Self.json($0, now: now) }))]))
        }
        var text = ""
        for certificate in certificates {
            let details = certificate.details
            let names = details.dnsNames + details.ipNames + details.uriNames
            text += "\(certificate.owner.label) \(certificate.owner.name): \(certificate.path)\n"
            text += "  subject      \(details.subject)\n  issuer       \(details.issuer)\n"
            text += "  names        \(names.joined(separator: ", "))\n  key          \(details.keyDescription)\n"
            text += "  serial       \(details.serialNumber)\n  fingerprint  \(details.fingerprint)\n"
            text += "  valid        \(Self.date(details.notBefore)) to \(Self.date(details.notAfter))\n"
            text += "  days_left    \(Self.daysLeft(details.notAfter, now: now))\n"
        }
        return LocalResponse(.ok, text: text)
    }

    private static func json(_ certificate: Snapshot.UsedCertificate, now: Int64) -> JSON {
        let details = certificate.details
        return .object([
            (certificate.owner.label, .string(certificate.owner.name)),
            ("file", .string(certificate.path)),
            ("subject", .string(details.subject)),
            ("issuer", .string(details.issuer)),
            ("dns_names", .array(details.dnsNames.map { .string($0) })),
            ("ip_names", .array(details.ipNames.map { .string($0) })),
            ("uri_names", .array(details.uriNames.map { .string($0) })),
            ("key", .string(details.keyDescription)),
            ("serial_number", .string(details.serialNumber)),
            ("fingerprint_sha256", .string(details.fingerprint)),
            ("not_before", .string(date(details.notBefore))),
            ("not_after", .string(date(details.notAfter))),
            ("days_left", .literal("\(daysLeft(details.notAfter, now: now))")),
        ])
    }

    /// Whole days, negative once it has expired.
    private static func daysLeft(_ end: Int64, now: Int64) -> Int64 {
        let seconds = end - now
        return seconds >= 0 ? seconds / 86_400 : -((-seconds + 86_399) / 86_400)
    }

    /// `2026-03-01T12:00:00Z` (RFC 3339).
    private static func date(_ epochSeconds: Int64) -> String {
        var time = time_t(epochSeconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&time, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
