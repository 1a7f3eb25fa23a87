internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

/// One worker's side of the configuration: its listeners, chains and clusters. Lives on the worker's thread.
final class WorkerAssembly {
    private let worker: Worker
    private let registry: StatsRegistry
    private let serving: ServingState
    private let recorder: FlightRecorder?
    private var snapshot: Snapshot?
    private var clusters: [String: WorkerCluster] = [:]
    /// By cluster, made when the first route names it.
    private var pools: [String: HTTPConnectionPool] = [:]
    /// The chains that requests of a listener go through, by the key of its sockets.
    private var httpChains: [String: [FilterChainMatch: HTTPChain]] = [:]
    /// By the key of the listener's sockets.
    private var selectors: [String: ChainSelector] = [:]
    /// By the key of the listener's sockets.
    private var listeners: [String: ListenerID] = [:]
    /// All that were open when the process began to drain.
    private var draining: [ListenerID] = []
    /// On the worker that serves the admin interface. No configuration changes it.
    var adminListener: ListenerID?

    /// - Parameter recorder: this worker's; nil for none
    init(worker: Worker, registry: StatsRegistry, serving: ServingState, recorder: FlightRecorder?) {
        self.worker = worker
        self.registry = registry
        self.serving = serving
        self.recorder = recorder
    }

    static func of(_ worker: Worker) -> WorkerAssembly {
        guard let assembly = worker.context as? WorkerAssembly else {
            preconditionFailure("a worker gets its assembly before its first message")
        }
        return assembly
    }

    /// Swaps to `next`. Runs between two completions, so a connection sees either the old or the new configuration.
    ///
    /// - Parameters:
    ///   - sockets: for each listener whose sockets are new, this worker's.
    ///   - groups: what the workers' sockets have in common, for the same listeners.
    /// - Returns: listeners that went away; their connections drain.
    func apply(
        _ next: Snapshot, sockets: [String: ListeningSocket], groups: [String: ListenerGroup]
    ) -> [ListenerID] {
        let replaced = takeOverClusters(of: next)
        var removed: [ListenerID] = []
        let old = Dictionary(uniqueKeysWithValues: (snapshot?.listeners ?? []).map { ($0.socketKey, $0) })
        let keys = Set(next.listeners.map(\.socketKey))
        for (key, id) in listeners where !keys.contains(key) {
            worker.removeListener(id)
            removed.append(id)
            listeners[key] = nil
            httpChains[key] = nil
            selectors[key] = nil
        }
        for plan in next.listeners {
            let key = plan.socketKey
            let counters = registry.scope(plan.stats, worker: worker.index)
            if let id = listeners[key] {
                if let before = old[key], isUntouched(before, plan) {
                    updateTLS(of: id, before, plan)
                    continue
                }
                worker.updateListener(
                    id, counters: counters, limit: limit(of: plan), selector: makeSelector(for: plan),
                    isBalanced: plan.configuration.balancesConnections)
                worker.setKeepAlive(plan.keepAlive, of: id)
            } else if let socket = sockets[key] {
                let id = worker.addListener(
                    socket: socket.descriptor, isShared: socket.isShared, counters: counters, limit: limit(of: plan),
                    selector: makeSelector(for: plan), group: groups[key],
                    isBalanced: plan.configuration.balancesConnections)
                worker.setKeepAlive(plan.keepAlive, of: id)
                listeners[key] = id
            }
        }
        snapshot = next
        // Now that no listener starts requests on them any more.
        for pool in replaced { pool.close() }
        return removed
    }

    /// Closes all listeners; their connections are told to finish.
    ///
    /// - Parameter onClosed: called once on the worker when the last of them accepts no more.
    func removeAllListeners(onClosed: @escaping @Sendable () -> Void) {
        draining = Array(listeners.values)
        var left = listeners.count
        if left == 0 { onClosed() }
        for id in listeners.values {
            worker.removeListener(id) {
                left -= 1
                if left == 0 { onClosed() }
            }
        }
        listeners = [:]
    }

    /// The time to finish is over.
    func closeDrainingConnections() {
        for id in draining { worker.closeConnections(of: id, .drained) }
    }

    func removeAdminListener() {
        if let adminListener { worker.removeListener(adminListener) }
        adminListener = nil
    }

    // MARK: Parts

    /// - Returns: the pools of clusters that are gone or replaced
    private func takeOverClusters(of next: Snapshot) -> [HTTPConnectionPool] {
        var kept: [String: WorkerCluster] = [:]
        for (name, cluster) in next.clusters {
            if let old = clusters[name], old.cluster === cluster {
                kept[name] = old
            } else {
                kept[name] = WorkerCluster(cluster, registry: registry, worker: worker.index)
            }
        }
        clusters = kept
        let replaced = pools.filter { kept[$0.key] !== $0.value.cluster }
        for name in replaced.keys { pools[name] = nil }
        return Array(replaced.values)
    }

    private func pool(of cluster: Cluster) -> HTTPConnectionPool {
        if let pool = pools[cluster.name] { return pool }
        let pool = makePool(of: workerCluster(cluster), on: worker)
        pools[cluster.name] = pool
        return pool
    }

