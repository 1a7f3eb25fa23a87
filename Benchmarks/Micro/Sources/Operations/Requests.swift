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
            Operation("request-get-1KiB-without-id") { ask(observed: Observation(id: false)) },
            Operation("request-get-1KiB-logged") { ask(observed: Observation(log: true)) },
            Operation("request-get-1KiB-recorded") { ask(observed: Observation(recorder: true)) },
            Operation("request-get-1KiB-not-sampled") { ask(observed: Observation(sampling: .zero)) },
            Operation("request-get-1KiB-traced") { ask(observed: Observation(sampling: .all)) },
        ]
    }

    /// What is written down of each request.
    private struct Observation {
        var id = true
        /// nil without tracing.
        var sampling: Percent?
        var recorder = false
        /// An access log in JSON.
        var log = false
    }

    private static func ask(
        filters: Int = 0, routes: Int = 1, observed: Observation = Observation()
    ) -> (Int) -> Void {
        let path = "/routes/\(routes / 2)/1024"
        let request = "GET \(path) HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: micro\r\nAccept: */*\r\n\r\n"
        let body = [UInt8](repeating: 0x78, count: 1024)
        let head = Messages.response.withSpan { span in
            (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
        let backend = MemoryBackend(request: Array(request.utf8), response: head + body)
        let spans = SpanRings(workers: 1)
        let (worker, log) = proxy(on: backend, filters: filters, routes: routes, observed: observed, spans)
        backend.connectClient()
        worker.turn()
        return { times in
            for _ in 0..<times {
                let before = backend.responseBytes
                backend.sendRequest()
                while backend.responseBytes - before < body.count { worker.turn() }
                // What other threads do, as far as the rings need it.
                for ring in [spans.rings[0], log.rings[0]] { unsafe ring.consume(ring.withReadable(\.count)) }
            }
            // The last turn of a request is the first of the next one; this one has none.
            worker.turn()
        }
    }

    /// A worker with one listener that forwards to one endpoint.
    private static func proxy(
        on backend: MemoryBackend, filters: Int, routes: Int, observed: Observation, _ spans: SpanRings
    ) -> (Worker, AccessLogTarget) {
        var configuration = HTTPConfiguration(forwarding: (0..<routes - 1).map { .prefix("/routes/\($0)/") })
        configuration.requestID.isGenerated = observed.id
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
            let log = AccessLogTarget(
                path: "log", workers: 1,
                stats: try registry.range(for: .init(.accessLog, "log"), count: AccessLogStat.cellCount),
                doorbell: Doorbell())
            let chain = HTTPChain(
                settings: settings, filters: (0..<filters).map { _ in PassingFilter() },
                router: router, counters: counters, worker: worker,
                accessLogs: observed.log ? accessLogs(to: log, on: worker, registry) : nil,
                tracing: try observed.sampling.map {
                    try tracing(sampling: $0, configuration, spans, registry).makeTracing(on: worker, registry)
                },
                recorder: observed.recorder ? FlightRecorder(capacity: 4096) : nil)
            _ = worker.addListener(
                socket: MemoryBackend.listener, isShared: false, counters: counters, limit: nil,
                chain: NetworkFilterChain([HTTPConnectionManagerFactory(chain: chain)]))
            return (worker, log)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}

extension Operation {
    /// With one exporter, which takes everything.
    private static func tracing(
        sampling: Percent, _ http: HTTPConfiguration, _ spans: SpanRings, _ registry: StatsRegistry
    ) throws -> HTTPTracingPlan {
        let diagnostics = Diagnostics(file: "micro.yaml")
        let plan = HTTPTracingPlan(
            HTTPTracingConfiguration(sampling: TraceSampling(random: sampling)),
            of: ListenerConfiguration(name: "l", address: .ip(.v4(0x7F00_0001), port: 1)), http,
            source: SpanSource(serviceName: "micro", nodeID: "node"), exporters: 1, rings: spans,
            stats: try registry.range(for: .init(.tracing, "l"), count: TracingStat.cellCount), diagnostics
        ) { _ in TraceRates(TraceSampling(random: sampling)) }
        guard let plan else { preconditionFailure("\(diagnostics)") }
        return plan
    }
}

extension Operation {
    private static func accessLogs(
        to target: AccessLogTarget, on worker: Worker, _ registry: StatsRegistry
    ) -> HTTPAccessLogs {
        let diagnostics = Diagnostics(file: "micro.yaml")
        let configuration = AccessLogConfiguration(path: target.path, format: .json)
        let plan = AccessLogPlan(configuration, exchanges: true, target: target, diagnostics)
        guard let plan else { preconditionFailure("\(diagnostics)") }
        return HTTPAccessLogs([plan], on: worker, counters: [registry.scope(target.stats, worker: 0)])
    }
}

extension HTTPTracingPlan {
    fileprivate func makeTracing(on worker: Worker, _ registry: StatsRegistry) -> HTTPTracing {
        makeTracing(on: worker, counters: registry.scope(stats, worker: 0))
    }
}

/// A filter that has every hook and does nothing in it.
private final class PassingFilter: HTTPFilter {
    override func onRequestHeaders(_ stream: HTTPStream) -> Status { .proceed }
    override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status { .proceed }
    override func onStreamEnd(_ stream: HTTPStream) {}
}
