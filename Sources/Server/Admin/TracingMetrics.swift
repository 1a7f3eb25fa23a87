internal import Config
internal import Engine
internal import Filters

/// The families of tracing.
struct TracingMetrics {
    let registry: StatsRegistry
    let snapshot: Snapshot

    func write(to text: inout PrometheusText) {
        writeListeners(&text)
        writeExporters(&text)
    }

    private func writeListeners(_ text: inout PrometheusText) {
        let listeners = snapshot.listeners.compactMap { listener -> (name: String, stats: StatsRegistry.Range)? in
            guard case .http(let http) = listener.terminal, let tracing = http.tracing else { return nil }
            return (listener.configuration.name, tracing.stats)
        }
        guard !listeners.isEmpty else { return }
        text.family("ringway_tracing_decisions_total", .counter, "Requests by whether and why they are traced.")
        let reasons: [(String, TracingStat)] = [
            ("not_traced", .notTraced), ("sampled", .sampled), ("service_forced", .serviceForced),
            ("client_forced", .clientForced), ("parent", .parent), ("late", .late),
        ]
        for listener in listeners {
            for (reason, stat) in reasons {
                text.sample(["listener": listener.name, "reason": reason], registry.sum(listener.stats, stat))
            }
        }
        text.family(
            "ringway_tracing_records_dropped_total", .counter, "Traced requests that left no record, by reason.")
        for listener in listeners {
            let reasons: [(String, TracingStat)] = [("full", .dropped), ("late_limit", .lateOverLimit)]
            for (reason, stat) in reasons {
                text.sample(["listener": listener.name, "reason": reason], registry.sum(listener.stats, stat))
            }
        }
    }

    private func writeExporters(_ text: inout PrometheusText) {
        let exporters = snapshot.tracing.exporters.map { (name: $0.configuration.name, stats: $0.stats) }
        guard !exporters.isEmpty else { return }
        text.family("ringway_tracing_spans_exported_total", .counter, "Spans that the backend took.")
        for exporter in exporters { text.sample(["exporter": exporter.name], exporter.stats.exported) }
        text.family("ringway_tracing_spans_waiting", .gauge, "Spans that are to be exported, or are on their way.")
        for exporter in exporters { text.sample(["exporter": exporter.name], exporter.stats.waiting) }
        text.family("ringway_tracing_spans_dropped_total", .counter, "Spans that were not exported, by reason.")
        for exporter in exporters {
            for reason in SpanExporterStats.Drop.allCases {
                text.sample(["exporter": exporter.name, "reason": reason.label], exporter.stats.dropped(reason))
            }
        }
        text.family("ringway_tracing_export_requests_total", .counter, "Requests to the backend, by result.")
        for exporter in exporters {
            text.sample(["exporter": exporter.name, "result": "ok"], exporter.stats.succeeded)
            text.sample(["exporter": exporter.name, "result": "failed"], exporter.stats.failed)
        }
    }
}
