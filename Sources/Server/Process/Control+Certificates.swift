internal import Config
internal import Engine
internal import Glibc
internal import Logging

/// What the watch over certificates remembers.
struct CertificateWatch {
    /// Files that changed, as they were when last looked at: loaded once they have kept still from one look to the next,
    /// so that a certificate and its key are not read while they are being replaced.
    var changed: [TLSFiles]?
    /// Files that could not be used: not tried again before they change again.
    var refused: [TLSFiles]?
}

/// Certificates while the process runs: files that change, keys of tickets, and days that pass.
extension Control {
    private static let lookNs: UInt64 = 1_000_000_000
    private static let dayNs: UInt64 = 24 * 3600 * 1_000_000_000
    /// Seconds before its end from which on a certificate is warned of.
    static let expiryWarningSeconds: Int64 = 21 * 24 * 3600

    func startCertificateWatch() {
        warnOfExpiry()
        lookAtCertificates()
        queue.async(afterNs: TicketKeys.rotationNs) { [self] in rotateTicketKeys() }
        queue.async(afterNs: Self.dayNs) { [self] in warnDaily() }
    }

    private func rotateTicketKeys() {
        compiler.rotateTicketKeys()
        queue.async(afterNs: TicketKeys.rotationNs) { [self] in rotateTicketKeys() }
    }

    private func warnDaily() {
        warnOfExpiry()
        queue.async(afterNs: Self.dayNs) { [self] in warnDaily() }
    }

    /// Looks at the files once a second: nothing has to be told, and a look is a stat for each file.
    private func lookAtCertificates() {
        queue.async(afterNs: Self.lookNs) { [self] in lookAtCertificates() }
        guard phase == .live, let running = snapshot else { return }
        guard !running.tlsFiles.allSatisfy(\.areUnchanged) else {
            certificateWatch = CertificateWatch()
            return
        }
        let now = running.tlsFiles.map(\.asTheyAreNow)
        if now == certificateWatch.refused { return }
        guard now == certificateWatch.changed else {
            certificateWatch.changed = now
            return
        }
        certificateWatch.changed = nil
        reloadCertificates(of: running, now)
    }

    private func reloadCertificates(of running: Snapshot, _ files: [TLSFiles]) {
        let diagnostics = Diagnostics(file: reloadPath ?? "configuration")
        guard
            let next = compiler.compile(
                running.configuration, source: running.source, previous: running, isSameGeneration: true,
                diagnostics: diagnostics)
        else {
            certificateReloads.rejected += 1
            certificateWatch.refused = files
            for error in diagnostics.errors { log.error("\(error); what was loaded before stays in use") }
            return
        }
        swap(to: next, sockets: ListenerSockets())
        certificateReloads.applied += 1
        log.notice("certificates loaded again")
        warnOfExpiry()
    }

    func warnOfExpiry() {
        let now = Int64(time(nil))
        for certificate in snapshot?.certificates ?? [] {
            let left = certificate.details.notAfter - now
            guard left < Self.expiryWarningSeconds else { continue }
            log.warning(
                left < 0 ? "certificate has expired" : "certificate expires soon",
                metadata: [
                    "file": "\(certificate.path)", "subject": "\(certificate.details.subject)",
                    "days_left": "\(left / 86_400)", certificate.owner.label: "\(certificate.owner.name)",
                ])
        }
    }
}

extension Snapshot {
    /// A certificate in use, and whose it is.
    struct UsedCertificate {
        var owner: (label: String, name: String)
        var path: String
        var details: CertificateDetails
    }

    var tlsFiles: [TLSFiles] {
        listeners.flatMap(\.chains).compactMap { $0.tls?.files }
            + clusterTLS.sorted { $0.key < $1.key }.map(\.value.files)
    }

    var certificates: [UsedCertificate] {
        var used: [UsedCertificate] = []
        for listener in listeners {
            for certificate in listener.chains.flatMap({ $0.tls?.certificates ?? [] }) {
                used.append(
                    UsedCertificate(
                        owner: ("listener", listener.configuration.name), path: certificate.path,
                        details: certificate.details))
            }
        }
        for (name, tls) in clusterTLS.sorted(by: { $0.key < $1.key }) {
            for certificate in tls.certificates {
                used.append(
                    UsedCertificate(owner: ("cluster", name), path: certificate.path, details: certificate.details))
            }
        }
        return used
    }
}
