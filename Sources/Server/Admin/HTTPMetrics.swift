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

    func write(to text: inout PrometheusText) {
        writeListeners(&text)
        writeClusters(&text)
    }

    private func writeListeners(_ text: inout PrometheusText) {
        let listeners = snapshot.listeners.filter(\.servesHTTP)
        guard !listeners.isEmpty else { return }
        func each(_ body: (String, StatsRegistry.Range) -> Void) {
            for listener in listeners { body(listener.configuration.name, listener.stats) }
        }
        text.family("ringway_http_requests_total", .counter, "Requests that were answered, by class of status.")
        each { name, range in
            for (label, status) in Self.codeClasses {
                let count = registry.sum(range, HTTPStat.responses(status))
                text.sample(["listener": name, "code_class": label], count)
            }
        }
        text.family("ringway_http_requests_active", .gauge, "Requests in progress.")
        each { text.sample(["listener": $0], registry.sum($1, HTTPStat.requestsActive)) }
        text.family("ringway_http_requests_refused_total", .counter, "Requests that were not valid HTTP, by reason.")
        each { name, range in
            for error in HTTPMessageError.allCases {
                let count = registry.sum(range, HTTPStat.refused(error))
                // Most of the reasons never come up; a series begins with its first request.
                if count > 0 { text.sample(["listener": name, "reason": "\(error.label)"], count) }
            }
            for refusal in PathNormalizer.Refusal.allCases {
                let count = registry.sum(range, HTTPStat.refused(refusal))
                if count > 0 { text.sample(["listener": name, "reason": "\(refusal.label)"], count) }
            }
        }
        text.family("ringway_http_request_timeouts_total", .counter, "Requests that ran out of time, by what was late.")
        each { name, range in
            for (reason, stat) in Self.timeouts {
                text.sample(["listener": name, "reason": reason], registry.sum(range, stat))
            }
        }
        text.family("ringway_http2_connections_active", .gauge, "Open connections that speak HTTP/2.")
        each { text.sample(["listener": $0], registry.sum($1, HTTPStat.http2Connections)) }
        text.family(
            "ringway_http2_streams_refused_total", .counter, "Streams that clients opened beyond the limit.")
        each { text.sample(["listener": $0], registry.sum($1, HTTPStat.http2StreamsRefused)) }
        text.family(
            "ringway_http2_abuses_total", .counter, "HTTP/2 connections that were ended for what the client did.")
        each { name, range in
            for abuse in HTTP2Abuse.allCases {
                let count = registry.sum(range, HTTPStat.abuse(abuse))
                text.sample(["listener": name, "reason": "\(abuse.label)"], count)
            }
        }
        text.family(
            "ringway_http_request_duration_seconds", .histogram,
            "Time from the first byte of a request to the end of its response.")
        each { text.histogram(["listener": $0], registry.histogram($1, HTTPStat.requestTime)) }
        writeFilters(&text)
    }

    private func writeFilters(_ text: inout PrometheusText) {
        text.family("ringway_http_filter_events_total", .counter, "What HTTP filters decided, by filter and event.")
        for listener in snapshot.listeners {
            // Filters of one name count together.
            var written: Set<String> = []
            for filter in listener.chains.flatMap(\.httpFilters) where written.insert(filter.plan.name).inserted {
                guard let range = filter.stats else { continue }
                for (index, event) in filter.plan.events.enumerated() {
                    text.sample(
                        ["listener": listener.configuration.name, "filter": filter.plan.name, "event": event],
                        registry.sum(range, HTTPFilterCounters.cell(ofEvent: index)))
                }
            }
        }
    }

    private func writeClusters(_ text: inout PrometheusText) {
        let clusters = snapshot.clusters.values.sorted { $0.name < $1.name }
        text.family(
            "ringway_cluster_requests_total", .counter,
            "Requests sent to the cluster by class of status, each try by itself; without a response by that of the proxy."
        )
        for cluster in clusters {
            for (index, entry) in Self.codeClasses.enumerated() {
                let cell = StatCell(rawValue: ClusterStat.responses1xx.rawValue + index)
                text.sample(["cluster": cluster.name, "code_class": entry.label], registry.sum(cluster.stats, cell))
            }
        }
        text.family("ringway_cluster_requests_active", .gauge, "Requests in progress at the cluster.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.requestsActive))
        }
        text.family("ringway_cluster_pending_requests", .gauge, "Requests that wait for a connection.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.pendingRequests))
        }
        text.family("ringway_cluster_request_timeouts_total", .counter, "Tries and requests that ran out of time.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.timeouts))
        }
        text.family("ringway_cluster_retries_total", .counter, "Retries by what came of them.")
        let results: [(String, ClusterStat)] = [
            ("success", .retriesSucceeded), ("failure", .retriesFailed), ("overflow", .retriesOverflowed),
        ]
        for cluster in clusters {
            for (label, stat) in results {
                text.sample(["cluster": cluster.name, "result": label], registry.sum(cluster.stats, stat))
            }
        }
        text.family("ringway_cluster_mirrored_requests_total", .counter, "Copies of requests by what came of them.")
        let mirrors: [(String, ClusterStat)] = [
            ("completed", .mirrorsCompleted), ("failed", .mirrorsFailed), ("cut_off", .mirrorsCutOff),
            ("refused", .mirrorsRefused),
        ]
        let mirrored = snapshot.mirroredClusters
        for cluster in clusters where mirrored.contains(cluster.name) {
            for (label, stat) in mirrors {
                text.sample(["cluster": cluster.name, "result": label], registry.sum(cluster.stats, stat))
            }
        }
        text.family("ringway_cluster_grpc_responses_total", .counter, "Responses of the cluster by status of gRPC.")
        for cluster in clusters {
            for status in 0..<ClusterStat.grpcStatusCount {
                let count = registry.sum(cluster.stats, ClusterStat.grpc(status: status))
                // Most clusters do not speak gRPC; a series begins with its first response.
                if count > 0 { text.sample(["cluster": cluster.name, "grpc_status": "\(status)"], count) }
            }
        }
        text.family(
            "ringway_cluster_request_duration_seconds", .histogram,
            "Time from the start of the last try to the end of the response.")
        for cluster in clusters {
            text.histogram(["cluster": cluster.name], registry.histogram(cluster.stats, ClusterStat.requestTime))
        }
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

extension ChainPlan {
    fileprivate var httpFilters: [HTTPServerPlan.Filter] {
        if case .http(let http) = terminal { http.filters } else { [] }
    }
}

extension PrometheusText {
    /// The bounds that are exposed: powers of two from about 16 µs to 34 s. Each is a bucket's own edge, so the
    /// cumulative counts are exact.
    private static let exposedBuckets = (0..<Histogram.bucketCount).filter { bucket in
        guard let bound = Histogram.upperBound(of: bucket) else { return false }
        return bound >= 1 << 14 && bound <= 1 << 35 && bound & (bound - 1) == 0
    }

    /// The samples of one histogram of nanoseconds, in seconds.
    mutating func histogram(_ labels: KeyValuePairs<String, String>, _ values: (buckets: [UInt64], sum: UInt64)) {
        var cumulative: UInt64 = 0
        var next = 0
        let (key, value) = labels[0]
        for bucket in Self.exposedBuckets {
            while next <= bucket {
                cumulative += values.buckets[next]
                next += 1
            }
            let bound = Double(Histogram.upperBound(of: bucket) ?? 0) / 1e9
            sample([key: value, "le": "\(bound)"], suffix: "_bucket", cumulative)
        }
        while next < values.buckets.count {
            cumulative += values.buckets[next]
            next += 1
        }
        sample([key: value, "le": "+Inf"], suffix: "_bucket", cumulative)
        sample([key: value], suffix: "_sum", seconds: Double(values.sum) / 1e9)
        sample([key: value], suffix: "_count", cumulative)
    }
}
