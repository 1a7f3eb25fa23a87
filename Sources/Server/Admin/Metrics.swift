internal import Config
internal import Engine
internal import Upstream

/// `/metrics`: Ringway's families, summed over the workers' cells. Runs on the control queue and reads what
/// the workers write; no worker waits for it.
struct Metrics {
    let registry: StatsRegistry
    let snapshot: Snapshot
    let accessLogs: [AccessLogFile]
    let applies: ApplyCounts
    let certificateReloads: ApplyCounts
    let isLive: Bool

    func render() -> [UInt8] {
        var text = PrometheusText()
        writeProcess(&text)
        writeConfiguration(&text)
        writeListeners(&text)
        writeFirstBytes(&text)
        writeClusters(&text)
        HTTPMetrics(registry: registry, snapshot: snapshot).write(to: &text)
        TLSMetrics(registry: registry, snapshot: snapshot, reloads: certificateReloads).write(to: &text)
        AccessLogMetrics(registry: registry, files: accessLogs).write(to: &text)
        writeTraffic(&text)
        writeWorkers(&text)
        return text.bytes
    }

    private func writeConfiguration(_ text: inout PrometheusText) {
        text.family("ringway_build_info", .gauge, "The running version; the value is always 1.")
        text.sample(["version": RingwayVersion.current], 1)
        text.family("ringway_live", .gauge, "1 while the proxy accepts connections, 0 while it starts or drains.")
        text.sample([:], isLive ? 1 : 0)
        text.family("ringway_config_generation", .gauge, "The generation of the running configuration.")
        text.sample([:], snapshot.generation)
        text.family("ringway_config_applies_total", .counter, "Configurations that were applied or rejected.")
        text.sample(["result": "applied"], applies.applied)
        text.sample(["result": "rejected"], applies.rejected)
    }

    // MARK: Listeners

    private func writeListeners(_ text: inout PrometheusText) {
        func each(_ body: (String, StatsRegistry.Range) -> Void) {
            for listener in snapshot.listeners { body(listener.configuration.name, listener.stats) }
        }
        text.family("ringway_listener_connections_total", .counter, "Connections accepted.")
        each { text.sample(["listener": $0], registry.sum($1, ConnectionStat.opened)) }
        text.family("ringway_listener_connections_active", .gauge, "Open connections.")
        each { text.sample(["listener": $0], registry.sum($1, ConnectionStat.active)) }
        text.family(
            "ringway_listener_worker_connections_active", .gauge, "Open connections, by the worker that has them.")
        each { name, range in
            for worker in registry.blocks.indices {
                let count = registry.scope(range, worker: worker).read(ConnectionStat.active)
                text.sample(["listener": name, "worker": "\(worker)"], count)
            }
        }
        text.family(
            "ringway_listener_connections_rejected_total", .counter,
            "Connections that were turned away before any filter saw them, and accepts that failed.")
        let reasons: [(String, ListenerStat)] = [
            ("limit", .rejectedLimit), ("descriptors", .rejectedDescriptors), ("table", .rejectedTable),
            ("accept_error", .acceptErrors),
        ]
        each { name, range in
            for (reason, stat) in reasons {
                text.sample(["listener": name, "reason": reason], registry.sum(range, stat))
            }
        }
    }

    /// Listeners that look at what clients say first, before they choose a chain.
    private func writeFirstBytes(_ text: inout PrometheusText) {
        let listeners = snapshot.listeners.filter { listener in
            listener.chains.contains { $0.configuration.match.looksAtFirstBytes }
        }
        guard !listeners.isEmpty else { return }
        text.family(
            "ringway_listener_first_bytes_total", .counter,
            "What clients said first, where filter chains are chosen by it.")
        let results: [(String, ListenerStat)] = [
            ("client_hello", .firstBytesHello), ("plain", .firstBytesPlain), ("malformed", .firstBytesMalformed),
            ("timeout", .firstBytesTimeouts),
        ]
        for listener in listeners {
            for (result, stat) in results {
                text.sample(
                    ["listener": listener.configuration.name, "result": result], registry.sum(listener.stats, stat))
            }
        }
    }

    // MARK: Clusters

    private func writeClusters(_ text: inout PrometheusText) {
        let clusters = snapshot.clusters.values.sorted { $0.name < $1.name }
        text.family(
            "ringway_cluster_connections_total", .counter, "Connections opened to the cluster, failed ones included.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ConnectionStat.opened))
        }
        text.family("ringway_cluster_connections_active", .gauge, "Open connections to the cluster.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ConnectionStat.active))
        }
        text.family("ringway_cluster_connect_failures_total", .counter, "Connections that did not come about.")
        for cluster in clusters {
            for reason in CloseReason.allCases
            where reason.isConnectFailure && (cluster.tls != nil || !reason.isOfTLS) {
                let count = registry.sum(cluster.stats, ConnectionStat.closes(reason))
                text.sample(["cluster": cluster.name, "reason": reason.label], count)
            }
        }
        text.family("ringway_cluster_connect_retries_total", .counter, "Connects after another endpoint had failed.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.retries))
        }
        text.family(
            "ringway_cluster_overflows_total", .counter, "Connections refused because the cluster was at its limit.")
        for cluster in clusters {
            text.sample(["cluster": cluster.name], registry.sum(cluster.stats, ClusterStat.overflowed))
        }
        HealthMetrics(registry: registry, clusters: clusters).write(to: &text)
        text.family(
            "ringway_cluster_connect_duration_seconds", .histogram, "Time to establish a connection to an endpoint.")
        for cluster in clusters {
            text.histogram(["cluster": cluster.name], registry.histogram(cluster.stats, ClusterStat.connectTime))
        }
    }

