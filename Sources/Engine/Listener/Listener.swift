internal import Glibc

/// A worker's end of a listener.
struct ListenerState {
    var socket: Int32
    var generation: UInt32
    var serial: UInt32
    var isInUse: Bool
    var isArmed = false
    var isPaused = false
    var isDraining = false
    /// Another worker accepts from the same socket (Unix sockets have no SO_REUSEPORT groups).
    var isShared: Bool
    var counters: StatsScope
    var limit: ConnectionLimit?
    var selector: ChainSelector
    /// The listener's ends on the other workers; nil where nobody else accepts for it.
    var group: ListenerGroup?
    /// Connections may go to another worker than the one that accepted them.
    var isBalanced: Bool
    var acceptRate = AcceptRate()
    /// Called once when it is closed after `removeListener`.
    var onClosed: (() -> Void)?
}

/// Which listener of a worker; stays valid until it is removed.
package struct ListenerID: Hashable, Sendable {
    let slot: UInt32
    /// Never used again on the worker, unlike the slot: connections remember it.
    let serial: UInt32
}

extension Worker {
    /// How long a listener waits before it accepts again after the process ran out of descriptors.
    static let acceptBackOffNs: UInt64 = 100_000_000
    static let limitPollNs: UInt64 = 20_000_000

    /// Starts accepting from `socket`, which listens already. The worker closes it with the listener.
    package func addListener(
        socket: Int32, isShared: Bool, counters: StatsScope, limit: ConnectionLimit?, chain: NetworkFilterChain,
        tls: TLSServerContext? = nil, group: ListenerGroup? = nil, isBalanced: Bool = false
    ) -> ListenerID {
        addListener(
            socket: socket, isShared: isShared, counters: counters, limit: limit,
            selector: ChainSelector(ListenerChain(filters: chain, tls: tls)), group: group, isBalanced: isBalanced)
    }

    /// Starts accepting from `socket`; connections get the chain that `selector` chooses.
    ///
    /// - Parameter isBalanced: connections go to the worker of `group` that has the least to do.
    package func addListener(
        socket: Int32, isShared: Bool, counters: StatsScope, limit: ConnectionLimit?, selector: ChainSelector,
        group: ListenerGroup? = nil, isBalanced: Bool = false
    ) -> ListenerID {
        let free = core.value.listeners.firstIndex { !$0.isInUse }
        let generation = free.map { core.value.listeners[$0].generation &+ 1 } ?? 0
        let serial = core.value.nextListenerSerial
        core.value.nextListenerSerial += 1
        let listener = ListenerState(
            socket: socket, generation: generation & OperationID.generationMask, serial: serial, isInUse: true,
            isShared: isShared, counters: counters, limit: limit, selector: selector, group: group,
            isBalanced: isBalanced)
        let slot = free ?? core.value.listeners.count
        if free == nil { core.value.listeners.append(listener) } else { core.value.listeners[slot] = listener }
        group?.opened(on: index)
        armAccept(slot)
        return ListenerID(slot: UInt32(slot), serial: serial)
    }

    /// New connections get the chains of `selector` from now on; open ones keep theirs.
    package func updateListener(
        _ id: ListenerID, counters: StatsScope, limit: ConnectionLimit?, selector: ChainSelector,
        isBalanced: Bool = false
    ) {
        core.value.listeners[Int(id.slot)].counters = counters
        core.value.listeners[Int(id.slot)].limit = limit
        core.value.listeners[Int(id.slot)].selector = selector
        core.value.listeners[Int(id.slot)].isBalanced = isBalanced
    }

    /// The same, where nothing else of the listener changes.
    package func updateListener(_ id: ListenerID, selector: ChainSelector) {
        core.value.listeners[Int(id.slot)].selector = selector
    }

    /// For connections that are accepted from now on; nil for none.
    package func setKeepAlive(_ keepAlive: TCPKeepAlive?, of id: ListenerID) {
        let socket = core.value.listeners[Int(id.slot)].socket
        io { $0.setKeepAlive(keepAlive, on: socket) }
    }

    /// Stops accepting. Connections that the kernel has accepted already are taken first; those of the
    /// listener go on and are told to drain.
    ///
    /// - Parameter onClosed: called on the worker when no connection can be accepted any more.
    package func removeListener(_ id: ListenerID, onClosed: (() -> Void)? = nil) {
        let slot = Int(id.slot)
        guard core.value.listeners[slot].serial == id.serial, core.value.listeners[slot].isInUse,
            !core.value.listeners[slot].isDraining
        else { return }
        core.value.listeners[slot].isDraining = true
        core.value.listeners[slot].onClosed = onClosed
        let socket = core.value.listeners[slot].socket
        io { $0.refuseHandshakes(socket) }
        drainConnections(of: id)
        if core.value.listeners[slot].isArmed {
            io { $0.cancel(acceptID(slot)) }
        } else {
            closeListener(slot)
        }
    }

    /// Tells the open connections of a listener (nil: of all) to finish.
    package func drainConnections(of id: ListenerID?) {
        forEachConnection { connection in
            let listener = connection.state.listener
            guard listener != ConnectionState.none, id == nil || id!.serial == listener else { return }
            connection.notify { $0.onDrain(connection) }
        }
    }

    /// Closes the connections of a listener (nil: of all) that are still open when the drain time is over.
    package func closeConnections(of id: ListenerID?, _ reason: CloseReason) {
        forEachConnection { connection in
            let listener = connection.state.listener
            guard listener != ConnectionState.none, id == nil || id!.serial == listener else { return }
            connection.close(reason)
        }
    }

