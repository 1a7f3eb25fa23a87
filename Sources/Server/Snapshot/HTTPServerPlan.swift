internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `http:` of a listener, ready to become a chain of HTTP filters on each worker.
package final class HTTPServerPlan: Sendable {
    let settings: HTTPChainSettings
    private let filters: [HTTPFilterPlan]
    let table: RouteTable
    /// By their number in the route table.
    let clusters: [Cluster]

    init(_ configuration: HTTPConfiguration, table: RouteTable, filters: [HTTPFilterPlan], clusters: [Cluster]) {
        settings = HTTPChainSettings(configuration)
        self.table = table
        self.filters = filters
        self.clusters = clusters
    }

    /// - Parameter pools: of `clusters`, on this worker
    func makeChain(on worker: Worker, pools: [HTTPConnectionPool], counters: StatsScope) -> HTTPChain {
        var random = SystemRandomNumberGenerator()
        let router = RouterFilter(
            table: table, regexes: table.regexes(ofWorker: worker.index), pools: pools, settings: settings,
            seed: random.next())
        return HTTPChain(
            settings: settings, filters: filters.map { $0.makeFilter(worker) }, router: router, counters: counters,
            worker: worker)
    }
}
