internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

extension Operation {
    /// Whole requests through a worker: all that the proxy does for one between the kernel's answers and its calls.
    static var requests: [Operation] {
        [
            Operation("request-get-1KiB") { ask(filters: 0, routes: 1) },
            Operation("request-get-1KiB-5-filters") { ask(filters: 5, routes: 1) },
            Operation("request-get-1KiB-100-routes") { ask(filters: 0, routes: 100) },
        ]
    }

    private static func ask(filters: Int, routes: Int) -> (Int) -> Void {
        let path = "/routes/\(routes / 2)/1024"
        let request = "GET \(path) HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: micro\r\nAccept: */*\r\n\r\n"
        let body = [UInt8](repeating: 0x78, count: 1024)
        let head = Messages.response.withSpan { span in
            (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
        let backend = MemoryBackend(request: Array(request.utf8), response: head + body)
        let worker = proxy(on: backend, filters: filters, routes: routes)
        backend.connectClient()
        worker.turn()
        return { times in
            for _ in 0..<times {
                let before = backend.responseBytes
                backend.sendRequest()
                while backend.responseBytes - before < body.count { worker.turn() }
            }
            // The last turn of a request is the first of the next one; this one has none.
            worker.turn()
        }
    }

    /// A worker with one listener that forwards to one endpoint.
    private static func proxy(on backend: MemoryBackend, filters: Int, routes: Int) -> Worker {
        let configuration = HTTPConfiguration(forwarding: (0..<routes - 1).map { .prefix("/routes/\($0)/") })
        let stats = StatsBlock()
        let registry = StatsRegistry(blocks: [stats])
        do {
            let worker = try Worker(index: 0, backend: backend, stats: stats, limits: WorkerLimits())
            try worker.start()
            let endpoint = Endpoint(
                address: NetworkAddress(ipv4Bits: 0x7F00_0001, port: 1), name: "e", weight: 1,
                stats: try registry.range(for: .init(.endpoint, "e"), count: EndpointStat.cellCount))
            let cluster = Cluster(
                name: "c", endpoints: [endpoint], policy: .roundRobin, connectTimeoutNs: 5_000_000_000,
                connectionsMax: nil, stats: try registry.range(for: .init(.cluster, "c"), count: ClusterStat.cellCount))
            let pool = HTTP1ConnectionPool(
                cluster: WorkerCluster(cluster, registry: registry, worker: 0, seed: 1),
                settings: HTTPConnectionPool.Settings(
                    limits: HTTP1Limits(), idleTimeoutNs: 60_000_000_000, requestsPerConnectionMax: nil,
                    pendingMax: 1024, requestsMax: nil, retriesMax: 3),
                worker: worker)
            let settings = HTTPChainSettings(configuration)
            let table = RouteTable(configuration)
            let counters = registry.scope(
                try registry.range(for: .init(.listener, "l"), count: HTTPStat.cellCount), worker: 0)
            let router = RouterFilter(
                table: table, regexes: table.regexes(ofWorker: 0), pools: [pool], settings: settings, seed: 1)
            let chain = HTTPChain(
                settings: settings, filters: (0..<filters).map { _ in PassingFilter() },
                router: router, counters: counters, worker: worker)
            _ = worker.addListener(
                socket: MemoryBackend.listener, isShared: false, counters: counters, limit: nil,
                chain: NetworkFilterChain([HTTPConnectionManagerFactory(chain: chain)]))
            return worker
        } catch {
            preconditionFailure("\(error)")
        }
    }
}

/// A filter that has every hook and does nothing in it.
private final class PassingFilter: HTTPFilter {
    override func onRequestHeaders(_ stream: HTTPStream) -> Status { .proceed }
    override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status { .proceed }
    override func onStreamEnd(_ stream: HTTPStream) {}
}