    /// Open connections that were accepted by a listener (nil: by any).
    package func acceptedConnectionCount(of id: ListenerID?) -> Int {
        var count = 0
        forEachConnection { connection in
            let listener = connection.state.listener
            if listener != ConnectionState.none, id == nil || id!.serial == listener { count += 1 }
        }
        return count
    }

    // MARK: Accepting

    private func acceptID(_ slot: Int) -> OperationID {
        OperationID(.accept, slot: UInt32(slot), generation: core.value.listeners[slot].generation)
    }

    private func armAccept(_ slot: Int) {
        core.value.listeners[slot].isArmed = true
        let socket = core.value.listeners[slot].socket
        let isShared = core.value.listeners[slot].isShared
        io { $0.accept(socket, multishot: !isShared, acceptID(slot)) }
    }

    func accepted(_ completion: Completion) {
        let slot = Int(completion.id.slot)
        guard slot < core.value.listeners.count, core.value.listeners[slot].generation == completion.id.generation
        else {
            if completion.result >= 0 { io { $0.close(completion.result) } }
            return
        }
        if !completion.flags.contains(.more) { core.value.listeners[slot].isArmed = false }
        if completion.result >= 0 {
            if !handOver(completion.result, slot) { welcome(completion.result, slot) }
        } else {
            acceptFailed(-completion.result, slot)
        }
        guard !core.value.listeners[slot].isArmed else { return }
        if core.value.listeners[slot].isDraining {
            closeListener(slot)
        } else if !core.value.listeners[slot].isPaused {
            armAccept(slot)
        }
    }

    /// Makes a connection of a socket that this worker has accepted, or adopted.
    func welcome(_ socket: Int32, _ slot: Int) {
        let counters = core.value.listeners[slot].counters
        let limit = core.value.listeners[slot].limit
        if let limit, !limit.claim(for: counters) {
            counters.add(to: ListenerStat.rejectedLimit)
            io { $0.close(socket) }
            pauseAccept(slot, forNs: Self.limitPollNs)
            return
        }
        let opened = open(socket, counters: counters, listener: core.value.listeners[slot].serial)
        limit?.endClaim(of: counters)
        guard let connection = opened else {
            counters.add(to: ListenerStat.rejectedTable)
            pauseAccept(slot, forNs: Self.acceptBackOffNs)
            return
        }
        connection.chooseChain(core.value.listeners[slot].selector)
    }

    /// The same for a listener that is closed on this worker, while another one had an end to accept it.
    func welcomeLate(_ socket: Int32, _ listener: ListenerState) {
        if let limit = listener.limit, !limit.claim(for: listener.counters) {
            listener.counters.add(to: ListenerStat.rejectedLimit)
            io { $0.close(socket) }
            return
        }
        let opened = open(socket, counters: listener.counters, listener: listener.serial)
        listener.limit?.endClaim(of: listener.counters)
        guard let connection = opened else { return listener.counters.add(to: ListenerStat.rejectedTable) }
        connection.chooseChain(listener.selector)
        if connection.isOpen { connection.notify { $0.onDrain(connection) } }
    }

    private func acceptFailed(_ error: Int32, _ slot: Int) {
        let counters = core.value.listeners[slot].counters
        switch error {
        case ECANCELED: break
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // Arming again at once would spin: the queue stays full until somebody closes a descriptor.
            counters.add(to: ListenerStat.rejectedDescriptors)
            pauseAccept(slot, forNs: Self.acceptBackOffNs)
        case ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENOPROTOOPT, EPERM, EINTR, EAGAIN:
            // The connection died in the queue, or a firewall took it (accept(2)): the next one may be fine.
            counters.add(to: ListenerStat.acceptErrors)
        default:
            counters.add(to: ListenerStat.acceptErrors)
            pauseAccept(slot, forNs: Self.acceptBackOffNs)
        }
    }

    private func pauseAccept(_ slot: Int, forNs delayNs: UInt64) {
        guard !core.value.listeners[slot].isPaused, !core.value.listeners[slot].isDraining else { return }
        core.value.listeners[slot].isPaused = true
        if core.value.listeners[slot].isArmed { io { $0.cancel(acceptID(slot)) } }
        scheduleListenerTimer(slot, afterNs: delayNs)
    }

    private func scheduleListenerTimer(_ slot: Int, afterNs delayNs: UInt64) {
        let generation = core.value.listeners[slot].generation
        let token = OperationID(.listenerTimer, slot: UInt32(slot), generation: generation)
        _ = core.value.timers.schedule(atNs: nowNs + delayNs, token: token)
    }

    func listenerTimerFired(_ slot: UInt32, generation: UInt32) {
        let slot = Int(slot)
        guard core.value.listeners[slot].isInUse, core.value.listeners[slot].generation == generation,
            core.value.listeners[slot].isPaused
        else { return }
        if let limit = core.value.listeners[slot].limit, !limit.isRelaxed {
            scheduleListenerTimer(slot, afterNs: Self.limitPollNs)
            return
        }
        core.value.listeners[slot].isPaused = false
        if !core.value.listeners[slot].isArmed, !core.value.listeners[slot].isDraining { armAccept(slot) }
    }

    private func closeListener(_ slot: Int) {
        // Handshakes that are complete wait in this socket's own queue and would be reset with it.
        let socket = core.value.listeners[slot].socket
        while true {
            let accepted = io { $0.acceptNow(socket) }
            if accepted < 0 { break }
            welcome(accepted, slot)
        }
        drainConnections(of: ListenerID(slot: UInt32(slot), serial: core.value.listeners[slot].serial))
        io { $0.close(socket) }
        core.value.listeners[slot].isInUse = false
        let onClosed = core.value.listeners[slot].onClosed
        core.value.listeners[slot].onClosed = nil
        keepForOthers(core.value.listeners[slot])
        onClosed?()
    }
}
