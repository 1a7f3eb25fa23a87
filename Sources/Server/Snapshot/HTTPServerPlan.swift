internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `http:` of a listener, ready to become a chain of HTTP filters on each worker.
package final class HTTPServerPlan: Sendable {
    let settings: HTTPChainSettings
    private let filters: [HTTPFilterPlan]
    let table: RouteTable
    private let accessLogs: [AccessLogPlan]
    /// By their number in the route table.
    let clusters: [Cluster]

    init(
        _ configuration: HTTPConfiguration, table: RouteTable, filters: [HTTPFilterPlan], clusters: [Cluster],
        accessLogs: [AccessLogPlan]
    ) {
        settings = HTTPChainSettings(configuration)
        self.table = table
        self.filters = filters
        self.clusters = clusters
        self.accessLogs = accessLogs
    }

    /// - Parameter pools: of `clusters`, on this worker
    func makeChain(
        on worker: Worker, pools: [HTTPConnectionPool], counters: StatsScope, registry: StatsRegistry
    ) -> HTTPChain {
        let logs = accessLogs.map { registry.scope($0.target.stats, worker: worker.index) }
        var random = SystemRandomNumberGenerator()
        let router = RouterFilter(
            table: table, regexes: table.regexes(ofWorker: worker.index), pools: pools, settings: settings,
            seed: random.next())
        return HTTPChain(
            settings: settings, filters: filters.map { $0.makeFilter(worker) }, router: router, counters: counters,
            worker: worker,
            accessLogs: accessLogs.isEmpty ? nil : HTTPAccessLogs(accessLogs, on: worker, counters: logs))
    }
}
