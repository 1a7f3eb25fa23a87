internal import Config
internal import Filters
internal import HTTP
internal import Upstream

/// `/tracing`: GET shows the shares that are in force and the exporters, POST changes shares until the next change:
/// `?listener=edge&sampling=5%25`, of one route with `&route=NAME`, and back to the configured with `&reset`.
struct TracingPage {
    let snapshot: Snapshot
    let hub: TracingHub

    func show() -> LocalResponse {
        let listeners = SnapshotCompiler.samplings(of: snapshot.configuration).map { key, configured -> JSON in
            let sampling = hub.rates(of: key, configured).current
            return .object([
                ("listener", .string(key.listener)), ("route", key.route.map { .string($0) } ?? .null),
                ("sampling", .string("\(sampling.random)")), ("client_sampling", .string("\(sampling.client)")),
                ("overall_sampling", .string("\(sampling.overall)")),
                ("changed", .bool(sampling != configured.sampling)),
            ])
        }
        let exporters = snapshot.tracing.exporters.map { exporter -> JSON in
            .object([
                ("name", .string(exporter.configuration.name)),
                ("cluster", exporter.cluster.map { .string($0.name) } ?? .null),
                ("spans_exported", .number(exporter.stats.exported)),
                ("spans_waiting", .number(exporter.stats.waiting)),
                (
                    "spans_dropped",
                    .number(SpanExporterStats.Drop.allCases.reduce(0) { $0 + exporter.stats.dropped($1) })
                ),
            ])
        }
        return .json(.object([("sampling", .array(listeners)), ("exporters", .array(exporters))]))
    }

    private static var shares: [(name: String, path: WritableKeyPath<TraceSamplingChange, Percent?>)] {
        [("sampling", \.random), ("client_sampling", \.client), ("overall_sampling", \.overall)]
    }

    func change(_ query: [String: String]) -> LocalResponse {
        // Whoever misspells a brake should not drive on.
        let known = Set(["listener", "route", "reset"] + Self.shares.map(\.name))
        if let unknown = query.keys.filter({ !known.contains($0) }).min() {
            return LocalResponse(.badRequest, text: "unknown parameter \(unknown)\n")
        }
        guard let listener = query["listener"] else {
            return LocalResponse(.badRequest, text: "listener= is missing\n")
        }
        let key = TracingHub.RateKey(listener: listener, route: query["route"])
        guard SnapshotCompiler.samplings(of: snapshot.configuration).contains(where: { $0.0 == key }) else {
            let what = key.route.map { "no route \($0) of \(listener)" } ?? "no listener \(listener)"
            return LocalResponse(.notFound, text: "\(what) has `tracing` of its own\n")
        }
        if query["reset"] != nil {
            hub.change(key, nil)
            return show()
        }
        var change = TraceSamplingChange()
        var isEmpty = true
        for (name, path) in Self.shares {
            guard let text = query[name] else { continue }
            do throws(ConfigProblem) {
                change[keyPath: path] = try Percent(parsing: text)
                isEmpty = false
            } catch {
                return LocalResponse(.badRequest, text: "\(name) is a share such as 1% or 0.5%, not \(text)\n")
            }
        }
        guard !isEmpty else {
            return LocalResponse(.badRequest, text: "one of sampling=, client_sampling=, overall_sampling=, reset\n")
        }
        hub.change(key, change)
        return show()
    }
}
