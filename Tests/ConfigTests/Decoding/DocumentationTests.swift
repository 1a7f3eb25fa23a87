import Foundation
import Testing

@testable import Config

private let documentation: String = {
    let root = URL(fileURLWithPath: #filePath).pathComponents.dropLast(4).joined(separator: "/")
    return (try? String(contentsOfFile: "\(root)/docs/configuration.md", encoding: .utf8)) ?? ""
}()

@Test func everyExampleInTheDocumentationIsValid() {
    let examples = documentation.components(separatedBy: "```yaml\n").dropFirst().map {
        $0.components(separatedBy: "```")[0]
    }
    #expect(examples.count == 12)
    for var example in examples {
        if !example.contains("listeners:") {
            example += "listeners: [{ name: l, address: \":1\", network_filters: [x] }]\n"
        }
        if !example.contains("clusters:") {
            let endpoints = "endpoints: [\"10.0.0.1:1\"]"
            example += "clusters: [{ name: pg, \(endpoints) }, { name: canary, \(endpoints) }]\n"
        }
        #expect(errors(in: example) == [], "\(example)")
    }
}

@Test(arguments: [
    ("drain_timeout", "`0` to `1d`", "`\(Configuration.defaultDrainTimeout)`"),
    ("buffers.size", "`16KiB` to `256KiB`", "`\(BufferConfiguration.defaultSize)`"),
    ("buffers.max_per_worker", "`1MiB` to `64GiB`", "`\(BufferConfiguration.defaultMaxPerWorker)`"),
    ("stats.recent_requests", "0 to 1000000", "`\(StatsConfiguration.defaultRecentRequests)`"),
    ("stats.max_series", "10000 to 100000000", "`\(StatsConfiguration.defaultMaxSeries)`"),
    ("listeners", "1 to \(ConfigLimits.listeners.upperBound)", "required"),
    ("max_connections", "1 to \(ConfigLimits.connections.upperBound)", "no limit"),
    ("access.allow", "1 to \(ConfigLimits.accessRanges.upperBound)", "everybody"),
    ("filter_chains", "1 to \(ConfigLimits.filterChains.upperBound)", "none"),
    ("client_hello_timeout", "`1ms` to `1h`", "`\(ListenerConfiguration.defaultClientHelloTimeout)`"),
    ("match.server_names", "1 to \(ConfigLimits.serverNames.upperBound)", "any"),
    ("match.application_protocols", "1 to \(ConfigLimits.applicationProtocols.upperBound)", "any"),
    ("match.destination_port", "1 to \(ConfigLimits.port.upperBound)", "any"),
    ("match.source_ranges", "1 to \(ConfigLimits.accessRanges.upperBound)", "any"),
    ("certificates", "1 to \(ConfigLimits.certificates.upperBound)", "required"),
    ("handshake_timeout", "`1ms` to `1h`", "`\(ListenerTLSConfiguration.defaultHandshakeTimeout)`"),
    ("verify_san", "1 to \(ConfigLimits.subjectNames.upperBound)", "`sni`"),
    ("ciphers", "1 to \(ConfigLimits.tlsNames.upperBound)", "|"),
    ("alpn", "1 to \(ConfigLimits.applicationProtocols.upperBound)", "[h2, http/1.1]"),
    ("network_filters", "1 to \(ConfigLimits.networkFilters.upperBound)", "none"),
    ("weighted", "1 to \(ConfigLimits.weightedClusters.upperBound)", "1 to \(ConfigLimits.weight.upperBound)"),
    (
        "connect_attempts", "1 to \(ConfigLimits.connectAttempts.upperBound)",
        "`\(TCPProxyConfiguration.defaultConnectAttempts)`"
    ),
    ("limits.header_bytes", "`1KiB` to `1MiB`", "`\(HTTPLimits.defaultHeaderBytes)`"),
    ("limits.headers", "1 to \(ConfigLimits.headers.upperBound)", "`\(HTTPLimits.defaultHeaders)`"),
    ("xff_num_trusted_hops", "0 to \(ConfigLimits.trustedHops.upperBound)", "`0`"),
    ("server_name", "1 to \(ConfigLimits.serverNameBytesMax) bytes", "`\(HTTPConfiguration.defaultServerName)`"),
    ("request_timeout", "`1ms` to `1d`", "`15s`"),
    ("request_body_timeout", "`1ms` to `1d`", "`20s`"),
    ("request_body_min_rate", "`1B` to `1GiB`", "`\(HTTPConfiguration.defaultRequestBodyMinRate)`"),
    ("stream_idle_timeout", "`1ms` to `30d`", "`5m`"),
    ("max_requests_per_connection", "1 to \(ConfigLimits.requestsPerConnection.upperBound)", "no limit"),
    ("max_connection_duration", "`1ms` to `30d`", "no limit"),
    ("limits.url_bytes", "`256B` to `1MiB`", "`\(HTTPLimits.defaultURLBytes)`"),
    ("limits.body_bytes", "`1B` to `16TiB`", "no limit"),
    ("access_log", "1 to \(ConfigLimits.accessLogs.upperBound)", "none"),
    ("access_log[].path", "\(ConfigLimits.filePathBytesMax) bytes", "required"),
    ("access_log[].format", "`text`, `json`", "`text`"),
    ("access_log[].filter", "1 to \(ConfigLimits.accessLogFilters.upperBound)", "everything"),
    (
        "http2.max_concurrent_streams", "1 to \(ConfigLimits.concurrentStreams.upperBound)",
        "`\(HTTP2Configuration.defaultMaxConcurrentStreams)`"
    ),
    ("http2.stream_window", "`64KiB` to `1GiB`", "`\(HTTP2Configuration.defaultStreamWindow)`"),
    ("http2.connection_window", "`64KiB` to `1GiB`", "`\(HTTP2Configuration.defaultConnectionWindow)`"),
    ("exporters", "1 to \(ConfigLimits.traceExporters.upperBound)", "none"),
    ("service_name", "1 to \(ConfigLimits.serviceNameBytesMax) bytes", "`\(TracingConfiguration.defaultServiceName)`"),
    (
        "tracing.max_path_tag_length", "1 to \(ConfigLimits.tracePathTagLength.upperBound)",
        "`\(HTTPTracingConfiguration.defaultMaxPathTagLength)`"
    ),
    ("tracing.tags", "up to \(ConfigLimits.traceTagsMax)", "none"),
    (
        "tracing.late.per_second", "0 to \(ConfigLimits.lateTracesPerSecond.upperBound)",
        "`\(LateTracesConfiguration.defaultPerSecond)`"
    ),
    ("filters", "1 to \(ConfigLimits.httpFilters.upperBound)", "none"),
    ("routes", "1 to \(ConfigLimits.routes.upperBound)", "|"),
    ("hosts", "1 to \(ConfigLimits.hosts.upperBound)", "|"),
    ("hosts[].domains", "1 to \(ConfigLimits.domains.upperBound)", "required"),
    ("match.methods", "1 to \(ConfigLimits.methods.upperBound)", "all"),
    ("match.headers", "1 to \(ConfigLimits.fieldMatches.upperBound)", "|"),
    ("timeout", "`1ms` to `1d`", "`15s`"),
    ("upgrade", "1 to \(ConfigLimits.upgrades.upperBound)", "`false`"),
    ("mirror", "1 to \(ConfigLimits.mirrors.upperBound)", "none"),
    ("mirror.fraction", "`0%` to `100%`", "`100%`"),
    ("retry.on", "1 to \(ConfigLimits.retryOn.upperBound)", "required"),
    ("retry.attempts", "1 to \(ConfigLimits.retryAttempts.upperBound)", "`\(RetryConfiguration.defaultAttempts)`"),
    ("retry.back_off", "`1ms` to `1m`", "`\(RetryConfiguration.defaultBackOff)`"),
    ("redirect.port", "1 to \(ConfigLimits.port.upperBound)", "|"),
    ("redirect.status", "301, 302, 303, 307, 308", "`\(RedirectConfiguration.defaultStatus)`"),
    ("respond.body", "\(ConfigLimits.responseBodyBytesMax) bytes", "empty"),
    ("remove", "1 to \(ConfigLimits.headerEditsMax)", "|"),
    ("pool.max_pending", "1 to \(ConfigLimits.poolRequests.upperBound)", "`\(PoolConfiguration.defaultMaxPending)`"),
    ("pool.max_retries", "0 to \(ConfigLimits.poolRetries.upperBound)", "`\(PoolConfiguration.defaultMaxRetries)`"),
    ("pool.idle_timeout", "`1ms` to `30d`", "`60s`"),
    ("endpoints", "1 to \(ConfigLimits.endpoints.upperBound)", "required"),
    ("endpoints[].weight", "1 to \(ConfigLimits.weight.upperBound)", "`\(EndpointConfiguration.defaultWeight)`"),
    ("connect_timeout", "`1ms` to `1h`", "`\(ClusterConfiguration.defaultConnectTimeout)`"),
    ("panic_threshold", "`0%` to `100%`", "`\(ClusterConfiguration.defaultPanicThreshold)`"),
    ("interval", "`10ms` to `1d`", "`\(HealthCheckConfiguration.defaultInterval)`"),
    ("unhealthy_interval", "`10ms` to `1d`", "`interval`"),
    ("timeout", "`1ms` to `10m`", "`\(HealthCheckConfiguration.defaultTimeout)`"),
    ("jitter", "`0%` to `100%`", "`\(HealthCheckConfiguration.defaultJitter)`"),
    (
        "healthy", "1 to \(ConfigLimits.healthCheckThreshold.upperBound)",
        "`\(HealthCheckConfiguration.defaultHealthy)`"
    ),
    (
        "unhealthy", "1 to \(ConfigLimits.healthCheckThreshold.upperBound)",
        "`\(HealthCheckConfiguration.defaultUnhealthy)`"
    ),
    (
        "consecutive_5xx", "1 to \(ConfigLimits.healthCheckThreshold.upperBound)",
        "`\(OutlierDetectionConfiguration.defaultConsecutive5xx)`"
    ),
    ("base_ejection", "`100ms` to `1d`", "`\(OutlierDetectionConfiguration.defaultBaseEjection)`"),
    ("max_ejection_time", "`100ms` to `1d`", "`\(OutlierDetectionConfiguration.defaultMaxEjectionTime)`"),
    ("max_ejected", "`0%` to `100%`", "`\(OutlierDetectionConfiguration.defaultMaxEjected)`"),
    ("idle", "`1s` to `32767s`", "`\(TCPKeepAliveConfiguration.defaultIdle)`"),
    ("interval", "`1s` to `32767s`", "`\(TCPKeepAliveConfiguration.defaultInterval)`"),
    ("count", "1 to \(ConfigLimits.keepAliveCount.upperBound)", "`\(TCPKeepAliveConfiguration.defaultCount)`"),
    ("http.expected_statuses", "1 to \(ConfigLimits.healthCheckStatuses)", "`[200]`"),
    ("tcp.expect", "1 to \(ConfigLimits.healthCheckPayloadBytesMax) bytes", "nothing"),
])
func theDocumentationHasTheRangesAndDefaultsOfTheCode(_ key: String, _ range: String, _ standard: String) {
    // Two sections may have a key of the same name.
    let rows = documentation.split(separator: "\n").filter { $0.hasPrefix("| `\(key)` |") }
    #expect(rows.contains { $0.contains(range) && $0.contains(standard) }, "\(rows)")
}

@Test func surrogatesInJSONAreTheDocumentedGap() {
    #expect(errors(in: "{\"a\": \"\\ud83d\\ude00\"}").first?.contains("invalid Unicode character escape code") == true)
}
