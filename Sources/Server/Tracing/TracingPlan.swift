internal import Config
internal import Upstream

/// `tracing` of the top level, compiled: who gets the spans of one generation.
struct TracingPlan: Sendable {
    struct Exporter: Sendable {
        let configuration: TraceExporterConfiguration
        /// Its bit in the records of spans.
        let slot: Int
        let cluster: Cluster
        let stats: SpanExporterStats
    }

    let source: SpanSource
    let exporters: [Exporter]
}
