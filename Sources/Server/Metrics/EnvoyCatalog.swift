internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

/// The same values under the names and labels that Envoy has for them: `/stats/prometheus` and `/stats`, so that
/// dashboards and alerts made for Envoy find what they look for.
///
/// Durations are in milliseconds, counters have no suffix and families no help, as there. An HTTP listener's name stands
/// for `stat_prefix`.
struct EnvoyCatalog {
    let inputs: MetricInputs

    private var registry: StatsRegistry { inputs.registry }

    var families: [MetricFamily] {
        clusters + clustersOfHTTP + connectionManagers
            + TracingMetrics(registry: registry, snapshot: inputs.snapshot, plan: inputs.plan).envoyFamilies
            + listeners + listenerWorkers + tcpProxies + server
    }

    private typealias Value<Member: Sendable> = (Owned<Member>) -> UInt64

    private static func family<Member>(
        _ scope: String, _ stat: String, _ kind: MetricFamily.Kind, _ owners: [Owned<Member>],
        _ value: @escaping (Owned<Member>) -> UInt64
    ) -> MetricFamily {
        MetricFamily(name(scope, stat), kind, "", stat: stat, owners) { writer, item in
            writer.sample(item.owner, value(item))
        }
    }

    /// The dots of a stat become underscores, as all that Prometheus does not take.
    private static func name(_ scope: String, _ stat: String) -> String {
        "envoy_\(scope)_" + String(stat.map { $0.isLetter || $0.isNumber ? $0 : "_" })
    }

    /// `upstream_rq_xx{envoy_response_code_class="2"}`, which is `upstream_rq_2xx` in `/stats`.
    private func codeClasses<Member>(
        _ scope: String, _ prefix: String, _ owners: [Owned<Member>], firstCell: Int
    ) -> MetricFamily {
        MetricFamily(Self.name(scope, prefix + "_xx"), .counter, "", stat: prefix + "_xx", owners) {
            [registry] writer, item in
            for code in 1...5 {
                let count = registry.sum(item.owner, StatCell(rawValue: firstCell + code - 1))
                writer.sample(
                    item.owner, "envoy_response_code_class", "\(code)", dotted: "\(prefix)_\(code)xx", count)
            }
        }
    }

    private func sum(_ owner: SeriesOwner, _ stats: [some RawRepresentable<Int>]) -> UInt64 {
        stats.reduce(0) { $0 &+ registry.sum(owner, $1) }
    }

    private func closes(_ owner: SeriesOwner, where isWanted: (CloseReason) -> Bool) -> UInt64 {
        sum(owner, CloseReason.allCases.filter(isWanted).map(ConnectionStat.closes))
    }

    private func responses(_ owner: SeriesOwner, firstCell: Int) -> UInt64 {
        sum(owner, (0..<5).map { StatCell(rawValue: firstCell + $0) })
    }

    /// An end without its announcement is none, as there.
    private static func isConnectionError(_ reason: CloseReason) -> Bool { reason.isOfTLS && reason != .tlsTruncated }

    // MARK: Clusters

    private var clusterOwners: [Owned<Cluster>] {
        inputs.plan.clusters.map {
            Owned(
                owner: $0.owner.renamed(["envoy_cluster_name": $0.name], dotted: "cluster.\($0.name)"), name: $0.name,
                members: $0.members)
        }
    }

