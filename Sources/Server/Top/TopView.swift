/// What `ringway top` shows of what happened between two scrapes.
struct TopView {
    let change: ScrapedChange
    /// Lines of `/requests`.
    let requests: [Substring]
    let state: String
    /// Of the terminal.
    let lines: Int
    let columns: Int

    /// The families that are looked at.
    static let families: Set<String> = [
        "ringway_build_info", "ringway_config_generation", "process_cpu_seconds_total", "process_resident_memory_bytes",
        "process_open_fds", "ringway_listener_connections_active", "ringway_listener_connections_total",
        "ringway_http_requests_total", "ringway_http_requests_active", "ringway_http_request_duration_seconds_bucket",
        "ringway_bytes_total", "ringway_cluster_connections_total", "ringway_cluster_connections_active",
        "ringway_cluster_requests_total", "ringway_cluster_requests_active", "ringway_cluster_pending_requests",
        "ringway_cluster_retries_total", "ringway_cluster_endpoints", "ringway_cluster_request_duration_seconds_bucket",
        "ringway_route_requests_total", "ringway_route_cpu_seconds_total", "ringway_worker_turns_total",
        "ringway_worker_loop_seconds_total", "ringway_worker_connections_active", "ringway_ring_completions_total",
    ]

    /// As many lines as there is room for, and as many columns of each table.
    var text: String {
        let tables = [
            TopTable(
                ["LISTENER", "CONNS", "REQ/S", "ACTIVE", "4XX/S", "5XX/S", "P50", "P99", "CONN/S", "IN/S", "OUT/S"],
                names: 1, listeners),
            TopTable(
                ["CLUSTER", "HEALTHY", "CONNS", "REQ/S", "5XX/S", "P50", "P99", "ACTIVE", "QUEUED", "RETRY/S"],
                names: 1, clusters),
            TopTable(["ROUTE", "LISTENER", "REQ/S", "CPU"], names: 2, routes),
            TopTable(
                ["SLOWEST ENDPOINT", "CLUSTER", "REQUESTS", "ERRORS", "MEAN", "MAX"], names: 2, endpoints),
            TopTable(["WORKER", "BUSY", "CONNS", "TURNS/S", "EVENTS/TURN"], names: 1, workers),
        ].filter { !$0.isEmpty }
        var shown = [String(summary.prefix(columns))]
        for (table, rows) in zip(tables, TopTable.share(lines - 1, among: tables)) where rows > 0 {
            shown += [""] + table.lines(rows: rows, columns: columns)
        }
        return shown.joined(separator: "\n")
    }

    /// Of a table.
    private static let rowsMax = 1000

    private var after: ScrapedSamples { change.after }

    private var summary: String {
        let version = after.owners("ringway_build_info").first ?? "?"
        let cpu = Self.percent(change.rate("process_cpu_seconds_total"))
        let memory = Self.bytes(after.sum("process_resident_memory_bytes"))
        let generation = Int(after.sum("ringway_config_generation"))
        let connections = Int(after.sum("ringway_listener_connections_active"))
        let parts = [
            "ringway \(version)", state, "generation \(generation)", "cpu \(cpu)", "memory \(memory)",
            "clients \(connections)", "\(Self.number(change.rate("ringway_http_requests_total"))) req/s",
            "descriptors \(Int(after.sum("process_open_fds")))",
        ]
        return parts.dropFirst().reduce(parts[0]) { line, part in
            line.count + 2 + part.count <= columns ? "\(line)  \(part)" : line
        }
    }

    private var listeners: [[String]] {
        after.owners("ringway_listener_connections_total").prefix(Self.rowsMax).map { name in
            func rate(_ family: String) -> Double { change.rate(family, ["listener": name]) }
            let requests = "ringway_http_requests_total"
            let duration = "ringway_http_request_duration_seconds"
            return [
                name, Self.number(after.sum("ringway_listener_connections_active", ["listener": name])),
                Self.number(rate(requests)),
                Self.number(after.sum("ringway_http_requests_active", ["listener": name])),
                Self.number(change.rate(requests, ["listener": name, "code_class": "4xx"])),
                Self.number(change.rate(requests, ["listener": name, "code_class": "5xx"])),
                Self.duration(change.quantile(0.5, of: duration, "listener", name)),
                Self.duration(change.quantile(0.99, of: duration, "listener", name)),
                Self.number(rate("ringway_listener_connections_total")),
                Self.bytes(change.rate("ringway_bytes_total", ["listener": name, "direction": "received"])),
                Self.bytes(change.rate("ringway_bytes_total", ["listener": name, "direction": "sent"])),
            ]
        }
    }

