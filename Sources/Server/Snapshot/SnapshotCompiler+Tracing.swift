internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// `tracing`, at the top level and of listeners.
extension SnapshotCompiler {
    func tracingPlan(
        _ configuration: TracingConfiguration, _ clusters: [String: Cluster], _ diagnostics: Diagnostics
    ) -> TracingPlan {
        let source = SpanSource(
            serviceName: configuration.serviceName, nodeID: configuration.nodeID ?? MachineName.current)
        let exporters = configuration.exporters.compactMap { exporter -> TracingPlan.Exporter? in
            // A cluster that is not there was reported when references were checked, or has errors of its own.
            let cluster = exporter.backend.collector.flatMap { clusters[$0.cluster.name] }
            guard exporter.backend.collector == nil || cluster != nil else { return nil }
            guard let slot = tracing.slot(of: exporter.name) else {
                diagnostics.report(
                    "exporter \(exporter.name.quotedForMessage) has no place beside those of the running configuration",
                    expected: "fewer exporters that are new", at: exporter.origin.position)
                return nil
            }
            return TracingPlan.Exporter(
                configuration: exporter, slot: slot, cluster: cluster, stats: tracing.stats(of: exporter.name))
        }
        return TracingPlan(source: source, exporters: exporters)
    }

    /// nil without `tracing`, and after an error.
    func httpTracingPlan(
        _ http: HTTPConfiguration, of listener: ListenerConfiguration, _ chain: FilterChainConfiguration,
        _ plan: TracingPlan, _ diagnostics: Diagnostics
    ) -> HTTPTracingPlan? {
        guard let configuration = http.tracing else { return nil }
        let wanted = plan.exporters.filter { exporter in
            configuration.exporters.map { names in names.contains { $0.text == exporter.configuration.name } } ?? true
        }
        do throws(StatsRegistry.Full) {
            let stats = try registry.range(for: .init(.tracing, listener.name), count: TracingStat.cellCount)
            return HTTPTracingPlan(
                configuration, of: listener, http, source: plan.source,
                exporters: wanted.reduce(0) { $0 | 1 << UInt32($1.slot) },
                rings: tracing.rings, stats: stats, diagnostics
            ) { route in
                tracing.rates(
                    of: Self.rateKey(listener, chain, route),
                    ConfiguredSampling(configuration.sampling, of: route?.tracing))
            }
        } catch {
            reportFull(listener.origin, diagnostics)
            return nil
        }
    }

    /// Routes without a name are told apart by where they stand.
    static func rateKey(
        _ listener: ListenerConfiguration, _ chain: FilterChainConfiguration, _ route: RouteConfiguration?
    ) -> TracingHub.RateKey {
        TracingHub.RateKey(
            listener: chain.match.isAny ? listener.name : "\(listener.name)/\(chain.name ?? chain.match.description)",
            route: route.map { $0.name ?? "\($0.origin.position.line):\($0.origin.position.column)" })
    }

    /// The shares that a configuration has, by where they hold.
    static func samplings(of configuration: Configuration) -> [(TracingHub.RateKey, ConfiguredSampling)] {
        let chains = configuration.listeners.flatMap { listener in listener.chains.map { (listener, $0) } }
        return chains.flatMap { listener, chain -> [(TracingHub.RateKey, ConfiguredSampling)] in
            guard case .http(let http) = chain.proxy, let tracing = http.tracing else { return [] }
            let routes = http.hosts.flatMap(\.routes).compactMap { route in
                route.tracing.map {
                    (rateKey(listener, chain, route), ConfiguredSampling(tracing.sampling, of: $0))
                }
            }
            return [(rateKey(listener, chain, nil), ConfiguredSampling(tracing.sampling))] + routes
        }
    }
}
