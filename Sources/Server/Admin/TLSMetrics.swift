internal import Config
internal import Engine
internal import Upstream

/// The families of TLS. Owners that speak none have no series.
struct TLSMetrics {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let reloads: ApplyCounts

    func write(to text: inout PrometheusText) {
        let owners: [(label: String, name: String, range: StatsRegistry.Range)] =
            snapshot.listeners.filter(\.speaksTLS).map { ("listener", $0.configuration.name, $0.stats) }
            + snapshot.clusters.values.filter { $0.tls != nil }.sorted { $0.name < $1.name }
            .map { ("cluster", $0.name, $0.stats) }
        text.family("ringway_tls_handshakes_total", .counter, "Finished TLS handshakes by version.")
        for owner in owners {
            text.sample(
                [owner.label: owner.name, "version": "1.2"], registry.sum(owner.range, ConnectionStat.tls12Handshakes))
            text.sample(
                [owner.label: owner.name, "version": "1.3"], registry.sum(owner.range, ConnectionStat.tls13Handshakes))
        }
        text.family("ringway_tls_resumptions_total", .counter, "Finished TLS handshakes that resumed a session.")
        for owner in owners {
            text.sample([owner.label: owner.name], registry.sum(owner.range, ConnectionStat.tlsResumptions))
        }
        text.family(
            "ringway_tls_certificate_not_after_seconds", .gauge, "When a certificate ends, in seconds from the epoch.")
        var written: Set<String> = []
        for certificate in snapshot.certificates {
            // A file that an owner names twice is one series.
            guard written.insert("\(certificate.owner)\u{0}\(certificate.path)").inserted else { continue }
            text.sample(
                [certificate.owner.label: certificate.owner.name, "file": certificate.path],
                UInt64(max(certificate.details.notAfter, 0)))
        }
        text.family(
            "ringway_tls_reloads_total", .counter, "Changed certificate files that were loaded or refused.")
        text.sample(["result": "applied"], reloads.applied)
        text.sample(["result": "rejected"], reloads.rejected)
    }
}
