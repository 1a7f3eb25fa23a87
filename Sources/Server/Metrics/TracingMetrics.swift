internal import Config
internal import Engine
internal import Filters

/// The families of tracing.
struct TracingMetrics {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let plan: SeriesPlan

    var families: [MetricFamily] { listeners + exporters }

    /// Labelled as the listener, counted where its tracing does.
    private var traced: [Owned<StatsRegistry.Range>] {
        plan.listeners.compactMap { item -> Owned<StatsRegistry.Range>? in
            let ranges = item.members.compactMap { listener in
                // Chains of one listener count together.
                listener.httpPlans.lazy.compactMap { $0.tracing?.stats }.first
            }
            return ranges.isEmpty ? nil : Owned(owner: item.owner, name: item.name, members: ranges)
        }
    }

    /// Envoy's `http.PREFIX.tracing.*`. It knows no callers that decided in the headers of a trace: what they want traced
    /// is sampled, and late traces were none when it was decided.
    var envoyFamilies: [MetricFamily] {
        let owners = traced.map {
            Owned(
                owner: $0.owner.renamed(["envoy_http_conn_manager_prefix": $0.name], dotted: "http.\($0.name)"),
                name: $0.name, members: $0.members)
        }
        let stats: [(String, [TracingStat])] = [
            ("random_sampling", [.sampled, .parent]), ("service_forced", [.serviceForced]),
            ("client_enabled", [.clientForced]), ("not_traceable", [.notTraced]), ("health_check", [.healthCheck]),
        ]
        return stats.map { name, cells in
            MetricFamily("envoy_http_tracing_\(name)", .counter, "", stat: "tracing.\(name)", owners) { writer, item in
                writer.sample(item.owner, cells.reduce(0) { $0 &+ count($1, in: item) })
            }
        }
    }

    private func count(_ stat: TracingStat, in item: Owned<StatsRegistry.Range>) -> UInt64 {
        item.members.reduce(0) { $0 &+ registry.sum($1, stat) }
    }

    private var listeners: [MetricFamily] {
        let traced = traced
        let decisions: [(String, TracingStat)] = [
            ("not_traced", .notTraced), ("sampled", .sampled), ("service_forced", .serviceForced),
            ("client_forced", .clientForced), ("parent", .parent), ("late", .late),
            ("health_check", .healthCheck),
        ]
        let drops: [(String, TracingStat)] = [("full", .dropped), ("late_limit", .lateOverLimit)]
        func family(_ name: String, _ help: String, _ stats: [(reason: String, stat: TracingStat)]) -> MetricFamily {
            MetricFamily(name, .counter, help, traced) { writer, item in
                for (reason, stat) in stats { writer.sample(item.owner, "reason", reason, count(stat, in: item)) }
            }
        }
        return [
            family(
                "ringway_tracing_decisions_total", "Requests by whether and why they are traced.", decisions),
            family(
                "ringway_tracing_records_dropped_total", "Traced requests that left no record, by reason.", drops),
        ]
    }

    private var exporters: [MetricFamily] {
        let exporters = snapshot.tracing.exporters.map { exporter in
            Owned(
                owner: SeriesOwner(
                    number: SeriesOwner.process.number, labels: ["exporter": exporter.configuration.name]),
                name: exporter.configuration.name, members: [exporter.stats])
        }
        return [
            MetricFamily(
                "ringway_tracing_spans_exported_total", .counter, "Spans that the backend took.", exporters
            ) { writer, item in
                writer.sample(item.owner, item.members[0].exported)
            },
            MetricFamily(
                "ringway_tracing_spans_waiting", .gauge, "Spans that are to be exported, or are on their way.",
                exporters
            ) { writer, item in
                writer.sample(item.owner, item.members[0].waiting)
            },
            MetricFamily(
                "ringway_tracing_spans_dropped_total", .counter, "Spans that were not exported, by reason.", exporters
            ) { writer, item in
                for reason in SpanExporterStats.Drop.allCases {
                    writer.sample(item.owner, "reason", "\(reason.label)", item.members[0].dropped(reason))
                }
            },
            MetricFamily(
                "ringway_tracing_export_requests_total", .counter, "Requests to the backend, by result.", exporters
            ) { writer, item in
                writer.sample(item.owner, "result", "ok", item.members[0].succeeded)
                writer.sample(item.owner, "result", "failed", item.members[0].failed)
            },
        ]
    }
}