    private func workerCluster(_ cluster: Cluster) -> WorkerCluster {
        guard let found = clusters[cluster.name] else {
            preconditionFailure("a snapshot has every cluster that its listeners name")
        }
        return found
    }

    /// The same configuration, and the same clusters behind it.
    private func isUntouched(_ old: ListenerPlan, _ new: ListenerPlan) -> Bool {
        guard old.configuration == new.configuration else { return false }
        return zip(old.chains, new.chains).allSatisfy { old, new in
            switch (old.terminal, new.terminal) {
            case (.tcpProxy(let oldPlan), .tcpProxy(let newPlan)):
                zip(oldPlan.clusters, newPlan.clusters).allSatisfy { $0.cluster === $1.cluster }
            case (.http(let oldPlan), .http(let newPlan)):
                oldPlan.isEquivalent(to: newPlan)
            default:
                true
            }
        }
    }

    /// Other certificates for new connections, where there are any.
    private func updateTLS(of id: ListenerID, _ before: ListenerPlan, _ plan: ListenerPlan) {
        guard !before.chains.elementsEqual(plan.chains, by: { $0.tls === $1.tls }),
            let selector = selectors[plan.socketKey]
        else { return }
        let next = selector.replacing(tls: plan.chains.map { $0.tls?.context })
        selectors[plan.socketKey] = next
        worker.updateListener(id, selector: next)
    }

    private func limit(of plan: ListenerPlan) -> ConnectionLimit? {
        plan.configuration.maxConnections.map {
            ConnectionLimit(max: UInt64($0), scopes: registry.scopes(plan.stats))
        }
    }

    private func makeSelector(for plan: ListenerPlan) -> ChainSelector {
        let before = httpChains[plan.socketKey] ?? [:]
        var made: [FilterChainMatch: HTTPChain] = [:]
        let chains = plan.chains.map { chain in
            ListenerChain(filters: filters(of: chain, in: plan, &made), tls: chain.tls?.context)
        }
        for (match, old) in before {
            if let next = made[match] { old.successor = next } else { old.retire() }
        }
        httpChains[plan.socketKey] = made
        let configuration = plan.configuration
        let selector =
            configuration.filterChains.isEmpty
            ? ChainSelector(chains[0])
            : ChainSelector(
                chains, matchers: plan.chains.map { FilterChainMatcher($0.configuration.match) },
                access: IPAccessFilter.Settings(configuration.access),
                firstBytesTimeoutNs: configuration.clientHelloTimeout.nanoseconds)
        selectors[plan.socketKey] = selector
        return selector
    }

    private func filters(
        of chain: ChainPlan, in plan: ListenerPlan, _ made: inout [FilterChainMatch: HTTPChain]
    ) -> NetworkFilterChain {
        var factories = chain.filters.map { $0.makeFactory(worker) }
        switch chain.terminal {
        case .tcpProxy(let tcp): factories.append(factory(for: tcp))
        case .http(let http):
            let httpChain = http.makeChain(
                on: worker, pools: http.clusters.map(pool),
                counters: registry.scope(plan.stats, worker: worker.index), registry: registry, serving: serving,
                recorder: recorder)
            made[chain.configuration.match] = httpChain
            factories.append(HTTPConnectionManagerFactory(chain: httpChain))
        case .filter: break
        }
        return NetworkFilterChain(factories)
    }

    private func factory(for plan: TCPProxyPlan) -> NetworkFilterFactory {
        let entries = plan.clusters.map { entry in
            (cluster: workerCluster(entry.cluster), weight: entry.weight)
        }
        var random = SystemRandomNumberGenerator()
        return TCPProxyFactory(
            settings: TCPProxySettings(
                clusters: entries, idleTimeoutNs: plan.idleTimeoutNs, connectAttempts: plan.connectAttempts,
                seed: random.next(),
                accessLogs: plan.accessLogs.map {
                    $0.makeLog(on: worker, counters: registry.scope($0.target.stats, worker: worker.index))
                }))
    }
}

/// A pool for what the cluster speaks.
func makePool(of cluster: WorkerCluster, on worker: Worker) -> HTTPConnectionPool {
    let settings = HTTPConnectionPool.Settings(cluster.cluster.pool)
    return switch cluster.cluster.upstreamProtocol {
    case .http1: HTTP1ConnectionPool(cluster: cluster, settings: settings, worker: worker)
    case .http2: HTTP2ConnectionPool(cluster: cluster, settings: settings, worker: worker)
    case .negotiated: NegotiatedConnectionPool(cluster: cluster, settings: settings, worker: worker)
    }
}

extension HTTPConnectionPool.Settings {
    init(_ pool: PoolConfiguration) {
        self.init(
            limits: HTTP1Limits(), idleTimeoutNs: pool.idleTimeout?.nanoseconds ?? 0,
            requestsPerConnectionMax: pool.maxRequestsPerConnection.map(UInt64.init),
            connectionDurationNs: pool.maxConnectionDuration?.nanoseconds ?? 0,
            pendingMax: UInt64(pool.maxPending), requestsMax: pool.maxRequests.map(UInt64.init),
            retriesMax: UInt64(pool.maxRetries))
    }
}
