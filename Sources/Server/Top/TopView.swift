/// What `ringway top` shows of what happened between two scrapes.
struct TopView {
    let change: ScrapedChange
    /// Lines of `/requests`.
    let requests: [Substring]
    let state: String
    /// Rows of each table at most.
    let rowsMax: Int
    let columns: Int

    var text: String {
        var lines = [summary]
        lines += table(
            ["LISTENER", "CONNS", "CONN/S", "REQ/S", "ACTIVE", "4XX/S", "5XX/S", "P50", "P99", "IN/S", "OUT/S"],
            listeners)
        lines += table(
            ["CLUSTER", "HEALTHY", "CONNS", "REQ/S", "ACTIVE", "QUEUED", "5XX/S", "RETRY/S", "P50", "P99"], clusters)
        lines += table(["ROUTE", "LISTENER", "REQ/S", "CPU"], routes)
        lines += table(["SLOWEST ENDPOINT", "CLUSTER", "REQUESTS", "ERRORS", "MEAN", "MAX"], endpoints)
        lines += table(["WORKER", "BUSY", "CONNS", "TURNS/S", "EVENTS/TURN"], workers)
        return lines.map { String($0.prefix(columns)) + "\n" }.joined()
    }

    private var after: ScrapedSamples { change.after }

    private var summary: String {
        let version = after.values(of: "version", in: "ringway_build_info").first ?? "?"
        let cpu = Self.percent(change.rate("process_cpu_seconds_total"))
        let memory = Self.bytes(after.sum("process_resident_memory_bytes"))
        let generation = Int(after.sum("ringway_config_generation"))
        let connections = Int(after.sum("ringway_listener_connections_active"))
        return "ringway \(version)  \(state)  generation \(generation)  cpu \(cpu)  memory \(memory)  "
            + "descriptors \(Int(after.sum("process_open_fds")))  clients \(connections)  "
            + "\(Self.number(change.rate("ringway_http_requests_total"))) req/s"
    }

    private var listeners: [[String]] {
        after.values(of: "listener", in: "ringway_listener_connections_total").map { name in
            func rate(_ family: String) -> Double { change.rate(family, ["listener": name]) }
            let requests = "ringway_http_requests_total"
            let duration = "ringway_http_request_duration_seconds"
            return [
                name, Self.number(after.sum("ringway_listener_connections_active", ["listener": name])),
                Self.number(rate("ringway_listener_connections_total")), Self.number(rate(requests)),
                Self.number(after.sum("ringway_http_requests_active", ["listener": name])),
                Self.number(change.rate(requests, ["listener": name, "code_class": "4xx"])),
                Self.number(change.rate(requests, ["listener": name, "code_class": "5xx"])),
                Self.duration(change.quantile(0.5, of: duration, "listener", name)),
                Self.duration(change.quantile(0.99, of: duration, "listener", name)),
                Self.bytes(change.rate("ringway_bytes_total", ["listener": name, "direction": "received"])),
                Self.bytes(change.rate("ringway_bytes_total", ["listener": name, "direction": "sent"])),
            ]
        }
    }

    /// The busiest first.
    private var clusters: [[String]] {
        let names = after.values(of: "cluster", in: "ringway_cluster_connections_total").map { name in
            (name: name, rate: change.rate("ringway_cluster_requests_total", ["cluster": name]))
        }
        return names.sorted { ($1.rate, $0.name) < ($0.rate, $1.name) }.prefix(rowsMax).map { name, rate in
            let duration = "ringway_cluster_request_duration_seconds"
            let endpoints = after.sum("ringway_cluster_endpoints", ["cluster": name])
            let healthy = after.sum("ringway_cluster_endpoints", ["cluster": name, "state": "healthy"])
            return [
                name, "\(Int(healthy))/\(Int(endpoints))",
                Self.number(after.sum("ringway_cluster_connections_active", ["cluster": name])), Self.number(rate),
                Self.number(after.sum("ringway_cluster_requests_active", ["cluster": name])),
                Self.number(after.sum("ringway_cluster_pending_requests", ["cluster": name])),
                Self.number(change.rate("ringway_cluster_requests_total", ["cluster": name, "code_class": "5xx"])),
                Self.number(change.rate("ringway_cluster_retries_total", ["cluster": name])),
                Self.duration(change.quantile(0.5, of: duration, "cluster", name)),
                Self.duration(change.quantile(0.99, of: duration, "cluster", name)),
            ]
        }
    }

    /// Those that cost most.
    private var routes: [[String]] {
        let rows = after.series("ringway_route_requests_total").compactMap {
            series -> (labels: [String], cost: Double, rate: Double)? in
            guard let route = series.labels["route"], let listener = series.labels["listener"] else { return nil }
            let cost = change.rate("ringway_route_cpu_seconds_total", ["listener": listener, "route": route])
            let rate = change.rate("ringway_route_requests_total", ["listener": listener, "route": route])
            return rate > 0 || cost > 0 ? ([route, listener], cost, rate) : nil
        }
        return rows.sorted { $0.cost > $1.cost }.prefix(rowsMax).map {
            $0.labels + [Self.number($0.rate), Self.percent($0.cost)]
        }
    }

    /// By how long they took for the requests that the workers remember, on average.
    private var endpoints: [[String]] {
        struct Sum {
            var cluster = ""
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
            var sum = sums[String(endpoint)] ?? Sum()
            sum.cluster = String(value("cluster") ?? "")
            sum.count += 1
            sum.errors += words[1].hasPrefix("5") || words[2] != "-" ? 1 : 0
            sum.seconds += upstream / 1000
            sum.longest = max(sum.longest, upstream / 1000)
            sums[String(endpoint)] = sum
        }
        let rows = sums.sorted { $0.value.seconds / Double($0.value.count) > $1.value.seconds / Double($1.value.count) }
        return rows.prefix(rowsMax).map { endpoint, sum in
            [
                endpoint, sum.cluster, "\(sum.count)", "\(sum.errors)",
                Self.duration(sum.seconds / Double(sum.count)), Self.duration(sum.longest),
            ]
        }
    }

    private var workers: [[String]] {
        after.values(of: "worker", in: "ringway_worker_turns_total").map { worker in
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

    /// Nothing for a table without rows. The first column is on the left, the others on the right.
    private func table(_ head: [String], _ rows: [[String]]) -> [String] {
        guard !rows.isEmpty else { return [] }
        let all = [head] + rows.prefix(max(rowsMax, 1)).map { $0.map(Self.printable) }
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return [""]
            + all.map { row in
                row.indices.map { column in
                    let gap = String(repeating: " ", count: widths[column] - row[column].count)
                    return column == 0 ? row[column] + gap : gap + row[column]
                }.joined(separator: "  ")
            }
    }

    /// A terminal obeys what looks like a command.
    private static func printable(_ text: String) -> String {
        String(text.map { $0.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control } ? $0 : "?" })
    }

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