    private var clusters: [MetricFamily] {
        let owners = clusterOwners
        let secure = owners.filter { $0.members.contains { $0.tls != nil } }
        let checked = owners.filter { $0.members.contains { $0.healthCheck != nil } }
        let watched = owners.filter { $0.members.contains { $0.outlierDetection != nil } }
        let registry = registry
        func family(
            _ stat: String, _ kind: MetricFamily.Kind, _ owners: [Owned<Cluster>], _ value: @escaping Value<Cluster>
        ) -> MetricFamily { Self.family("cluster", stat, kind, owners, value) }
        func counter(_ stat: String, _ cell: some RawRepresentable<Int>) -> MetricFamily {
            family(stat, .counter, owners) { registry.sum($0.owner, cell) }
        }
        func background(_ stat: String, _ owners: [Owned<Cluster>], _ cells: [ClusterStat]) -> MetricFamily {
            family(stat, .counter, owners) { item in
                cells.reduce(0) { $0 &+ registry.backgroundSum(item.owner, $1) }
            }
        }
        return [
            counter("upstream_cx_total", ConnectionStat.opened),
            family("upstream_cx_active", .gauge, owners) { registry.sum($0.owner, ConnectionStat.active) },
            counter("upstream_cx_rx_bytes_total", ConnectionStat.bytesReceived),
            counter("upstream_cx_tx_bytes_total", ConnectionStat.bytesSent),
            family("upstream_cx_connect_fail", .counter, owners) { closes($0.owner) { $0.isConnectFailure } },
            family("upstream_cx_connect_timeout", .counter, owners) { closes($0.owner) { $0 == .connectTimeout } },
            family("upstream_cx_destroy", .counter, owners) { closes($0.owner) { _ in true } },
            family("upstream_cx_idle_timeout", .counter, owners) { closes($0.owner) { $0 == .idleTimeout } },
            family("upstream_cx_protocol_error", .counter, owners) { closes($0.owner) { $0 == .protocolError } },
            // Requests that find no connection free count when there is no room to wait either.
            family("upstream_cx_overflow", .counter, owners) {
                sum($0.owner, [ClusterStat.overflowed, .pendingOverflowed])
            },
            counter("upstream_flow_control_paused_reading_total", ConnectionStat.readPauses),
            MetricFamily(
                Self.name("cluster", "upstream_cx_connect_ms"), .histogram, "", stat: "upstream_cx_connect_ms", owners
            ) { writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, ClusterStat.connectTime))
            },
            family("membership_total", .gauge, owners) { EndpointCounts($0.members).total },
            family("membership_healthy", .gauge, owners) { EndpointCounts($0.members)[.healthy] },
            // There are no such endpoints here.
            family("membership_degraded", .gauge, owners) { _ in 0 },
            family("membership_excluded", .gauge, owners) { EndpointCounts($0.members)[.pending] },
            family("warming_state", .gauge, owners) { _ in 0 },
            counter("lb_healthy_panic", ClusterStat.panicPicks),
            background(
                "health_check.attempt", checked,
                [.healthChecksPassed, .healthChecksAnsweredBadly, .healthChecksUnconnected, .healthChecksTimedOut]),
            background("health_check.success", checked, [.healthChecksPassed]),
            background(
                "health_check.failure", checked,
                [.healthChecksAnsweredBadly, .healthChecksUnconnected, .healthChecksTimedOut]),
            background("health_check.network_failure", checked, [.healthChecksUnconnected, .healthChecksTimedOut]),
            family("health_check.healthy", .gauge, checked) { EndpointCounts($0.members)[.healthy] },
            family("outlier_detection.ejections_active", .gauge, owners) { EndpointCounts($0.members)[.ejected] },
            background("outlier_detection.ejections_enforced_total", watched, [.ejections]),
            background("outlier_detection.ejections_overflow", watched, [.ejectionsOverflowed]),
            family("circuit_breakers.default.cx_open", .gauge, owners) { item in
                item.members.contains { cluster in
                    guard let max = cluster.connectionsMax else { return false }
                    return registry.sum(cluster.stats, ConnectionStat.active) >= max
                } ? 1 : 0
            },
            family("ssl.handshake", .counter, secure) {
                sum($0.owner, [ConnectionStat.tls12Handshakes, .tls13Handshakes])
            },
            family("ssl.session_reused", .counter, secure) { registry.sum($0.owner, ConnectionStat.tlsResumptions) },
            family("ssl.connection_error", .counter, secure) { closes($0.owner, where: Self.isConnectionError) },
        ]
    }

    private var clustersOfHTTP: [MetricFamily] {
        guard !inputs.plan.httpListeners.isEmpty else { return [] }
        let owners = clusterOwners
        let registry = registry
        let first = ClusterStat.responses1xx.rawValue
        func family(
            _ stat: String, _ kind: MetricFamily.Kind, _ value: @escaping Value<Cluster>
        ) -> MetricFamily { Self.family("cluster", stat, kind, owners, value) }
        func counter(_ stat: String, _ cell: ClusterStat) -> MetricFamily {
            family(stat, .counter) { registry.sum($0.owner, cell) }
        }
        func gauge(_ stat: String, _ cell: ClusterStat) -> MetricFamily {
            family(stat, .gauge) { registry.sum($0.owner, cell) }
        }
        return [
            counter("upstream_rq_total", .requestsStarted),
            family("upstream_rq_completed", .counter) { responses($0.owner, firstCell: first) },
            codeClasses("cluster", "upstream_rq", owners, firstCell: first),
            MetricFamily(Self.name("cluster", "upstream_rq"), .counter, "", stat: "upstream_rq", owners) {
                writer, item in
                for (place, code) in ResponseCode.all.enumerated() {
                    writer.sampleIfAny(
                        item.owner, "envoy_response_code", "\(code)", dotted: "upstream_rq_\(code)",
                        registry.sum(item.owner, ClusterStat.response(at: place)))
                }
            },
            counter("upstream_rq_rx_reset", .resetsReceived),
            counter("upstream_rq_tx_reset", .resetsSent),
            gauge("upstream_rq_active", .requestsActive),
            gauge("upstream_rq_pending_active", .pendingRequests),
            counter("upstream_rq_pending_overflow", .pendingOverflowed),
            counter("upstream_rq_active_overflow", .requestsOverflowed),
            counter("upstream_rq_timeout", .timeouts),
            counter("upstream_rq_per_try_timeout", .triesTimedOut),
            family("upstream_rq_retry", .counter) {
                sum($0.owner, [ClusterStat.retriesSucceeded, .retriesFailed])
            },
            counter("upstream_rq_retry_success", .retriesSucceeded),
            counter("upstream_rq_retry_overflow", .retriesOverflowed),
            family("circuit_breakers.default.rq_pending_open", .gauge) { item in
                item.members.contains { cluster in
                    registry.sum(cluster.stats, ClusterStat.pendingRequests) >= UInt64(cluster.pool.maxPending)
                } ? 1 : 0
            },
            family("circuit_breakers.default.rq_open", .gauge) { item in
                item.members.contains { cluster in
                    guard let max = cluster.pool.maxRequests else { return false }
                    return registry.sum(cluster.stats, ClusterStat.requestsActive) >= UInt64(max)
                } ? 1 : 0
            },
            family("circuit_breakers.default.rq_retry_open", .gauge) { item in
                item.members.contains { cluster in
                    registry.sum(cluster.stats, ClusterStat.retriesActive) >= UInt64(cluster.pool.maxRetries)
                } ? 1 : 0
            },
            MetricFamily(
                Self.name("cluster", "upstream_rq_time"), .histogram, "", stat: "upstream_rq_time", owners
            ) { writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, ClusterStat.requestTime))
            },
        ]
    }

    // MARK: Listeners

    private var connectionManagers: [MetricFamily] {
        let owners = inputs.plan.httpListeners.map {
            Owned(
                owner: $0.owner.renamed(["envoy_http_conn_manager_prefix": $0.name], dotted: "http.\($0.name)"),
                name: $0.name, members: $0.members)
        }
        guard !owners.isEmpty else { return [] }
        let registry = registry
        let first = HTTPStat.responses1xx.rawValue
        func family(
            _ stat: String, _ kind: MetricFamily.Kind, _ value: @escaping Value<ListenerPlan>
        ) -> MetricFamily { Self.family("http", stat, kind, owners, value) }
        return [
            family("downstream_rq_total", .counter) { registry.sum($0.owner, HTTPStat.requestsStarted) },
            family("downstream_rq_completed", .counter) { responses($0.owner, firstCell: first) },
            codeClasses("http", "downstream_rq", owners, firstCell: first),
            family("downstream_rq_active", .gauge) { registry.sum($0.owner, HTTPStat.requestsActive) },
            family("downstream_rq_rx_reset", .counter) { registry.sum($0.owner, HTTPStat.requestsReset) },
            family("downstream_rq_timeout", .counter) { registry.sum($0.owner, HTTPStat.requestBodyTimeouts) },
            family("downstream_rq_header_timeout", .counter) {
                registry.sum($0.owner, HTTPStat.requestHeadTimeouts)
            },
            family("downstream_rq_idle_timeout", .counter) { registry.sum($0.owner, HTTPStat.streamIdleTimeouts) },
            MetricFamily(
                Self.name("http", "downstream_rq_time"), .histogram, "", stat: "downstream_rq_time", owners
            ) { writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, HTTPStat.requestTime))
            },
            family("downstream_cx_total", .counter) { registry.sum($0.owner, ConnectionStat.opened) },
            family("downstream_cx_active", .gauge) { registry.sum($0.owner, ConnectionStat.active) },
            family("downstream_cx_http2_active", .gauge) { registry.sum($0.owner, HTTPStat.http2Connections) },
            family("downstream_cx_rx_bytes_total", .counter) { registry.sum($0.owner, ConnectionStat.bytesReceived) },
            family("downstream_cx_tx_bytes_total", .counter) { registry.sum($0.owner, ConnectionStat.bytesSent) },
            family("downstream_cx_destroy", .counter) { closes($0.owner) { _ in true } },
            family("downstream_cx_protocol_error", .counter) { closes($0.owner) { $0 == .protocolError } },
            family("downstream_flow_control_paused_reading_total", .counter) {
                registry.sum($0.owner, ConnectionStat.readPauses)
            },
        ]
    }

    /// As in Envoy, `0.0.0.0_443`.
    private func addressLabel<Member>(_ item: Owned<Member>) -> String {
        (inputs.addresses[item.name] ?? item.name).replacing(":", with: "_")
    }

    private var listenerOwners: [Owned<ListenerPlan>] {
        inputs.plan.listeners.map {
            let address = addressLabel($0)
            return Owned(
                owner: $0.owner.renamed(["envoy_listener_address": address], dotted: "listener.\(address)"),
                name: $0.name, members: $0.members)
        }
    }

    private var listeners: [MetricFamily] {
        let owners = listenerOwners
        let secure = owners.filter { $0.members.contains(where: \.speaksTLS) }
        let registry = registry
        func family(
            _ stat: String, _ kind: MetricFamily.Kind, _ owners: [Owned<ListenerPlan>],
            _ value: @escaping Value<ListenerPlan>
        ) -> MetricFamily { Self.family("listener", stat, kind, owners, value) }
        let endings = TLSMetrics(
            registry: registry, snapshot: inputs.snapshot, plan: inputs.plan, reloads: inputs.certificateReloads
        ).certificates
        let expirations = endings.compactMap { ending in
            owners.first { $0.owner.number == ending.owner.number }.map {
                Owned(owner: $0.owner, name: ending.name, members: ending.members)
            }
        }
        return [
            family("downstream_cx_total", .counter, owners) { registry.sum($0.owner, ConnectionStat.opened) },
            family("downstream_cx_active", .gauge, owners) { registry.sum($0.owner, ConnectionStat.active) },
            family("downstream_cx_destroy", .counter, owners) { closes($0.owner) { _ in true } },
            family("downstream_cx_overflow", .counter, owners) { registry.sum($0.owner, ListenerStat.rejectedLimit) },
            family("ssl.handshake", .counter, secure) {
                sum($0.owner, [ConnectionStat.tls12Handshakes, .tls13Handshakes])
            },
            family("ssl.session_reused", .counter, secure) { registry.sum($0.owner, ConnectionStat.tlsResumptions) },
            family("ssl.connection_error", .counter, secure) { closes($0.owner, where: Self.isConnectionError) },
            MetricFamily(
                Self.name("listener", "ssl.certificate.expiration_unix_time_seconds"), .gauge, "",
                stat: "ssl.certificate.expiration_unix_time_seconds", expirations
            ) { writer, item in
                for ending in item.members {
                    writer.sample(
                        item.owner, "envoy_ssl_certificate", ending.path,
                        dotted: "ssl.certificate.\(ending.path).expiration_unix_time_seconds", ending.notAfter)
                }
            },
        ]
    }

    /// How even the workers' shares of a listener's connections are.
    private var listenerWorkers: [MetricFamily] {
        let registry = registry
        func family(_ stat: String, _ kind: MetricFamily.Kind, _ cell: ConnectionStat) -> MetricFamily {
            MetricFamily("envoy_listener_worker_" + stat, kind, "", stat: stat, listenerOwners) { writer, item in
                for (worker, block) in registry.blocks.enumerated() {
                    let count = item.owner.ranges.reduce(0) { $0 &+ block.read($1.base + cell.rawValue) }
                    writer.sample(
                        item.owner, "envoy_worker_id", "worker_\(worker)", dotted: "worker_\(worker).\(stat)", count)
                }
            }
        }
        return [family("downstream_cx_total", .counter, .opened), family("downstream_cx_active", .gauge, .active)]
    }

    private var tcpProxies: [MetricFamily] {
        let owners = inputs.plan.listeners.filter {
            $0.members.contains(where: \.proxiesBytes)
        }.map {
            Owned(
                owner: $0.owner.renamed(["envoy_tcp_prefix": $0.name], dotted: "tcp.\($0.name)"), name: $0.name,
                members: $0.members)
        }
        let registry = registry
        func counter(_ stat: String, _ cell: ConnectionStat) -> MetricFamily {
            Self.family("tcp", stat, .counter, owners) { registry.sum($0.owner, cell) }
        }
        return [
            counter("downstream_cx_total", .opened), counter("downstream_cx_rx_bytes_total", .bytesReceived),
            counter("downstream_cx_tx_bytes_total", .bytesSent),
        ]
    }

    // MARK: Process

    private var server: [MetricFamily] {
        let usage = ProcessUsage.now()
        func family(_ scope: String, _ stat: String, _ kind: MetricFamily.Kind, _ value: UInt64) -> MetricFamily {
            let dotted = scope == "server" ? "server.\(stat)" : "\(scope).\(stat)"
            return MetricFamily(Self.name(scope, stat), kind, "", stat: dotted) { $0.sample(.process, value) }
        }
        let state: UInt64 =
            switch inputs.readiness {
            case .live: 0
            case .draining: 1
            case .starting: 3
            }
        let now = UInt64(max(usage.nowSeconds, 0))
        let ends = TLSMetrics(
            registry: registry, snapshot: inputs.snapshot, plan: inputs.plan, reloads: inputs.certificateReloads
        ).certificates.flatMap(\.members).map(\.notAfter).min()
        // What Envoy says when there is no certificate.
        let days = ends.map { $0 > now ? ($0 - now) / 86_400 : 0 } ?? UInt64(UInt32.max)
        let connections = inputs.plan.listeners.reduce(0) { $0 &+ registry.sum($1.owner, ConnectionStat.active) }
        return [
            family("server", "live", .gauge, inputs.readiness == .live ? 1 : 0),
            family("server", "state", .gauge, state),
            family("server", "uptime", .gauge, inputs.uptimeSeconds),
            family("server", "concurrency", .gauge, UInt64(registry.blocks.count)),
            family("server", "memory_allocated", .gauge, UInt64(usage.anonymousBytes)),
            family("server", "memory_heap_size", .gauge, UInt64(usage.residentBytes)),
            family("server", "memory_physical_size", .gauge, UInt64(usage.residentBytes)),
            family("server", "total_connections", .gauge, connections),
            family("server", "days_until_first_cert_expiring", .gauge, days),
            family(
                "cluster_manager", "cds.update_attempt", .counter, inputs.applies.applied + inputs.applies.rejected),
            family("cluster_manager", "cds.update_success", .counter, inputs.applies.applied),
            family("cluster_manager", "cds.update_rejected", .counter, inputs.applies.rejected),
            // Nothing is fetched: a configuration is taken or rejected.
            family("cluster_manager", "cds.update_failure", .counter, 0),
            family("cluster_manager", "active_clusters", .gauge, UInt64(inputs.snapshot.clusters.count)),
            family("listener_manager", "total_listeners_active", .gauge, UInt64(inputs.snapshot.listeners.count)),
            family("listener_manager", "workers_started", .gauge, inputs.phase == .starting ? 0 : 1),
        ]
    }
}
