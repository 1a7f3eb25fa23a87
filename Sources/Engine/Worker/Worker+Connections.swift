internal import Glibc

/// Connections come and go here: connect, adopt what was accepted, end.
extension Worker {
    /// Opens a connection to `address` and tells `handler` how it went: `onConnected`, or `onClose` with the
    /// reason. The caller keeps `address` alive until then.
    ///
    /// - Parameters:
    ///   - counters: where the connection is counted; its first cells are `ConnectionStat`.
    ///   - timeoutNs: after this the connect is given up, with `.connectTimeout`.
    ///   - keepAlive: when a silent peer is asked whether it is still there; nil for never.
    ///   - tls: speak TLS, and resume what is kept there. The handshake is part of the connect.
    /// - Returns: nil when this process is out of descriptors or slots; nothing was counted then.
    package func connect(
        to address: NetworkAddress, handler: ConnectionHandler, counters: StatsScope, timeoutNs: UInt64,
        keepAlive: TCPKeepAlive? = nil, tls: TLSClientSessions? = nil
    ) -> Connection? {
        let socket = io { $0.openSocket(for: address) }
        guard socket >= 0 else { return nil }
        if let keepAlive { io { $0.setKeepAlive(keepAlive, on: socket) } }
        guard let connection = open(socket, counters: counters, listener: ConnectionState.none) else { return nil }
        connection.setHandler(handler)
        connection.state.flags.insert(.connecting)
        connection.state.inFlight += 1
        io { $0.connect(socket, to: address, connection.id(.connect)) }
        connection.setTimer(atNs: nowNs + timeoutNs)
        if let tls { connection.secure(tls) }
        return connection
    }

    /// A slot for `socket`; closes it and answers nil when there is none.
    func open(_ socket: Int32, counters: StatsScope, listener: UInt32) -> Connection? {
        guard let index = core.value.connections.take() else {
            io { $0.close(socket) }
            return nil
        }
        // The generation is the slot's, not the connection's: it survives. A slot never used has zero.
        let generation = core.value.connections[index].generation
        unsafe core.value.connections[index] = ConnectionState(
            socket: socket, generation: generation, flags: [], inFlight: 0, handler: nil, counters: counters,
            listener: listener, queue: SendQueue(), vector: ConnectionState.none, peer: ConnectionState.none,
            pipe: ConnectionState.none, pipeBytes: 0, streamScore: 0, closeReason: .finished, timer: .none,
            idleTimeoutNs: 0, lastActiveNs: nowNs, sendStartedNs: 0)
        counters.add(to: ConnectionStat.opened)
        counters.add(to: ConnectionStat.active)
        return Connection(worker: self, index: index)
    }

    /// Everything of `connection` is released: its slot may be handed out again.
    func forget(_ connection: Connection) {
        core.value.connections.giveBack(connection.index)
    }

    /// Connections that are open, for drains and tests; the order is that of the slots.
    package func forEachConnection(_ body: (Connection) -> Void) {
        for index in 0..<UInt32(core.value.connections.highWater) {
            let connection = Connection(worker: self, index: index)
            // A free slot has no handler.
            guard unsafe connection.state.handler != nil, connection.isOpen else { continue }
            body(connection)
        }
    }

    package var connectionCount: Int { core.value.connections.inUse }

    // MARK: Ending

    func putIntoEndingList(_ connection: Connection) {
        guard !connection.state.flags.contains(.inEndingList) else { return }
        connection.state.flags.insert(.inEndingList)
        core.value.ending.append(connection.index)
    }

    /// An operation of a closing connection has finished: perhaps it was the last.
    func endWhenIdle(_ connection: Connection) {
        if connection.state.inFlight == 0 { putIntoEndingList(connection) }
    }

    func endConnections() {
        while let index = core.value.ending.popFirst() {
            let connection = Connection(worker: self, index: index)
            connection.state.flags.remove(.inEndingList)
            connection.end()
        }
    }
}

extension Connection {
    /// The answer of a connect.
    func connected(_ completion: Completion) {
        state.inFlight -= 1
        guard !state.flags.contains(.closing) else {
            worker.endWhenIdle(self)
            return
        }
        guard completion.result >= 0 else {
            close(.ofConnect(error: -completion.result))
            return
        }
        state.flags.remove(.connecting)
        state.lastActiveNs = worker.nowNs
        if unsafe state.secure != nil { return startClientHandshake() }
        cancelTimer()
        if state.idleTimeoutNs > 0 { setTimer(atNs: worker.nowNs + state.idleTimeoutNs) }
        if !state.queue.isEmpty { markDirty() }
        notify { $0.onConnected(self) }
        // Somebody may have ended our stream while there was none yet.
        finishIfSent()
    }
}
