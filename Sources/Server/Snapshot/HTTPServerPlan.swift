internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `http:` of a listener, ready to become a chain of HTTP filters on each worker.
package final class HTTPServerPlan: Sendable {
    /// A filter, and what it has beside its settings.
    struct Filter: Sendable {
        let plan: HTTPFilterPlan
        /// Where it counts; nil when it counts nothing.
        let stats: StatsRegistry.Range?
        /// Those that it names, by their number in `HTTPServerPlan.clusters`.
        let clusters: [Int]
    }

    /// What a route has in place of filters of the listener, by their place.
    struct RouteFilters: Sendable {
        /// Its number in the route table.
        let route: Int
        let filters: [Int: Filter]
    }

    let settings: HTTPChainSettings
    let filters: [Filter]
    private let routeFilters: [RouteFilters]
    let table: RouteTable
    private let accessLogs: [AccessLogPlan]
    /// Where routes count, by their number in the table.
    let routes: [RouteCells]
    /// nil without.
    let tracing: HTTPTracingPlan?
    /// First those of the routes, by their number in the route table, then those that filters name.
    let clusters: [Cluster]

    init(
        _ configuration: HTTPConfiguration, table: RouteTable, filters: [Filter], routeFilters: [RouteFilters],
        clusters: [Cluster], accessLogs: [AccessLogPlan], tracing: HTTPTracingPlan?, routes: [RouteCells]
    ) {
        settings = HTTPChainSettings(configuration)
        self.table = table
        self.filters = filters
        self.routeFilters = routeFilters
        self.clusters = clusters
        self.accessLogs = accessLogs
        self.routes = routes
        self.tracing = tracing
    }

    /// - Parameter pools: of `clusters`, on this worker
    func makeChain(
        on worker: Worker, pools: [HTTPConnectionPool], counters: StatsScope, registry: StatsRegistry,
        serving: ServingState, recorder: FlightRecorder?
    ) -> HTTPChain {
        let logs = accessLogs.map { registry.scope($0.target.stats, worker: worker.index) }
        var random = SystemRandomNumberGenerator()
        let router = RouterFilter(
            table: table, regexes: table.regexes(ofWorker: worker.index),
            pools: Array(pools[0..<table.clusterNames.count]), settings: settings,
            routeCells: routes.map { UInt32($0.stats.base) }, seed: random.next())
        let make = { (filter: Filter) -> HTTPFilter in
            let made = filter.plan.makeFilter(worker)
            made.attach(
                clusters: filter.clusters.map { pools[$0] },
                counters: filter.stats.map {
                    HTTPFilterCounters(
                        scope: registry.scope($0, worker: worker.index), eventCount: filter.plan.events.count)
                }, serving: serving)
            return made
        }
        return HTTPChain(
            settings: settings, filters: filters.map(make),
            routeFilters: routeFilters.map { (route: $0.route, filters: $0.filters.mapValues(make)) }, router: router,
            counters: counters, worker: worker,
            accessLogs: accessLogs.isEmpty ? nil : HTTPAccessLogs(accessLogs, on: worker, counters: logs),
            tracing: tracing.map {
                $0.makeTracing(on: worker, counters: registry.scope($0.stats, worker: worker.index))
            }, recorder: recorder)
    }

    /// The same clusters are behind it, and its filters have the same settings where the configuration is the same.
    func isEquivalent(to other: HTTPServerPlan) -> Bool {
        // A header that names the cluster may name one that is new.
        clusters.elementsEqual(other.clusters, by: ===) && hasSameTracing(as: other)
            && filters.elementsEqual(other.filters) { $0.plan.fingerprint == $1.plan.fingerprint }
            && routeFilters.elementsEqual(other.routeFilters) {
                $0.filters.mapValues(\.plan.fingerprint) == $1.filters.mapValues(\.plan.fingerprint)
            }
    }

    private func hasSameTracing(as other: HTTPServerPlan) -> Bool {
        guard let tracing, let theirs = other.tracing else { return tracing == nil && other.tracing == nil }
        return tracing.isEquivalent(to: theirs)
    }
}