    // MARK: Both

    private func writeTraffic(_ text: inout PrometheusText) {
        let owners: [(label: String, name: String, range: StatsRegistry.Range, speaksTLS: Bool)] =
            snapshot.listeners.map { ("listener", $0.configuration.name, $0.stats, $0.speaksTLS) }
            + snapshot.clusters.values.sorted { $0.name < $1.name }.map {
                ("cluster", $0.name, $0.stats, $0.tls != nil)
            }
        text.family("ringway_bytes_total", .counter, "Bytes received from and sent to the peers.")
        for owner in owners {
            text.sample(
                [owner.label: owner.name, "direction": "received"],
                registry.sum(owner.range, ConnectionStat.bytesReceived))
            text.sample(
                [owner.label: owner.name, "direction": "sent"], registry.sum(owner.range, ConnectionStat.bytesSent))
        }
        text.family("ringway_spliced_bytes_total", .counter, "Received bytes that did not pass through user space.")
        for owner in owners {
            text.sample([owner.label: owner.name], registry.sum(owner.range, ConnectionStat.bytesSpliced))
        }
        text.family(
            "ringway_read_pauses_total", .counter, "Times that reading stopped because the other side was slow.")
        for owner in owners {
            text.sample([owner.label: owner.name], registry.sum(owner.range, ConnectionStat.readPauses))
        }
        text.family("ringway_connection_closes_total", .counter, "Ended connections by reason.")
        for owner in owners {
            for reason in CloseReason.allCases where owner.speaksTLS || !reason.isOfTLS {
                let count = registry.sum(owner.range, ConnectionStat.closes(reason))
                text.sample([owner.label: owner.name, "reason": reason.label], count)
            }
        }
    }

    // MARK: Workers and process

    private static let workerFamilies: [(name: String, kind: PrometheusText.Kind, stat: WorkerStat, help: String)] = [
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

    private func writeWorkers(_ text: inout PrometheusText) {
        text.family("ringway_worker_loop_seconds_total", .counter, "Time of the worker's loop, working or waiting.")
        for (worker, block) in registry.blocks.enumerated() {
            let busy = Double(block.read(WorkerStat.busyNs.rawValue)) / 1e9
            let idle = Double(block.read(WorkerStat.idleNs.rawValue)) / 1e9
            text.sample(["worker": "\(worker)", "state": "busy"], seconds: busy)
            text.sample(["worker": "\(worker)", "state": "idle"], seconds: idle)
        }
        text.family("ringway_worker_busy_ratio", .gauge, "The share of a CPU that the worker used just now.")
        for (worker, block) in registry.blocks.enumerated() {
            let busyPermille = LoadMeter.busyPermille(of: block, nowNs: monotonicNowNs())
            text.sample(["worker": "\(worker)"], ratio: Double(busyPermille) / 1000)
        }
        text.family(
            "ringway_worker_connections_handed_over_total", .counter,
            "Accepted connections that went to a less loaded worker, or came from one.")
        for (worker, block) in registry.blocks.enumerated() {
            let (given, taken) = (
                block.read(WorkerStat.connectionsGiven.rawValue),
                block.read(WorkerStat.connectionsTaken.rawValue)
            )
            text.sample(["worker": "\(worker)", "direction": "given"], given)
            text.sample(["worker": "\(worker)", "direction": "taken"], taken)
        }
        for family in Self.workerFamilies {
            text.family(family.name, family.kind, family.help)
            for (worker, block) in registry.blocks.enumerated() {
                text.sample(["worker": "\(worker)"], block.read(family.stat.rawValue))
            }
        }
    }

    /// The metrics that every Prometheus client library has.
    private func writeProcess(_ text: inout PrometheusText) {
        let usage = ProcessUsage.now()
        text.family("process_cpu_seconds_total", .counter, "Total user and system CPU time spent in seconds.")
        text.sample([:], seconds: usage.cpuSeconds)
        text.family("process_resident_memory_bytes", .gauge, "Resident memory size in bytes.")
        text.sample([:], UInt64(usage.residentBytes))
        text.family("process_virtual_memory_bytes", .gauge, "Virtual memory size in bytes.")
        text.sample([:], UInt64(usage.virtualBytes))
        text.family("process_open_fds", .gauge, "Number of open file descriptors.")
        text.sample([:], UInt64(usage.openDescriptors))
        text.family("process_max_fds", .gauge, "Maximum number of open file descriptors.")
        text.sample([:], usage.descriptorsMax)
        text.family("process_start_time_seconds", .gauge, "Start time of the process since unix epoch in seconds.")
        text.sample([:], seconds: usage.startTime)
    }
}

/// How often a configuration was taken or refused since the process started.
package struct ApplyCounts: Sendable {
    package var applied: UInt64 = 0
    package var rejected: UInt64 = 0
}
