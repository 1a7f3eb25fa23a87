internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import HTTP2
internal import Upstream

/// The families of `http:` listeners and of the clusters behind them.
struct HTTPMetrics {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let plan: SeriesPlan

    var families: [MetricFamily] {
        guard !plan.httpListeners.isEmpty else { return [] }
        return listeners + RouteMetrics(registry: registry, plan: plan).families + clusters
    }

    private var listeners: [MetricFamily] {
        let listeners = plan.httpListeners
        return [
            MetricFamily(
                "ringway_http_requests_total", .counter, "Requests that were answered, by class of status.", listeners
            ) { [registry] writer, item in
                for (label, status) in Self.codeClasses {
                    let count = registry.sum(item.owner, HTTPStat.responses(status))
                    writer.sample(item.owner, "code_class", label, count)
                }
            },
            MetricFamily("ringway_http_requests_active", .gauge, "Requests in progress.", listeners) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, HTTPStat.requestsActive))
            },
            // Most of the reasons never come up.
            MetricFamily(
                "ringway_http_requests_refused_total", .counter, "Requests that were not valid HTTP, by reason.",
                listeners
            ) { [registry] writer, item in
                for error in HTTPMessageError.allCases {
                    let count = registry.sum(item.owner, HTTPStat.refused(error))
                    writer.sampleIfAny(item.owner, "reason", "\(error.label)", count)
                }
                for refusal in PathNormalizer.Refusal.allCases {
                    let count = registry.sum(item.owner, HTTPStat.refused(refusal))
                    writer.sampleIfAny(item.owner, "reason", "\(refusal.label)", count)
                }
            },
            MetricFamily(
                "ringway_http_request_timeouts_total", .counter, "Requests that ran out of time, by what was late.",
                listeners
            ) { [registry] writer, item in
                for (reason, stat) in Self.timeouts {
                    writer.sample(item.owner, "reason", reason, registry.sum(item.owner, stat))
                }
            },
            MetricFamily("ringway_http2_connections_active", .gauge, "Open connections that speak HTTP/2.", listeners) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, HTTPStat.http2Connections))
            },
            MetricFamily(
                "ringway_http2_streams_refused_total", .counter, "Streams that clients opened beyond the limit.",
                listeners
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, HTTPStat.http2StreamsRefused))
            },
            MetricFamily(
                "ringway_http2_abuses_total", .counter,
                "HTTP/2 connections that were ended for what the client did.", listeners
            ) { [registry] writer, item in
                for abuse in HTTP2Abuse.allCases {
                    let count = registry.sum(item.owner, HTTPStat.abuse(abuse))
                    writer.sample(item.owner, "reason", "\(abuse.label)", count)
                }
            },
            MetricFamily(
                "ringway_http_request_duration_seconds", .histogram,
                "Time from the first byte of a request to the end of its response.", listeners
            ) { [registry] writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, HTTPStat.requestTime))
            },
            MetricFamily(
                "ringway_http_filter_events_total", .counter, "What HTTP filters decided, by filter and event.",
                plan.filters
            ) { [registry] writer, item in
                for (index, event) in item.members[0].events.enumerated() {
                    let count = registry.sum(item.owner, HTTPFilterCounters.cell(ofEvent: index))
                    writer.sample(item.owner, "event", event, count)
                }
            },
        ]
    }

    private var clusters: [MetricFamily] {
        let clusters = plan.clusters
        let results: [(String, ClusterStat)] = [
            ("success", .retriesSucceeded), ("failure", .retriesFailed), ("overflow", .retriesOverflowed),
        ]
        let mirrors: [(String, ClusterStat)] = [
            ("completed", .mirrorsCompleted), ("failed", .mirrorsFailed), ("cut_off", .mirrorsCutOff),
            ("refused", .mirrorsRefused),
        ]
        let mirrored = snapshot.mirroredClusters
        return [
            MetricFamily(
                "ringway_cluster_requests_total", .counter,
                "Requests sent to the cluster by class of status, each try by itself; without a response by that of the proxy.",
                clusters
            ) { [registry] writer, item in
                for (index, entry) in Self.codeClasses.enumerated() {
                    let cell = StatCell(rawValue: ClusterStat.responses1xx.rawValue + index)
                    writer.sample(item.owner, "code_class", entry.label, registry.sum(item.owner, cell))
                }
            },
            MetricFamily("ringway_cluster_requests_active", .gauge, "Requests in progress at the cluster.", clusters) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ClusterStat.requestsActive))
            },
            MetricFamily("ringway_cluster_pending_requests", .gauge, "Requests that wait for a connection.", clusters) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ClusterStat.pendingRequests))
            },
            MetricFamily(
                "ringway_cluster_request_timeouts_total", .counter, "Tries and requests that ran out of time.", clusters
            ) { [registry] writer, item in
                let count = registry.sum(item.owner, ClusterStat.timeouts)
                writer.sample(item.owner, count &+ registry.sum(item.owner, ClusterStat.triesTimedOut))
            },
            MetricFamily("ringway_cluster_retries_total", .counter, "Retries by what came of them.", clusters) {
                [registry] writer, item in
                for (label, stat) in results {
                    writer.sample(item.owner, "result", label, registry.sum(item.owner, stat))
                }
            },
            MetricFamily(
                "ringway_cluster_mirrored_requests_total", .counter, "Copies of requests by what came of them.",
                clusters.filter { $0.members.contains { mirrored.contains($0.name) } }
            ) { [registry] writer, item in
                for (label, stat) in mirrors {
                    writer.sample(item.owner, "result", label, registry.sum(item.owner, stat))
                }
            },
            // Most clusters do not speak gRPC.
            MetricFamily(
                "ringway_cluster_grpc_responses_total", .counter, "Responses of the cluster by status of gRPC.",
                clusters
            ) { [registry] writer, item in
                for status in 0..<ClusterStat.grpcStatusCount {
                    let count = registry.sum(item.owner, ClusterStat.grpc(status: status))
                    writer.sampleIfAny(item.owner, "grpc_status", "\(status)", count)
                }
            },
            MetricFamily(
                "ringway_cluster_request_duration_seconds", .histogram,
                "Time from the start of the last try to the end of the response.", clusters
            ) { [registry] writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, ClusterStat.requestTime))
            },
        ]
    }

    private static let timeouts: [(reason: String, stat: HTTPStat)] = [
        ("header", .requestHeadTimeouts), ("body", .requestBodyTimeouts), ("idle", .streamIdleTimeouts),
    ]

    private static let codeClasses: [(label: String, status: HTTPStatus)] = (1...5).map {
        ("\($0)xx", HTTPStatus(rawValue: UInt16($0 * 100)))
    }
}

extension Snapshot {
    /// The clusters that get copies of requests. Others have no series for them.
    fileprivate var mirroredClusters: Set<String> {
        var names: Set<String> = []
        for listener in listeners {
            for route in listener.configuration.chains.flatMap(\.routes) {
                guard case .forward(let forward) = route.action else { continue }
                for mirror in forward.mirrors { names.insert(mirror.cluster.name) }
            }
        }
        return names
    }
}

extension FilterChainConfiguration {
    fileprivate var routes: [RouteConfiguration] {
        if case .http(let http) = proxy { http.hosts.flatMap(\.routes) } else { [] }
    }
}