    /// The busiest first.
    private var clusters: [[String]] {
        let names = after.owners("ringway_cluster_connections_total").map { name in
            (name: name, rate: change.rate("ringway_cluster_requests_total", ["cluster": name]))
        }
        return names.sorted { ($1.rate, $0.name) < ($0.rate, $1.name) }.prefix(Self.rowsMax).map { name, rate in
            let duration = "ringway_cluster_request_duration_seconds"
            let endpoints = after.sum("ringway_cluster_endpoints", ["cluster": name])
            let healthy = after.sum("ringway_cluster_endpoints", ["cluster": name, "state": "healthy"])
            return [
                name, "\(Int(healthy))/\(Int(endpoints))",
                Self.number(after.sum("ringway_cluster_connections_active", ["cluster": name])), Self.number(rate),
                Self.number(change.rate("ringway_cluster_requests_total", ["cluster": name, "code_class": "5xx"])),
                Self.duration(change.quantile(0.5, of: duration, "cluster", name)),
                Self.duration(change.quantile(0.99, of: duration, "cluster", name)),
                Self.number(after.sum("ringway_cluster_requests_active", ["cluster": name])),
                Self.number(after.sum("ringway_cluster_pending_requests", ["cluster": name])),
                Self.number(change.rate("ringway_cluster_retries_total", ["cluster": name])),
            ]
        }
    }

    /// Those that cost most.
    private var routes: [[String]] {
        // A listener may have thousands of them, so each is looked up once.
        func rates(_ name: String) -> [[String]: Double] {
            func values(_ samples: ScrapedSamples) -> [[String]: Double] {
                Dictionary(
                    samples.series(name).map { ([$0["route"] ?? "", $0["listener"] ?? ""], $0.value) }
                ) { $1 }
            }
            let old = values(change.before)
            return values(after).reduce(into: [:]) { rates, new in
                let before = old[new.key] ?? 0
                rates[new.key] = (new.value >= before ? new.value - before : new.value) / change.seconds
            }
        }
        let costs = rates("ringway_route_cpu_seconds_total")
        let rows = rates("ringway_route_requests_total").map { labels, rate in
            (labels: labels, cost: costs[labels] ?? 0, rate: rate)
        }.filter { $0.rate > 0 || $0.cost > 0 }
        return rows.sorted { ($0.cost, $0.rate) > ($1.cost, $1.rate) }.prefix(Self.rowsMax).map {
            $0.labels + [Self.number($0.rate), Self.percent($0.cost)]
        }
    }

    /// By how long they took for the requests that the workers remember, on average.
    private var endpoints: [[String]] {
        struct Sum {
            let endpoint: Substring
            let cluster: Substring
            var count = 0
            var errors = 0
            var seconds = 0.0
            var longest = 0.0
        }
        var sums: [String: Sum] = [:]
        for line in requests {
            let words = line.split(separator: " ")
            func value(_ key: String) -> Substring? {
                words.last { $0.hasPrefix(key + "=") }?.dropFirst(key.count + 1)
            }
            guard let endpoint = value("endpoint"), let milliseconds = value("upstream")?.dropLast(2),
                let upstream = Double(milliseconds), words.count > 2
            else { continue }
            let cluster = value("cluster") ?? ""
            let key = "\(cluster) \(endpoint)"
            var sum = sums[key] ?? Sum(endpoint: endpoint, cluster: cluster)
            sum.count += 1
            sum.errors += words[1].hasPrefix("5") || words[2] != "-" ? 1 : 0
            sum.seconds += upstream / 1000
            sum.longest = max(sum.longest, upstream / 1000)
            sums[key] = sum
        }
        let rows = sums.values.sorted { $0.seconds / Double($0.count) > $1.seconds / Double($1.count) }
        return rows.prefix(Self.rowsMax).map { sum in
            [
                String(sum.endpoint), String(sum.cluster), "\(sum.count)", "\(sum.errors)",
                Self.duration(sum.seconds / Double(sum.count)), Self.duration(sum.longest),
            ]
        }
    }

    private var workers: [[String]] {
        after.owners("ringway_worker_turns_total").map { worker in
            let turns = change.rate("ringway_worker_turns_total", ["worker": worker])
            let events = change.rate("ringway_ring_completions_total", ["worker": worker])
            return [
                worker,
                Self.percent(change.rate("ringway_worker_loop_seconds_total", ["worker": worker, "state": "busy"])),
                Self.number(after.sum("ringway_worker_connections_active", ["worker": worker])), Self.number(turns),
                turns > 0 ? Self.number(events / turns) : "-",
            ]
        }
    }

    // MARK: Cells

    private static func number(_ value: Double) -> String {
        if value >= 10_000 { return rounded(value / 1000, 1) + "k" }
        return value == value.rounded() ? "\(Int(value))" : rounded(value, value < 10 ? 2 : 1)
    }

    private static func bytes(_ value: Double) -> String {
        var (value, unit) = (value, 0)
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return (unit == 0 ? "\(Int(value))" : rounded(value, 1)) + units[unit]
    }

    private static func percent(_ share: Double) -> String { rounded(share * 100, 1) + "%" }

    private static func duration(_ seconds: Double?) -> String {
        guard let seconds else { return "-" }
        if seconds >= 1 { return rounded(seconds, 2) + "s" }
        return seconds >= 0.001 ? rounded(seconds * 1000, 1) + "ms" : "\(Int(seconds * 1_000_000))us"
    }

    private static func rounded(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
