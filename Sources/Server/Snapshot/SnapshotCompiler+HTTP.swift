internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `http:` of a listener.
extension SnapshotCompiler {
    func httpPlan(
        _ http: HTTPConfiguration, of listener: ListenerConfiguration, _ clusters: [String: Cluster],
        _ diagnostics: Diagnostics
    ) -> HTTPServerPlan? {
        let plans = http.filters.compactMap { filter -> HTTPFilterPlan? in
            if let registration = httpFilters[filter.name] { return registration.prepare(filter.config, diagnostics) }
            diagnostics.report(
                "unknown HTTP filter \(filter.name.quotedForMessage)",
                expected: "one of \(httpFilters.keys.sorted().joined(separator: ", "))",
                suggestion: diagnostics.suggestion(for: filter.name, among: httpFilters.keys.sorted()),
                at: filter.origin.position)
            return nil
        }
        // With errors routes are understood in part, and that part may be none to make a table of.
        let table =
            diagnostics.hasErrors
            ? nil : RouteTable(http, clusterNames: clusters.keys.sorted(), workers: registry.blocks.count)
        let routeClusters = table?.clusterNames ?? []
        // A cluster that is not there was reported when references were checked, or has errors of its own.
        var found = routeClusters.compactMap { clusters[$0] }
        let hasRouteClusters = found.count == routeClusters.count
        let filters = plans.compactMap { plan -> HTTPServerPlan.Filter? in
            guard let numbers = numbers(of: plan.clusters, in: &found, clusters, diagnostics) else { return nil }
            return .init(plan: plan, stats: stats(of: plan, in: listener, diagnostics), clusters: numbers)
        }
        let logs = self.plans(of: http.accessLogs, exchanges: true, diagnostics)
        guard let table, filters.count == http.filters.count, hasRouteClusters, let logs else { return nil }
        return HTTPServerPlan(http, table: table, filters: filters, clusters: found, accessLogs: logs)
    }

    /// Where the clusters that a filter names stand in `found`, which gets those that are not in it. nil after an
    /// error.
    private func numbers(
        of references: [ClusterReference], in found: inout [Cluster], _ clusters: [String: Cluster],
        _ diagnostics: Diagnostics
    ) -> [Int]? {
        var numbers: [Int] = []
        for reference in references {
            guard let cluster = clusters[reference.name] else {
                let names = clusters.keys.sorted()
                diagnostics.report(
                    "unknown cluster \(reference.name.quotedForMessage)",
                    expected: names.isEmpty ? "a cluster, but there are none" : "the name of a cluster",
                    suggestion: diagnostics.suggestion(for: reference.name, among: names),
                    at: reference.origin.position)
                return nil
            }
            if let number = found.firstIndex(where: { $0 === cluster }) {
                numbers.append(number)
            } else {
                numbers.append(found.count)
                found.append(cluster)
            }
        }
        return numbers
    }

    static func owner(ofFilter filter: String, in listener: String) -> StatsRegistry.Owner {
        .init(.filter, "\(listener)\u{0}\(filter)")
    }

    /// The cells that a filter counts in, the same for all filters of one name in a listener; nil when it counts
    /// nothing, and after an error.
    private func stats(
        of filter: HTTPFilterPlan, in listener: ListenerConfiguration, _ diagnostics: Diagnostics
    ) -> StatsRegistry.Range? {
        guard !filter.events.isEmpty else { return nil }
        do throws(StatsRegistry.Full) {
            return try registry.range(
                for: Self.owner(ofFilter: filter.name, in: listener.name),
                count: HTTPFilterCounters.cellCount(events: filter.events.count))
        } catch {
            reportFull(listener.origin, diagnostics)
            return nil
        }
    }
}
