internal import Config
internal import Engine
internal import Upstream

/// What a scrape shows, as of when it began. Its values are read while it is written.
struct MetricInputs: Sendable {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let plan: SeriesPlan
    let accessLogs: [AccessLogFile]
    let applies: ApplyCounts
    let certificateReloads: ApplyCounts
    let phase: Control.Phase
    let readiness: Control.Phase
    let uptimeSeconds: UInt64
    /// Where listeners can be reached, by name.
    let addresses: [String: String]
}

/// Ringway's own families: `/metrics`.
struct NativeCatalog {
    let inputs: MetricInputs

    private var registry: StatsRegistry { inputs.registry }
    private var plan: SeriesPlan { inputs.plan }

    var families: [MetricFamily] {
        process + configuration + listeners + firstBytes + clusters
            + HTTPMetrics(registry: registry, snapshot: inputs.snapshot, plan: plan).families
            + TLSMetrics(
                registry: registry, snapshot: inputs.snapshot, plan: plan, reloads: inputs.certificateReloads
            ).families
            + TracingMetrics(registry: registry, snapshot: inputs.snapshot, plan: plan).families
            + AccessLogMetrics(registry: registry, files: inputs.accessLogs).families
            + traffic + workers
    }

    private var configuration: [MetricFamily] {
        [
            MetricFamily("ringway_build_info", .info, "The running version; the value is always 1.") { writer in
                writer.sample(.process, "version", RingwayVersion.current, 1)
            },
            MetricFamily(
                "ringway_live", .gauge, "1 while the proxy accepts connections, 0 while it starts or drains."
            ) { [inputs] writer in
                writer.sample(.process, inputs.phase == .live ? 1 : 0)
            },
            MetricFamily("ringway_config_generation", .gauge, "The generation of the running configuration.") {
                [inputs] writer in
                writer.sample(.process, inputs.snapshot.generation)
            },
            MetricFamily(
                "ringway_config_applies_total", .counter, "Configurations that were applied or rejected."
            ) { [inputs] writer in
                writer.sample(.process, "result", "applied", inputs.applies.applied)
                writer.sample(.process, "result", "rejected", inputs.applies.rejected)
            },
            MetricFamily("ringway_stats_series", .gauge, "Series that a scrape has at most, of which some begin later.")
            {
                [plan] writer in
                writer.sample(.process, plan.seriesCount)
            },
            MetricFamily("ringway_stats_series_max", .gauge, "Series that a scrape may have: stats.max_series.") {
                [plan] writer in
                writer.sample(.process, plan.seriesMax)
            },
            MetricFamily(
                "ringway_stats_folded_series", .gauge,
                "Series without room, which count as \(SeriesPlan.overflowName)."
            ) { [plan] writer in
                writer.sample(.process, plan.foldedSeries)
            },
            MetricFamily(
                "ringway_stats_folded_owners", .gauge,
                "Listeners, clusters, routes and filters that such series are of."
            ) { [plan] writer in
                writer.sample(.process, plan.foldedOwners)
            },
        ]
    }

    // MARK: Listeners

    /// Listeners that look at what clients say first, before they choose a chain.
    private var firstBytes: [MetricFamily] {
        let choosing = plan.listeners.filter { item in
            item.members.contains { $0.chains.contains { $0.configuration.match.looksAtFirstBytes } }
        }
        let results: [(String, ListenerStat)] = [
            ("client_hello", .firstBytesHello), ("plain", .firstBytesPlain), ("malformed", .firstBytesMalformed),
            ("timeout", .firstBytesTimeouts),
        ]
        guard !choosing.isEmpty else { return [] }
        return [
            MetricFamily(
                "ringway_listener_first_bytes_total", .counter,
                "What clients said first, where filter chains are chosen by it.", choosing
            ) { [registry] writer, item in
                for (result, stat) in results {
                    writer.sample(item.owner, "result", result, registry.sum(item.owner, stat))
                }
            }
        ]
    }

