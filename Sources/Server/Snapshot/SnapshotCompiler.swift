package import Config
package import Engine
internal import Filters
internal import Upstream

/// Turns a configuration into a snapshot. What did not change keeps its identity: a cluster whose
/// configuration is the same is the same object, so workers keep its balancer, and every owner keeps its
/// stats by name.
package struct SnapshotCompiler {
    let registry: StatsRegistry
    private let filters: [String: NetworkFilterRegistration]
    let httpFilters: [String: HTTPFilterRegistration]
    private let accessLogs: AccessLogFiles
    let tracing: TracingHub
    private var tls = TLSCompiler()

    package init(registry: StatsRegistry, extensions: Extensions, accessLogs: AccessLogFiles) {
        self.registry = registry
        self.accessLogs = accessLogs
        tracing = TracingHub(workers: registry.blocks.count)
        filters = Dictionary(extensions.networkFilters.map { ($0.name, $0) }) { $1 }
        httpFilters = Dictionary(extensions.httpFilters.map { ($0.name, $0) }) { $1 }
    }

    /// Writes no file: for checks.
    package var writesNothing: SnapshotCompiler {
        var compiler = self
        compiler.tls.opensKeyLogs = false
        return compiler
    }

    /// Makes another key the one that session tickets are sealed with.
    func rotateTicketKeys() { tls.rotateTicketKeys() }

    /// Everything that is wrong goes to `diagnostics`; nil then.
    ///
    /// - Parameter isSameGeneration: the configuration is that of `previous`; only files that it points to changed.
    package func compile(
        _ configuration: Configuration, source: String, previous: Snapshot?, isSameGeneration: Bool = false,
        diagnostics: Diagnostics
    ) -> Snapshot? {
        let errorsBefore = diagnostics.reportCount
        var clusters: [String: Cluster] = [:]
        var clusterTLS: [String: ClusterTLS] = [:]
        for cluster in configuration.clusters {
            clusterTLS[cluster.name] = compileTLS(of: cluster, previous: previous, diagnostics)
            clusters[cluster.name] = compile(cluster, clusterTLS[cluster.name], previous: previous, diagnostics)
        }
        let tracingPlan = tracingPlan(configuration.tracing, clusters, diagnostics)
        let listeners = configuration.listeners.compactMap {
            compile($0, clusters, tracingPlan, previous: previous, diagnostics)
        }
        guard diagnostics.reportCount == errorsBefore, !diagnostics.hasErrors else {
            // What was opened for this configuration alone.
            accessLogs.retain(only: previous?.accessLogs ?? [])
            return nil
        }
        return Snapshot(
            generation: (previous?.generation ?? 0) + (isSameGeneration ? 0 : 1), configuration: configuration,
            source: source, file: diagnostics.file, clusters: clusters, clusterTLS: clusterTLS, listeners: listeners,
            tracing: tracingPlan, accessLogs: Set(configuration.listeners.flatMap(\.accessLogs).map(\.path)))
    }

    /// Ends the series of listeners, clusters and endpoints that `snapshot` no longer has.
    package func retire(allBut snapshot: Snapshot) {
        var owners: Set<StatsRegistry.Owner> = []
        for listener in snapshot.listeners {
            let name = listener.configuration.name
            owners.insert(.init(.listener, name))
            for chain in listener.chains {
                guard case .http(let http) = chain.terminal else { continue }
                if http.tracing != nil { owners.insert(.init(.tracing, name)) }
                for filter in http.filters { owners.insert(Self.owner(ofFilter: filter.plan.name, in: name)) }
                for route in http.routes { owners.insert(Self.owner(ofRoute: route.label, in: name)) }
            }
        }
        owners.insert(AdminListener.owner)
        for cluster in snapshot.clusters.values {
            owners.insert(.init(.cluster, cluster.name))
            for endpoint in cluster.endpoints { owners.insert(Self.owner(of: endpoint.name, in: cluster.name)) }
        }
        accessLogs.retain(only: snapshot.accessLogs)
        for file in accessLogs.files { owners.insert(.init(.accessLog, file.target.path)) }
        tracing.retain(
            exporters: Set(snapshot.tracing.exporters.map(\.configuration.name)),
            rates: Self.samplings(of: snapshot.configuration))
        registry.retain(only: owners)
    }

    // MARK: Clusters

    private func compile(
        _ configuration: ClusterConfiguration, _ tls: ClusterTLS?, previous: Snapshot?, _ diagnostics: Diagnostics
    ) -> Cluster? {
        if let old = previous?.configuration.clusters.first(where: { $0.name == configuration.name }),
            old == configuration, let cluster = previous?.clusters[configuration.name], cluster.tls === tls?.context
        {
            return cluster
        }
        do throws(StatsRegistry.Full) {
            let endpoints = try compile(configuration.endpoints, of: configuration.name)
            return Cluster(
                name: configuration.name, endpoints: endpoints, policy: configuration.loadBalancing,
                connectTimeoutNs: configuration.connectTimeout.nanoseconds,
                connectionsMax: configuration.pool.maxConnections.map(UInt64.init), pool: configuration.pool,
                upstreamProtocol: configuration.upstreamProtocol, http2: configuration.http2, tls: tls?.context,
                keepAlive: configuration.tcpKeepAlive.map(TCPKeepAlive.init),
                healthCheck: configuration.healthCheck.map { HealthCheck($0, cluster: configuration.name) },
                outlierDetection: configuration.outlierDetection.map(OutlierDetection.init),
                panicThreshold: configuration.panicThreshold, replacing: previous?.clusters[configuration.name],
                stats: try registry.range(for: .init(.cluster, configuration.name), count: ClusterStat.cellCount))
        } catch {
            reportFull(configuration.origin, diagnostics)
            return nil
        }
    }

    /// What is loaded already, as long as neither the configuration nor a file has changed.
    private func compileTLS(
        of configuration: ClusterConfiguration, previous: Snapshot?, _ diagnostics: Diagnostics
    ) -> ClusterTLS? {
        guard let wanted = configuration.tls else { return nil }
        if let loaded = previous?.clusterTLS[configuration.name], loaded.files.areUnchanged,
            let old = previous?.configuration.clusters.first(where: { $0.name == configuration.name }),
            old.tls == wanted, old.upstreamProtocol == configuration.upstreamProtocol
        {
            return loaded
        }
        let isNamed = wanted.serverName != nil || !wanted.subjectNames.isEmpty || !wanted.verifies
        for endpoint in configuration.endpoints where !isNamed {
            guard case .unix = endpoint.address else { continue }
            diagnostics.report(
                "endpoint \(endpoint.address) has no name that its certificate could be checked for",
                expected: "\"sni\" or \"verify_san\" in \"tls\"", at: endpoint.origin.position)
            return nil
        }
        return tls.compile(wanted, for: configuration.upstreamProtocol, diagnostics)
    }

    private func compile(
        _ endpoints: [EndpointConfiguration], of cluster: String
    ) throws(StatsRegistry.Full) -> [Endpoint] {
        var compiled: [Endpoint] = []
        compiled.reserveCapacity(endpoints.count)
        for endpoint in endpoints {
            let name = endpoint.address.description
            let stats = try registry.range(for: Self.owner(of: name, in: cluster), count: EndpointStat.cellCount)
            compiled.append(
                Endpoint(
                    address: NetworkAddress(endpoint.address), name: name, weight: UInt32(endpoint.weight), stats: stats
                ))
        }
        return compiled
    }

    private static func owner(of endpoint: String, in cluster: String) -> StatsRegistry.Owner {
        .init(.endpoint, "\(cluster)\u{0}\(endpoint)")
    }

    // MARK: Listeners

    private func compileTLS(
        of configuration: FilterChainConfiguration, in listener: ListenerConfiguration, previous: Snapshot?,
        _ diagnostics: Diagnostics
    ) -> ListenerTLS? {
        guard let wanted = configuration.tls else { return nil }
        let old = previous?.listeners.first { $0.configuration.name == listener.name }?.chains
            .first { $0.configuration.match == configuration.match }
        let protocols = configuration.proxy?.httpProtocols
        if let old, let loaded = old.tls, loaded.files.areUnchanged, old.configuration.tls == wanted,
            old.configuration.proxy?.httpProtocols == protocols
        {
            return loaded
        }
        let owner = configuration.match.isAny ? listener.name : "\(listener.name)\u{0}\(configuration.match)"
        return tls.compile(wanted, of: owner, speaking: protocols, diagnostics)
    }

    private func compile(
        _ configuration: ListenerConfiguration, _ clusters: [String: Cluster], _ tracing: TracingPlan,
        previous: Snapshot?, _ diagnostics: Diagnostics
    ) -> ListenerPlan? {
        let wanted = configuration.chains
        let chains = wanted.compactMap {
            chain($0, of: configuration, clusters, tracing, previous: previous, diagnostics)
        }
        guard chains.count == wanted.count else { return nil }
        do throws(StatsRegistry.Full) {
            let stats = try registry.range(for: .init(.listener, configuration.name), count: HTTPStat.cellCount)
            return ListenerPlan(
                configuration: configuration, address: NetworkAddress(configuration.address),
                isDualStack: configuration.address.isWildcard, stats: stats, chains: chains)
        } catch {
            reportFull(configuration.origin, diagnostics)
            return nil
        }
    }

    private func chain(
        _ configuration: FilterChainConfiguration, of listener: ListenerConfiguration, _ clusters: [String: Cluster],
        _ tracing: TracingPlan, previous: Snapshot?, _ diagnostics: Diagnostics
    ) -> ChainPlan? {
        var plans: [NetworkFilterPlan] = []
        // Where a chain is to be chosen, access is asked for first (`WorkerAssembly`).
        if listener.filterChains.isEmpty, let settings = IPAccessFilter.Settings(listener.access) {
            plans.append(NetworkFilterPlan { _ in IPAccessFactory(settings: settings) })
        }
        var endsWithTerminal = false
        for filter in configuration.networkFilters {
            if endsWithTerminal { reportAfterTerminal(filter, diagnostics) }
            guard let registration = find(filter, diagnostics) else { continue }
            if let plan = registration.prepare(filter.config, diagnostics) { plans.append(plan) }
            endsWithTerminal = registration.isTerminal
        }
        let tls = compileTLS(of: configuration, in: listener, previous: previous, diagnostics)
        guard
            let terminal = terminal(of: configuration, in: listener, clusters, tracing, endsWithTerminal, diagnostics),
            (configuration.tls == nil) == (tls == nil)
        else { return nil }
        return ChainPlan(configuration: configuration, filters: plans, terminal: terminal, tls: tls)
    }

    private func find(
        _ filter: NetworkFilterConfiguration, _ diagnostics: Diagnostics
    ) -> NetworkFilterRegistration? {
        if let registration = filters[filter.name] { return registration }
        diagnostics.report(
            "unknown network filter \(filter.name.quotedForMessage)",
            expected: "one of \(filters.keys.sorted().joined(separator: ", "))",
            suggestion: diagnostics.suggestion(for: filter.name, among: filters.keys.sorted()),
            at: filter.origin.position)
        return nil
    }

    private func terminal(
        of configuration: FilterChainConfiguration, in listener: ListenerConfiguration,
        _ clusters: [String: Cluster], _ tracing: TracingPlan, _ endsWithTerminal: Bool, _ diagnostics: Diagnostics
    ) -> ChainPlan.Terminal? {
        switch (configuration.proxy, endsWithTerminal) {
        case (nil, true):
            return .filter
        case (nil, false):
            // Without any filter the missing key was reported when the file was read.
            guard !configuration.networkFilters.isEmpty else { return nil }
            diagnostics.report(
                (listener.filterChains.isEmpty ? "listener" : "a filter chain of listener")
                    + " \(listener.name.quotedForMessage) does nothing with its connections",
                expected: "`tcp`, `http`, or a terminal network filter such as echo at the end",
                at: configuration.origin.position)
            return nil
        case (_, true):
            diagnostics.report(
                "nothing reaches what follows the terminal network filter "
                    + (configuration.networkFilters.last?.name ?? "").quotedForMessage,
                expected: "a listener with either a terminal filter or `tcp` or `http`",
                at: configuration.networkFilters.last?.origin.position ?? configuration.origin.position)
            return nil
        case (.tcp(let tcp), false):
            // A cluster that is not there was reported when references were checked, or has errors of its own.
            let found = tcp.clusters.compactMap { entry in
                clusters[entry.cluster.name].map { (cluster: $0, weight: UInt32(entry.weight)) }
            }
            let logs = plans(of: tcp.accessLogs, exchanges: false, diagnostics)
            guard found.count == tcp.clusters.count, let logs else { return nil }
            return .tcpProxy(
                TCPProxyPlan(
                    clusters: found, idleTimeoutNs: tcp.idleTimeout?.nanoseconds ?? 0,
                    connectAttempts: tcp.connectAttempts, accessLogs: logs))
        case (.http(let http), false):
            return httpPlan(http, of: listener, configuration, clusters, tracing, diagnostics)
                .map(ChainPlan.Terminal.http)
        }
    }

    /// nil after an error.
    func plans(
        of configurations: [AccessLogConfiguration], exchanges: Bool, _ diagnostics: Diagnostics
    ) -> [AccessLogPlan]? {
        let plans = configurations.compactMap { configuration -> AccessLogPlan? in
            let target = accessLogs.target(
                configuration.path, at: configuration.origin.position, diagnostics)
            // A format is looked at even where the file cannot be opened.
            return AccessLogPlan(configuration, exchanges: exchanges, target: target, diagnostics)
        }
        return plans.count == configurations.count ? plans : nil
    }

    private func reportAfterTerminal(_ filter: NetworkFilterConfiguration, _ diagnostics: Diagnostics) {
        diagnostics.report(
            "network filter \(filter.name.quotedForMessage) stands behind a terminal filter",
            expected: "the terminal filter to be the last", at: filter.origin.position)
    }

    func reportFull(_ origin: ConfigOrigin, _ diagnostics: Diagnostics) {
        diagnostics.report(
            "too many listeners, clusters and endpoints: their stats do not fit into \(StatsBlock.cellsMax) cells",
            expected: "fewer of them", at: origin.position)
    }
}

extension TCPKeepAlive {
    init(_ configuration: TCPKeepAliveConfiguration) {
        self.init(
            idleSeconds: Int32(configuration.idle.nanoseconds / 1_000_000_000),
            intervalSeconds: Int32(configuration.interval.nanoseconds / 1_000_000_000),
            count: Int32(configuration.count))
    }
}

extension IPAccessFilter.Settings {
    /// nil where everybody may connect.
    init?(_ access: AccessConfiguration) {
        guard !access.allow.isEmpty || !access.deny.isEmpty else { return nil }
        self.init(allow: access.allow, deny: access.deny)
    }
}

private final class IPAccessFactory: NetworkFilterFactory {
    private let settings: IPAccessFilter.Settings

    init(settings: IPAccessFilter.Settings) {
        self.settings = settings
        super.init()
    }

    override func makeFilter(for connection: Connection) -> NetworkFilter {
        IPAccessFilter(connection: connection, settings: settings)
    }
}

extension ProxyConfiguration {
    /// What clients can be told by ALPN; nil where bytes are proxied, whatever they mean.
    fileprivate var httpProtocols: [String]? {
        guard case .http(let http) = self else { return nil }
        return http.http2 != nil ? ["h2", "http/1.1"] : ["http/1.1"]
    }
}
