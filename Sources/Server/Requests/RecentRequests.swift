internal import Engine
internal import Filters
internal import Glibc
internal import HTTP

/// A request that a worker remembers, with names.
struct RecentRequest {
    let record: RequestRecord
    let worker: Int
    /// Empty where it has none, or what it had is gone from the configuration.
    let listener: String
    let route: String
    let cluster: String
    let endpoint: String
}

/// What the workers remember, read while they go on: `/requests`.
struct RecentRequests: Sendable {
    let recorders: [FlightRecorder]
    let registry: StatsRegistry

    /// The newest first, by when they ended.
    func find(_ filter: RequestFilter) -> [RecentRequest] {
        let names = registry.owners()
        var found: [RecentRequest] = []
        for (worker, recorder) in recorders.enumerated() {
            var left = filter.count
            recorder.read { record in
                guard left > 0, filter.admits(record) else { return }
                let request = Self.named(record, worker: worker, names)
                guard filter.admits(request) else { return }
                left -= 1
                found.append(request)
            }
        }
        found.sort { $0.record.endedNs > $1.record.endedNs }
        return Array(found.prefix(filter.count))
    }

    private static func named(
        _ record: RequestRecord, worker: Int, _ names: [Int: StatsRegistry.Holder]
    ) -> RecentRequest {
        // Cells may have another owner by now.
        func parts(_ cell: Int) -> [Substring] {
            guard cell > 0, let holder = names[cell], holder.sinceNs <= record.endedNs else { return [] }
            return holder.owner.name.split(separator: "\u{0}", maxSplits: 1)
        }
        return RecentRequest(
            record: record, worker: worker, listener: String(parts(record.listenerCell).first ?? ""),
            route: String(parts(record.routeCell).last ?? ""), cluster: String(parts(record.clusterCell).first ?? ""),
            endpoint: String(parts(record.endpointCell).last ?? ""))
    }
}

extension RequestRecord {
    fileprivate var endedNs: UInt64 { startedNs &+ durationNs }
    /// A head that never came, or that was refused, says nothing that could be believed.
    fileprivate var hasHead: Bool { !host.isEmpty || !path.isEmpty }
}

/// How recent requests are shown: a line each, or JSON.
struct RecentRequestsPage {
    let requests: [RecentRequest]
    /// What to add to monotonic time to get nanoseconds since the epoch.
    private let epochOffsetNs: Int64

    init(_ requests: [RecentRequest]) {
        self.requests = requests
        var wall = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &wall)
        epochOffsetNs = Int64(wall.tv_sec) * 1_000_000_000 + Int64(wall.tv_nsec) - Int64(monotonicNowNs())
    }

    /// What happened, when, and how long each part of it took.
    var text: String {
        requests.map { request in
            let (record, facts) = (request.record, request.record.facts)
            var line =
                "\(time(record.startedNs)) \(facts.responseStarted ? "\(facts.status)" : "-") \(facts.flag.label)"
            let target = "\(record.host)\(record.path)\(record.isPathCut ? "…" : "")"
            line += record.hasHead ? " \(facts.method.text) \(target) \(facts.version.text)" : " - - -"
            line += " duration=\(Self.milliseconds(record.durationNs))"
            for phase in Self.phases(of: record) { line += " \(phase.name)=\(Self.milliseconds(phase.ns))" }
            line += " received=\(record.bytesReceived) sent=\(record.bytesSent) listener=\(request.listener)"
            if !request.route.isEmpty { line += " route=\"\(request.route)\"" }
            if !request.cluster.isEmpty { line += " cluster=\(request.cluster)" }
            if !request.endpoint.isEmpty { line += " endpoint=\(request.endpoint)" }
            if facts.tries > 0 { line += " tries=\(facts.tries)" }
            if !record.details.isEmpty { line += " details=\(record.details)" }
            if let failure = facts.failure { line += " failure=\(failure.label)" }
            if !record.id.isEmpty { line += " id=\(record.id)" }
            if !record.trace.isEmpty { line += " trace=\(record.trace)" }
            return Self.printable(line) + " worker=\(request.worker)\n"
        }.joined()
    }

    var json: JSON {
        .object([("requests", .array(requests.map(json)))])
    }

    private func json(_ request: RecentRequest) -> JSON {
        let (record, facts) = (request.record, request.record.facts)
        func optional(_ text: String) -> JSON { text.isEmpty ? .null : .string(text) }
        return .object([
            ("started", .string(time(record.startedNs))),
            ("status", facts.responseStarted ? .number(UInt64(facts.status)) : .null),
            ("flag", facts.flag == .none ? .null : .string(facts.flag.label.description)),
            ("details", optional(record.details)),
            ("method", record.hasHead ? .string(facts.method.text.description) : .null),
            ("host", optional(record.host)),
            ("path", optional(record.path)),
            ("protocol", record.hasHead ? .string(facts.version.text.description) : .null),
            ("duration_ms", Self.number(record.durationNs)),
            ("phases_ms", .object(Self.phases(of: record).map { ($0.name, Self.number($0.ns)) })),
            ("bytes_received", .number(record.bytesReceived)),
            ("bytes_sent", .number(record.bytesSent)),
            ("listener", optional(request.listener)),
            ("route", optional(request.route)),
            ("cluster", optional(request.cluster)),
            ("endpoint", optional(request.endpoint)),
            ("tries", .number(UInt64(facts.tries))),
            ("failure", facts.failure.map { .string($0.label) } ?? .null),
            ("is_local", .bool(facts.isLocal)),
            ("is_tunnel", .bool(facts.isTunnel)),
            ("id", optional(record.id)),
            ("trace_id", optional(record.trace)),
            ("worker", .number(UInt64(request.worker))),
        ])
    }

    /// One after the other, from the first byte of the request to the last of the response: receiving it; filters,
    /// waiting for a connection and tries that failed; the endpoint, to its response's head; the rest of the response.
    /// What follows something that did not happen is part of what came before.
    private static func phases(of record: RequestRecord) -> [(name: String, ns: UInt64)] {
        var phases: [(name: String, ns: UInt64)] = []
        var beforeNs: UInt64 = 0
        var name = "receive"
        let steps: [(atNs: UInt64?, next: String)] = [
            (record.requestEndedNs, "wait"), (record.lastTryNs, "upstream"), (record.upstreamHeadNs, "respond"),
        ]
        for step in steps {
            guard let atNs = step.atNs else { continue }
            // A request may reach its endpoint before all of it has come.
            let endNs = max(atNs, beforeNs)
            phases.append((name, endNs - beforeNs))
            beforeNs = endNs
            name = step.next
        }
        phases.append((name, record.durationNs >= beforeNs ? record.durationNs - beforeNs : 0))
        return phases
    }

    private static func milliseconds(_ ns: UInt64) -> String { "\(Double(ns / 1000) / 1000)ms" }

    private static func number(_ ns: UInt64) -> JSON { .literal("\(Double(ns / 1000) / 1000)") }

    /// Clients choose paths and ids: what a terminal might obey is left out.
    private static func printable(_ line: String) -> String {
        String(
            String.UnicodeScalarView(line.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }

    private func time(_ monotonicNs: UInt64) -> String {
        let ns = Int64(monotonicNs) + epochOffsetNs
        var seconds = time_t(ns / 1_000_000_000)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        func padded(_ number: some BinaryInteger, _ count: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(count - digits.count, 0)) + digits
        }
        let date = unsafe "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let clock = unsafe "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(clock).\(padded(ns / 1_000_000 % 1000, 3))Z"
    }
}