    private var listeners: [MetricFamily] {
        let reasons: [(String, ListenerStat)] = [
            ("limit", .rejectedLimit), ("descriptors", .rejectedDescriptors), ("table", .rejectedTable),
            ("accept_error", .acceptErrors),
        ]
        return [
            MetricFamily("ringway_listener_connections_total", .counter, "Connections accepted.", plan.listeners) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.opened))
            },
            MetricFamily("ringway_listener_connections_active", .gauge, "Open connections.", plan.listeners) {
                [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.active))
            },
            MetricFamily(
                "ringway_listener_worker_connections_active", .gauge,
                "Open connections, by the worker that has them.", plan.listeners
            ) { [registry] writer, item in
                for (worker, block) in registry.blocks.enumerated() {
                    let count = item.owner.ranges.reduce(0) {
                        $0 &+ block.read($1.base + ConnectionStat.active.rawValue)
                    }
                    writer.sample(item.owner, "worker", "\(worker)", count)
                }
            },
            MetricFamily(
                "ringway_listener_connections_rejected_total", .counter,
                "Connections that were turned away before any filter saw them, and accepts that failed.",
                plan.listeners
            ) { [registry] writer, item in
                for (reason, stat) in reasons {
                    writer.sample(item.owner, "reason", reason, registry.sum(item.owner, stat))
                }
            },
        ]
    }

    // MARK: Clusters

    /// Of `pool`, by what has no room.
    private static let limits: [(name: String, stat: ClusterStat)] = [
        ("max_connections", .overflowed), ("max_pending", .pendingOverflowed), ("max_requests", .requestsOverflowed),
    ]

    private var clusters: [MetricFamily] {
        [
            MetricFamily(
                "ringway_cluster_connections_total", .counter,
                "Connections opened to the cluster, failed ones included.", plan.clusters
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.opened))
            },
            MetricFamily(
                "ringway_cluster_connections_active", .gauge, "Open connections to the cluster.", plan.clusters
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.active))
            },
            MetricFamily(
                "ringway_cluster_connect_failures_total", .counter, "Connections that did not come about.",
                plan.clusters
            ) { [registry] writer, item in
                let speaksTLS = item.members.contains { $0.tls != nil }
                for reason in CloseReason.allCases where reason.isConnectFailure && (speaksTLS || !reason.isOfTLS) {
                    let count = registry.sum(item.owner, ConnectionStat.closes(reason))
                    writer.sample(item.owner, "reason", reason.label, count)
                }
            },
            MetricFamily(
                "ringway_cluster_connect_retries_total", .counter, "Connects after another endpoint had failed.",
                plan.clusters
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ClusterStat.retries))
            },
            MetricFamily(
                "ringway_cluster_overflows_total", .counter,
                "Connections and requests refused because the cluster was at a limit.", plan.clusters
            ) { [registry] writer, item in
                for (limit, stat) in Self.limits {
                    writer.sample(item.owner, "limit", limit, registry.sum(item.owner, stat))
                }
            },
        ] + HealthMetrics(registry: registry, plan: plan).families + [
            MetricFamily(
                "ringway_cluster_connect_duration_seconds", .histogram,
                "Time to establish a connection to an endpoint.", plan.clusters
            ) { [registry] writer, item in
                writer.histogram(item.owner, registry.histogram(item.owner, ClusterStat.connectTime))
            }
        ]
    }

    // MARK: Both

    private var traffic: [MetricFamily] {
        let owners = plan.listeners.map { $0.erased } + plan.clusters.map { $0.erased }
        return [
            MetricFamily("ringway_bytes_total", .counter, "Bytes received from and sent to the peers.", owners) {
                [registry] writer, item in
                let owner = item.owner
                writer.sample(owner, "direction", "received", registry.sum(owner, ConnectionStat.bytesReceived))
                writer.sample(owner, "direction", "sent", registry.sum(owner, ConnectionStat.bytesSent))
            },
            MetricFamily(
                "ringway_spliced_bytes_total", .counter, "Received bytes that did not pass through user space.", owners
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.bytesSpliced))
            },
            MetricFamily(
                "ringway_read_pauses_total", .counter, "Times that reading stopped because the other side was slow.",
                owners
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, ConnectionStat.readPauses))
            },
            MetricFamily("ringway_connection_closes_total", .counter, "Ended connections by reason.", owners) {
                [registry] writer, item in
                for reason in CloseReason.allCases where item.members[0].speaksTLS || !reason.isOfTLS {
                    let count = registry.sum(item.owner, ConnectionStat.closes(reason))
                    writer.sample(item.owner, "reason", reason.label, count)
                }
            },
        ]
    }

    // MARK: Workers and process

    private static let workerFamilies: [(name: String, kind: MetricFamily.Kind, stat: WorkerStat, help: String)] = [
        ("ringway_worker_connections_active", .gauge, .connectionsActive, "Open connections of both sides."),
        ("ringway_worker_turns_total", .counter, .turns, "Turns of the worker's loop."),
        ("ringway_ring_completions_total", .counter, .completions, "Completions taken from the ring."),
        ("ringway_ring_enters_total", .counter, .enters, "System calls that submitted to or waited on the ring."),
        ("ringway_ring_overflows_total", .counter, .overflows, "Turns that found the completion queue overflown."),
        (
            "ringway_ring_stale_completions_total", .counter, .staleCompletions,
            "Completions for connections that were gone."
        ),
        ("ringway_buffers_in_use", .gauge, .buffersInUse, "Receive buffers that hold bytes."),
        ("ringway_buffers_provided", .gauge, .buffersProvided, "Receive buffers of the pool, in use or not."),
        (
            "ringway_buffer_waits_total", .counter, .bufferWaits,
            "Receivers that waited for a buffer at the end of a turn."
        ),
        (
            "ringway_sends_copied_total", .counter, .sendsCopied,
            "Sends that were copied to free the buffers of slow readers."
        ),
        ("ringway_heap_bytes", .gauge, .heapBytes, "Bytes queued for sending outside of receive buffers."),
        ("ringway_segments_in_use", .gauge, .segmentsInUse, "Slices queued for sending."),
        ("ringway_timers_armed", .gauge, .timersArmed, "Timers that are waiting."),
        ("ringway_splice_switches_total", .counter, .spliceSwitches, "Directions that moved to splicing."),
        (
            "ringway_splice_fallbacks_total", .counter, .spliceFallbacks,
            "Directions that found no pipe and went back to buffers."
        ),
        ("ringway_pipes_open", .gauge, .pipesOpen, "Pipes of the pool, in use or not."),
    ]

    private var workers: [MetricFamily] {
        let loop = MetricFamily(
            "ringway_worker_loop_seconds_total", .counter, "Time of the worker by whether it used a CPU.",
            plan.workers
        ) { [registry] writer, item in
            let block = registry.blocks[item.members[0]]
            writer.sample(item.owner, ("state", "busy"), seconds: Double(block.read(WorkerStat.busyNs.rawValue)) / 1e9)
            writer.sample(item.owner, ("state", "idle"), seconds: Double(block.read(WorkerStat.idleNs.rawValue)) / 1e9)
        }
        let share = MetricFamily(
            "ringway_worker_busy_ratio", .gauge, "The share of a CPU that the worker used just now.", plan.workers
        ) { [registry] writer, item in
            let permille = LoadMeter.busyPermille(of: registry.blocks[item.members[0]], nowNs: monotonicNowNs())
            writer.sample(item.owner, ratio: Double(permille) / 1000)
        }
        let handedOver = MetricFamily(
            "ringway_worker_connections_handed_over_total", .counter,
            "Accepted connections that went to a less loaded worker, or came from one.", plan.workers
        ) { [registry] writer, item in
            let block = registry.blocks[item.members[0]]
            writer.sample(item.owner, "direction", "given", block.read(WorkerStat.connectionsGiven.rawValue))
            writer.sample(item.owner, "direction", "taken", block.read(WorkerStat.connectionsTaken.rawValue))
        }
        return [loop, share, handedOver]
            + Self.workerFamilies.map { family in
                MetricFamily(family.name, family.kind, family.help, plan.workers) { [registry] writer, item in
                    writer.sample(item.owner, registry.blocks[item.members[0]].read(family.stat.rawValue))
                }
            }
    }

    /// The metrics that every Prometheus client library has.
    private var process: [MetricFamily] {
        let usage = ProcessUsage.now()
        return [
            MetricFamily("process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds.") {
                $0.sample(.process, seconds: usage.cpuSeconds)
            },
            MetricFamily("process_resident_memory_bytes", .gauge, "Resident memory size in bytes.") {
                $0.sample(.process, UInt64(usage.residentBytes))
            },
            MetricFamily("process_virtual_memory_bytes", .gauge, "Virtual memory size in bytes.") {
                $0.sample(.process, UInt64(usage.virtualBytes))
            },
            MetricFamily("process_open_fds", .gauge, "Number of open file descriptors.") {
                $0.sample(.process, UInt64(usage.openDescriptors))
            },
            MetricFamily("process_max_fds", .gauge, "Maximum number of open file descriptors.") {
                $0.sample(.process, usage.descriptorsMax)
            },
            MetricFamily(
                "process_start_time_seconds", .gauge, "Start time of the process since unix epoch in seconds."
            ) {
                $0.sample(.process, seconds: usage.startTime)
            },
        ]
    }
}

/// How often a configuration was taken or refused since the process started.
package struct ApplyCounts: Sendable {
    package var applied: UInt64 = 0
    package var rejected: UInt64 = 0
}
