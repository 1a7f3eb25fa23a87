package import Engine

/// A real worker on a simulated kernel, and what must be true of it at the end.
@safe
package final class SimulatedWorker {
    package let backend: SimulatedBackend
    package let worker: Worker
    package let registry: StatsRegistry
    /// Turns taken so far.
    package private(set) var turns = 0
    private var scopes: [(name: String, scope: StatsScope)] = []

    package var network: SimulatedNetwork { backend.network }

    /// Small tables and buffers, so that bounds are met with little traffic.
    package static var smallLimits: WorkerLimits {
        var limits = WorkerLimits()
        limits.connectionsMax = 512
        limits.segmentsMax = 8192
        limits.bufferSize = 1024
        limits.bufferBytesMax = 256 * 1024
        limits.pipesMax = 16
        limits.pipeBytes = 16 * 1024
        return limits
    }

    /// - Parameter workerCount: workers that have cells, of which this is the first; the others do nothing by
    ///   themselves.
    package init(
        seed: UInt64, perturbation: Perturbation = .none, limits: WorkerLimits = smallLimits, workerCount: Int = 1
    ) throws(SystemLack) {
        backend = SimulatedBackend(seed: seed, perturbation: perturbation)
        let stats = StatsBlock()
        registry = StatsRegistry(blocks: [stats] + (1..<workerCount).map { _ in StatsBlock() })
        worker = try Worker(index: 0, backend: backend, stats: stats, limits: limits)
        try worker.start()
    }

    // MARK: Set-up

    /// Cells for connections, which the final checks sum up.
    package func makeScope(_ kind: StatsRegistry.Kind, _ name: String, cells: Int) -> (StatsScope, StatsRegistry.Range)
    {
        guard let range = try? registry.range(for: StatsRegistry.Owner(kind, name), count: cells) else {
            preconditionFailure("no stats cells for \(name)")
        }
        let scope = registry.scope(range, worker: 0)
        scopes.append((name, scope))
        return (scope, range)
    }

    package struct Listener {
        package let socket: Int32
        package let id: ListenerID
        package let counters: StatsScope
    }

    /// - Parameters:
    ///   - connectionsMax: the listener's connection limit.
    ///   - counters: the listener's cells, where it has more than the engine counts.
    package func listen(
        _ factories: [NetworkFilterFactory], name: String = "edge", isShared: Bool = false,
        connectionsMax: UInt64? = nil, counters: StatsScope? = nil
    ) -> Listener {
        let socket = backend.makeListener()
        let scope = counters ?? makeScope(.listener, name, cells: ListenerStat.cellCount).0
        let id = worker.addListener(
            socket: socket, isShared: isShared, counters: scope,
            limit: connectionsMax.map { ConnectionLimit(max: $0, scopes: [scope]) },
            chain: NetworkFilterChain(factories))
        return Listener(socket: socket, id: id, counters: scope)
    }

    package func connectPeer(
        to listener: Listener, plan: SimulatedPeer.Plan = SimulatedPeer.Plan(), from address: NetworkAddress? = nil
    ) -> SimulatedPeer {
        guard let peer = backend.connectPeer(to: listener.socket, plan: plan, from: address) else {
            preconditionFailure("the listener is closed")
        }
        return peer
    }

    // MARK: Running

    /// Takes turns until `condition` holds, nothing can happen any more, or `turnsMax` turns were taken.
    /// - Returns: whether the condition holds.
    @discardableResult
    package func run(turnsMax: Int = 20_000, until condition: () -> Bool) -> Bool {
        for _ in 0..<turnsMax {
            if condition() { return true }
            takeTurn()
            if backend.isQuiet { break }
        }
        return condition()
    }

    /// Takes turns until `durationNs` of virtual time have passed; fewer when `turnsMax` comes first.
    /// - Returns: whether the time has passed.
    @discardableResult
    package func run(forNs durationNs: UInt64, turnsMax: Int = 100_000) -> Bool {
        let endNs = network.nowNs + durationNs
        backend.horizonNs = endNs
        defer { backend.horizonNs = .max }
        let lastTurn = turns + turnsMax
        while network.nowNs < endNs, turns < lastTurn { takeTurn() }
        // What happened in the last instant is dealt with.
        takeTurn()
        return network.nowNs >= endNs
    }

    private func takeTurn() {
        turns += 1
        worker.turn()
    }

    // MARK: Looking

    package func read(_ stat: WorkerStat) -> UInt64 {
        registry.blocks[0].read(stat.rawValue)
    }

    package func closes(_ counters: StatsScope, _ reason: CloseReason) -> UInt64 {
        counters.read(ConnectionStat.closes(reason))
    }

    /// What is wrong with the worker now that all connections should be gone; empty when nothing is.
    package func problemsAtEnd() -> [String] {
        // A listener that paused looks after itself a moment later.
        run(forNs: 500_000_000)
        var problems = backend.violations
        func expect(_ value: some FixedWidthInteger, _ what: String) {
            if value != 0 { problems.append("\(value) \(what)") }
        }
        expect(worker.connectionCount, "connections left")
        expect(read(.buffersInUse), "buffers held")
        expect(read(.heapBytes), "bytes in heap blocks")
        expect(read(.segmentsInUse), "segments in use")
        expect(read(.timersArmed), "timers armed")
        expect(backend.bytesInPipes, "bytes in pipes")
        expect(backend.openDescriptors - backend.openPipeEnds - backend.openListeners, "sockets open")
        for (name, scope) in scopes {
            let opened = scope.read(ConnectionStat.opened)
            let closed = CloseReason.allCases.reduce(UInt64(0)) { $0 + scope.read(ConnectionStat.closes($1)) }
            if opened != closed { problems.append("\(name): \(opened) opened, \(closed) closed") }
            expect(scope.read(ConnectionStat.active), "active in \(name)")
        }
        return checksStreams ? problems + streamProblems() : problems
    }

    /// Bytes that are not the ones that were sent, and ends that came too early.
    package func streamProblems() -> [String] {
        var problems: [String] = []
        for peer in network.peers {
            if let position = peer.corruptAt {
                problems.append("stream into \(peer.stream) is wrong after \(position)")
            }
            guard let source = peer.source else { continue }
            guard Int(source) < network.peers.count else {
                problems.append("stream into \(peer.stream) comes from nobody")
                continue
            }
            let sender = network.peers[Int(source)]
            if peer.receivedBytes > sender.sentBytes {
                problems.append("\(peer.stream) received \(peer.receivedBytes) of \(sender.sentBytes) from \(source)")
            }
            // An end says that nothing is missing.
            if peer.sawEnd, !allowsEarlyEnds, !sender.hasFinished || peer.receivedBytes != sender.sentBytes {
                problems.append(
                    "\(peer.stream) saw an end after \(peer.receivedBytes) of \(sender.sentBytes) from \(source)")
            }
        }
        return problems
    }

    /// Bytes and ends that were sent, that somebody waits for, and that nothing moves any more. Asked when the
    /// simulation has stood still for `stillNs`.
    package func standstills(stillNs: UInt64 = 1_000_000_000) -> [String] {
        var problems: [String] = []
        for peer in network.peers {
            guard let source = peer.source, Int(source) < network.peers.count, peer.isWaiting,
                peer.lastReadNs + stillNs < network.nowNs
            else { continue }
            // What comes from itself comes back from the peer that echoes it.
            let sender =
                source == peer.stream
                ? network.peers.first { $0.plan.echoes && $0.source == source } : network.peers[Int(source)]
            guard let sender, !sender.hasVanished, !sender.hasReset else { continue }
            if sender.sentBytes > peer.receivedBytes {
                problems.append(
                    "\(peer.stream) waits for \(sender.sentBytes - peer.receivedBytes) bytes of \(sender.stream)")
            } else if sender.hasFinished {
                problems.append("\(peer.stream) waits for the end of \(sender.stream)")
            }
        }
        return problems
    }

    /// Whether everything that peers read was sent by peers.
    package var checksStreams = true
    /// Idle timeouts and drains end streams in order although more might have come.
    package var allowsEarlyEnds = false
}
