/// Accepted connections go to the worker that has the least to do, before their first byte is read.
///
///     accepted ─▶ compare loads ─▶ keep
///                       └─▶ ring of the other worker ─▶ its mailbox's eventfd, at the end of the turn ─▶ adopt
///
/// A connection changes hands once at most. Until it is adopted it is no worker's: nothing counts it, and no operation
/// is armed on its socket.
extension Worker {
    /// Other workers that are looked at for one connection. The next connection looks at the next ones.
    private static let candidatesMax = 8

    /// Makes the workers of the process known to this one, before it has listeners.
    package func join(_ peers: WorkerPeers) { core.value.peers = peers }

    // MARK: Handing over

    /// - Returns: whether `socket` is another worker's now
    func handOver(_ socket: Int32, _ slot: Int) -> Bool {
        guard core.value.listeners[slot].isBalanced, !core.value.listeners[slot].isDraining,
            let peers = core.value.peers, peers.count > 1, let group = core.value.listeners[slot].group
        else { return false }
        // Who is turned away is turned away here, where accepting can pause.
        if let limit = core.value.listeners[slot].limit, !limit.hasRoom { return false }
        let counters = core.value.listeners[slot].counters
        let others = peers.count - 1
        let looks = min(others, Self.candidatesMax)
        func candidate(_ look: Int) -> Int {
            (index + 1 + (core.value.nextCandidate + look) % others) % peers.count
        }
        let open = counters.read(ConnectionStat.active)
        core.value.listeners[slot].acceptRate.note(interval: core.value.load.interval)
        var balance = ConnectionBalance(
            own: WorkerLoad(
                connections: (0..<looks).reduce(open) { $0 &+ peers.waiting(from: candidate($1), to: index) },
                busyPermille: LoadMeter.busyPermille(of: core.value.stats, nowNs: nowNs)),
            countsMatter: !core.value.listeners[slot].acceptRate.isChurn(open: open),
            mayRelieve: core.value.load.reliefs < LoadMeter.reliefsMax(open: open))
        guard balance.isOpen else { return false }
        for look in 0..<looks {
            let other = candidate(look)
            guard group.isAccepting(on: other) else { continue }
            let block = peers.blocks[other]
            balance.consider(
                other,
                WorkerLoad(
                    connections: counters.sameCells(of: block).read(ConnectionStat.active)
                        &+ peers.waiting(from: index, to: other),
                    busyPermille: LoadMeter.busyPermille(of: block, nowNs: nowNs)))
        }
        core.value.nextCandidate = (core.value.nextCandidate + looks) % others
        guard let other = balance.choice,
            peers.hand(Handover(socket: socket, group: group.id), from: index, to: other)
        else { return false }
        if balance.isRelief { core.value.load.reliefs += 1 }
        core.value.own.add(to: WorkerStat.connectionsGiven)
        core.value.bells.append(other)
        return true
    }

    /// Wakes those that something was handed to in this turn.
    func ringBells() {
        var last: Int?
        while let other = core.value.bells.popFirst() {
            if other != last { core.value.peers?.ring(other) }
            last = other
        }
    }

    // MARK: Adopting

    /// Takes what the other workers have handed over.
    package func adoptConnections() {
        guard let peers = core.value.peers else { return }
        for sender in 0..<peers.count where sender != index {
            // Whatever comes later comes with a wake-up of its own.
            for _ in 0..<WorkerPeers.ringCapacity {
                guard let handover = peers.first(from: sender, to: index) else { break }
                adopt(handover)
                peers.removeFirst(from: sender, to: index)
            }
        }
    }

    private func adopt(_ handover: Handover) {
        core.value.own.add(to: WorkerStat.connectionsTaken)
        if let slot = core.value.listeners.firstIndex(where: { $0.isInUse && $0.group?.id == handover.group }) {
            welcome(handover.socket, slot)
        } else if let listener = core.value.closedListeners.first(where: { $0.group?.id == handover.group }) {
            welcomeLate(handover.socket, listener)
        } else {
            preconditionFailure("a listener is kept until nobody hands over connections of it")
        }
    }

    // MARK: Closed listeners

    package var closedListenerCount: Int { core.value.closedListeners.count }

    /// This worker's end of a listener is closed. The others' may be open yet, and send what they accept.
    func keepForOthers(_ listener: ListenerState) {
        guard let peers = core.value.peers, peers.count > 1, let group = listener.group else { return }
        // What was handed over before is in the rings by now.
        group.closed(on: index)
        core.value.closedListeners.append(listener)
        guard group.isOver else { return }
        forgetClosedListeners()
        peers.tell(allBut: index) { $0.forgetClosedListeners() }
    }

    /// Lets go of the listeners that nobody accepts for any more.
    package func forgetClosedListeners() {
        let isOver = core.value.closedListeners.map { $0.group?.isOver ?? true }
        guard isOver.contains(true) else { return }
        // After the look at the groups: all that their other ends have handed over is seen here.
        adoptConnections()
        for position in isOver.indices.reversed() where isOver[position] {
            core.value.closedListeners.remove(at: position)
        }
    }
}
