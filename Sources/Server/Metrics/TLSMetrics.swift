internal import Engine
internal import Upstream

/// The families of TLS. Owners that speak none have no series.
struct TLSMetrics {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let plan: SeriesPlan
    let reloads: ApplyCounts

    var families: [MetricFamily] {
        let owners =
            plan.listeners.filter { $0.members.contains(where: \.speaksTLS) }.map { $0.erased }
            + plan.clusters.filter { $0.members.contains { $0.tls != nil } }.map { $0.erased }
        return [
            MetricFamily(
                "ringway_tls_handshakes_total", .counter, "Finished TLS handshakes by version.", owners
            ) { [registry] writer, item in
                let owner = item.owner
                writer.sample(owner, "version", "1.2", registry.sum(owner, ConnectionStat.tls12Handshakes))
                writer.sample(owner, "version", "1.3", registry.sum(owner, ConnectionStat.tls13Handshakes))
            },
            MetricFamily(
                "ringway_tls_resumptions_total", .counter, "Finished TLS handshakes that resumed a session.", owners
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.tlsResumptions))
            },
            MetricFamily(
                "ringway_tls_certificate_not_after_seconds", .gauge,
                "When a certificate ends, in seconds from the epoch.", certificates
            ) { writer, item in
                for ending in item.members { writer.sample(item.owner, "file", ending.path, ending.notAfter) }
            },
            MetricFamily(
                "ringway_tls_reloads_total", .counter, "Changed certificate files that were loaded or refused."
            ) { [reloads] writer in
                writer.sample(.process, "result", "applied", reloads.applied)
                writer.sample(.process, "result", "rejected", reloads.rejected)
            },
        ]
    }

    struct Ending: Sendable {
        let path: String
        /// Seconds from the epoch.
        let notAfter: UInt64
    }

    /// Of each owner. Those without series of their own show the one that ends first.
    var certificates: [Owned<Ending>] {
        plan.listeners.compactMap { item in
            ends(item, item.members.flatMap(\.chains).flatMap { $0.tls?.certificates ?? [] })
        }
            + plan.clusters.compactMap { item in
                ends(item, item.members.flatMap { snapshot.clusterTLS[$0.name]?.certificates ?? [] })
            }
    }

    private func ends<Member>(_ item: Owned<Member>, _ certificates: [LoadedCertificate]) -> Owned<Ending>? {
        // A file that an owner names twice is one series.
        var paths: Set<String> = []
        var endings = certificates.filter { paths.insert($0.path).inserted }.map {
            Ending(path: $0.path, notAfter: UInt64(max($0.details.notAfter, 0)))
        }
        if item.members.count > 1, let first = endings.min(by: { $0.notAfter < $1.notAfter }) {
            endings = [Ending(path: SeriesPlan.overflowName, notAfter: first.notAfter)]
        }
        guard !endings.isEmpty else { return nil }
        return Owned(owner: item.owner, name: item.name, members: endings)
    }
}
