package import Engine
package import Filters
package import Upstream

/// One worker's side of the configuration: its listeners, chains and clusters. Lives on the worker's thread.
final class WorkerAssembly {
    private let worker: Worker
    private let registry: StatsRegistry
    private var snapshot: Snapshot?
    private var clusters: [String: WorkerCluster] = [:]
    /// By listener name.
    private var listeners: [String: ListenerID] = [:]

    init(worker: Worker, registry: StatsRegistry) {
        self.worker = worker
        self.registry = registry
    }

    static func of(_ worker: Worker) -> WorkerAssembly {
        guard let assembly = worker.context as? WorkerAssembly else {
            preconditionFailure("a worker gets its assembly before its first message")
        }
        return assembly
    }

    /// Swaps to `next`. Runs between two turns, so a connection sees either the old or the new configuration.
    ///
    /// - Parameter sockets: for each listener that needs sockets, this worker's.
    /// - Returns: listeners that went away; their connections drain.
    func apply(_ next: Snapshot, sockets: [String: ListeningSocket]) -> [ListenerID] {
        takeOverClusters(of: next)
        var removed: [ListenerID] = []
        let old = Dictionary(uniqueKeysWithValues: (snapshot?.listeners ?? []).map { ($0.configuration.name, $0) })
        let names = Set(next.listeners.map(\.configuration.name))
        for (name, id) in listeners where !names.contains(name) || sockets[name] != nil {
            worker.removeListener(id)
            removed.append(id)
            listeners[name] = nil
        }
        for plan in next.listeners {
            let name = plan.configuration.name
            if let id = listeners[name] {
                if let before = old[name], isUntouched(before, plan) { continue }
                worker.updateListener(id, limit: limit(of: plan), chain: chain(for: plan))
            } else if let socket = sockets[name] {
                listeners[name] = worker.addListener(
                    socket: socket.descriptor, isShared: socket.isShared,
                    counters: registry.scope(plan.stats, worker: worker.index), limit: limit(of: plan),
                    chain: chain(for: plan))
            }
        }
        snapshot = next
        return removed
    }

    /// Closes all listeners; answers how many connections are left to finish.
    func removeAllListeners() {
        for id in listeners.values { worker.removeListener(id) }
        listeners = [:]
    }

    // MARK: Parts

    private func takeOverClusters(of next: Snapshot) {
        var kept: [String: WorkerCluster] = [:]
        for (name, cluster) in next.clusters {
            if let old = clusters[name], old.cluster === cluster {
                kept[name] = old
            } else {
                kept[name] = WorkerCluster(cluster, registry: registry, worker: worker.index)
            }
        }
        clusters = kept
    }

    /// The same configuration, and the same clusters behind it.
    private func isUntouched(_ old: ListenerPlan, _ new: ListenerPlan) -> Bool {
        guard old.configuration == new.configuration else { return false }
        switch (old.terminal, new.terminal) {
        case (.tcpProxy(let oldPlan), .tcpProxy(let newPlan)):
            return zip(oldPlan.clusters, newPlan.clusters).allSatisfy { $0.cluster === $1.cluster }
        default:
            return true
        }
    }

    private func limit(of plan: ListenerPlan) -> ConnectionLimit? {
        plan.configuration.maxConnections.map {
            ConnectionLimit(max: UInt64($0), scopes: registry.scopes(plan.stats))
        }
    }

    private func chain(for plan: ListenerPlan) -> NetworkFilterChain {
        var factories = plan.filters.map { $0.makeFactory(worker) }
        switch plan.terminal {
        case .tcpProxy(let tcp): factories.append(factory(for: tcp))
        case .http(let http): factories.append(HTTPServerFactory(plan: http))
        case .filter: break
        }
        return NetworkFilterChain(factories)
    }

    private func factory(for plan: TCPProxyPlan) -> NetworkFilterFactory {
        let entries = plan.clusters.map { entry in
            guard let cluster = clusters[entry.cluster.name] else {
                preconditionFailure("a snapshot has every cluster that its listeners name")
            }
            return (cluster: cluster, weight: entry.weight)
        }
        var random = SystemRandomNumberGenerator()
        return TCPProxyFactory(
            settings: TCPProxySettings(
                clusters: entries, idleTimeoutNs: plan.idleTimeoutNs, connectAttempts: plan.connectAttempts,
                seed: random.next()))
    }
}
