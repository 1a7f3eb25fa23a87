internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `http:` of a listener.
extension SnapshotCompiler {
    func httpPlan(
        _ http: HTTPConfiguration, of listener: ListenerConfiguration, _ chain: FilterChainConfiguration,
        _ clusters: [String: Cluster], _ tracingPlan: TracingPlan, _ diagnostics: Diagnostics
    ) -> HTTPServerPlan? {
        let plans = http.filters.compactMap { plan(of: $0, diagnostics) }
        // With errors routes are understood in part, and that part may be none to make a table of.
        let table =
            diagnostics.hasErrors
            ? nil : RouteTable(http, clusterNames: clusters.keys.sorted(), workers: registry.blocks.count)
        let routeClusters = table?.clusterNames ?? []
        // A cluster that is not there was reported when references were checked, or has errors of its own.
        var found = routeClusters.compactMap { clusters[$0] }
        let hasRouteClusters = found.count == routeClusters.count
        let makeFilter = { (plan: HTTPFilterPlan) -> HTTPServerPlan.Filter? in
            guard let numbers = numbers(of: plan.clusters, in: &found, clusters, diagnostics) else { return nil }
            return .init(plan: plan, stats: stats(of: plan, in: listener, diagnostics), clusters: numbers)
        }
        let filters = plans.compactMap(makeFilter)
        let routeFilters = routeFilters(of: http, diagnostics, makeFilter)
        let logs = self.plans(of: http.accessLogs, exchanges: true, diagnostics)
        let routes = routeStats(of: http, in: listener, diagnostics)
        let tracing = httpTracingPlan(http, of: listener, chain, tracingPlan, diagnostics)
        guard let table, let routes, (tracing == nil) == (http.tracing == nil), filters.count == http.filters.count,
            hasRouteClusters, let logs, let routeFilters
        else {
            return nil
        }
        return HTTPServerPlan(
            http, table: table, filters: filters, routeFilters: routeFilters, clusters: found, accessLogs: logs,
            tracing: tracing, routes: routes)
    }

    private func plan(of filter: HTTPFilterConfiguration, _ diagnostics: Diagnostics) -> HTTPFilterPlan? {
        guard let registration = httpFilters[filter.name] else {
            diagnostics.report(
                "unknown HTTP filter \(filter.name.quotedForMessage)",
                expected: "one of \(httpFilters.keys.sorted().joined(separator: ", "))",
                suggestion: diagnostics.suggestion(for: filter.name, among: httpFilters.keys.sorted()),
                at: filter.origin.position)
            return nil
        }
        return filter.isOff ? .off(filter.name) : registration.prepare(filter.config, diagnostics)
    }

    /// The filters that routes have in place of the listener's, by the number of the route. nil after an error.
    private func routeFilters(
        of http: HTTPConfiguration, _ diagnostics: Diagnostics,
        _ makeFilter: (HTTPFilterPlan) -> HTTPServerPlan.Filter?
    ) -> [HTTPServerPlan.RouteFilters]? {
        let names = http.filters.map(\.name)
        var result: [HTTPServerPlan.RouteFilters] = []
        var isComplete = true
        // Numbered as in the route table: in the order of the file.
        for (number, route) in http.hosts.lazy.flatMap(\.routes).enumerated() {
            var filters: [Int: HTTPServerPlan.Filter] = [:]
            for configuration in route.filters {
                let places = names.indices.filter { names[$0] == configuration.name }
                if places.isEmpty, httpFilters[configuration.name] != nil {
                    diagnostics.report(
                        "\(configuration.name.quotedForMessage) is not among the `filters` of the listener",
                        expected: "a filter that has its place there, as `\(configuration.name): off` where it is only "
                            + "for some routes", at: configuration.origin.position)
                    isComplete = false
                    continue
                }
                guard let filter = plan(of: configuration, diagnostics).flatMap(makeFilter) else {
                    isComplete = false
                    continue
                }
                for place in places { filters[place] = filter }
            }
            if !filters.isEmpty { result.append(.init(route: number, filters: filters)) }
        }
        return isComplete ? result : nil
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
