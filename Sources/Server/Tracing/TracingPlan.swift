internal import Config
internal import Filters
internal import Upstream

/// `tracing` of the top level, compiled: who gets the spans of one generation.
struct TracingPlan: Sendable {
    struct Exporter: Sendable {
        let configuration: TraceExporterConfiguration
        /// Its bit in the records of spans.
        let slot: Int
        /// nil for a backend that is no HTTP server.
        let cluster: Cluster?
        let stats: SpanExporterStats
    }

    let source: SpanSource
    let exporters: [Exporter]
}
