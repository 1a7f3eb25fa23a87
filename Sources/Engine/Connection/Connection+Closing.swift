/// Close: cancel, wait until nothing is in flight, return what is held, then close the descriptor.
extension Connection {
    /// How long a connection that we end waits for its peer's end, or for its last bytes to be acknowledged.
    package static let lingerNs: UInt64 = 1_000_000_000
    /// How long a connection that we end may take to accept what is queued, counted from its last progress.
    package static let flushNs: UInt64 = 60_000_000_000
    /// The least that such a connection has to take on the whole, after a first `flushNs`: who takes a byte now and then
    /// makes progress for ever.
    package static let flushBytesPerSecondMin: UInt64 = 1024
    private static let resetPollNs: UInt64 = 20_000_000

    /// Closes at the end of the turn. What is queued and not sent is dropped.
    ///
    /// - Parameter reset: end with a reset, so that the peer cannot take what it has for complete.
    public func close(_ reason: CloseReason, reset: Bool = false) {
        guard isOpen else { return }
        if reset { state.flags.insert(.resetOnClose) }
        if unsafe state.secure != nil {
            sendLastWords()
            guard isOpen else { return }
        }
        state.flags.insert(.closing)
        state.closeReason = reason
        cancelTimer()
        worker.putIntoEndingList(self)
    }

    /// Sends what is queued, then ends the connection: in order, waiting a moment for the peer's end so that
    /// its unread bytes do not turn our close into a reset; or (`reset`) with a reset once the peer has
    /// acknowledged everything. Both waits have a bound: `flushNs` without progress and `flushBytesPerSecondMin` while
    /// bytes are queued, after which the connection is reset with `.flushTimeout`; then `lingerNs`.
    public func closeWhenSent(_ reason: CloseReason, reset: Bool = false) {
        guard isOpen, !state.flags.contains(.closeWhenSent) else { return }
        if !state.flags.isDisjoint(with: [.connecting, .handshaking]) {
            close(reason, reset: reset)
            return
        }
        if unsafe state.secure != nil {
            // Without the peer's knowing that it is the end where what it has is not all.
            if reset { seal() } else { endSession() }
            guard isOpen else { return }
        }
        state.flags.insert(.closeWhenSent)
        if reset { state.flags.insert(.resetOnClose) }
        state.closeReason = reason
        state.idleTimeoutNs = 0
        state.deadlineNs = .max
        unlinkRelay()
        if state.queue.isEmpty {
            linger()
        } else {
            state.flags.insert(.lingering)
            state.lastActiveNs = worker.nowNs
            let slowestNs = UInt64(state.queue.bytes) * (1_000_000_000 / Self.flushBytesPerSecondMin)
            state.flushDeadlineNs = worker.nowNs + Self.flushNs + slowestNs
            setTimer(atNs: worker.nowNs + Self.flushNs)
        }
    }

    /// An operation on the established socket failed. A connection that ends because TLS failed already has its reason:
    /// peers that refuse a handshake often reset it with our flight half read.
    func socketFailed(_ error: Int32) {
        let hasReason = state.flags.contains(.lingering) && state.closeReason.isOfTLS
        close(hasReason ? state.closeReason : .of(error: error))
    }

    func linger() {
        guard isOpen else { return }
        state.flags.insert(.lingering)
        state.lastActiveNs = worker.nowNs
        if state.flags.contains(.resetOnClose) {
            lingerTimerFired()
            return
        }
        if !state.flags.contains(.writeEnded) {
            state.flags.insert(.writeEnded)
            worker.io { $0.shutdownWrite(state.socket) }
        }
        if state.flags.contains(.readEnded) {
            close(state.closeReason)
            return
        }
        state.flags.remove(.readPaused)
        armReceive()
        setTimer(atNs: worker.nowNs + Self.lingerNs)
    }

    func lingerTimerFired() {
        guard state.queue.isEmpty else {
            let standstillNs = state.lastActiveNs + Self.flushNs
            let deadlineNs = min(standstillNs, state.flushDeadlineNs)
            if deadlineNs > worker.nowNs {
                setTimer(atNs: deadlineNs)
            } else if state.flushDeadlineNs > worker.nowNs, state.flags.contains(.sending),
                state.sendStartedNs < standstillNs
            {
                // A send answers when all of it is through. Cancelled, it says how far it has come.
                state.flags.insert(.sendCancelled)
                worker.io { $0.cancel(id(.send)) }
                setTimer(atNs: worker.nowNs + Self.lingerNs)
            } else {
                // An orderly end would make a body that ends with the connection look complete.
                close(.flushTimeout, reset: true)
            }
            return
        }
        guard state.flags.contains(.resetOnClose) else {
            close(state.closeReason)
            return
        }
        let unsent = worker.io { $0.unsentBytes(state.socket) }
        if unsent == 0 || worker.nowNs >= state.lastActiveNs + Self.lingerNs {
            close(state.closeReason)
        } else {
            setTimer(atNs: worker.nowNs + Self.resetPollNs)
        }
    }

    /// Ends the relay in both directions: neither connection names the other any more.
    package func unlinkRelay() {
        guard let other = peer else { return }
        leaveRelay()
        other.leaveRelay()
    }

    private func leaveRelay() {
        state.peer = ConnectionState.none
        let wasAboutToSplice = state.flags.contains(.spliceWanted)
        state.flags.remove([.relaying, .transferring, .spliceWanted])
        state.transferLeft = 0
        if state.flags.contains(.splicing) { abandonSplicing() }
        // The receive was cancelled for the switch that does not come now.
        if wasAboutToSplice { armReceive() }
    }

    /// One step of the end, taken at the end of a turn: tell, cancel, and once nothing is in flight, close.
    func end() {
        if !state.flags.contains(.closeNotified) {
            state.flags.insert(.closeNotified)
            state.counters.add(to: ConnectionStat.closes(state.closeReason))
            state.counters.subtract(from: ConnectionStat.active)
            let reason = state.closeReason
            notify { $0.onClose(self, reason) }
            unlinkRelay()
        }
        guard state.inFlight == 0 else {
            cancelInFlight()
            return
        }
        releaseHeld()
        if state.flags.contains(.resetOnClose) { worker.io { $0.resetOnClose(state.socket) } }
        worker.io { $0.close(state.socket) }
        let handler = unsafe state.handler
        unsafe state.handler = nil
        state.generation = (state.generation + 1) & OperationID.generationMask
        worker.forget(self)
        unsafe handler?.release()
    }

    private func cancelInFlight() {
        guard !state.flags.contains(.allCancelled) else { return }
        state.flags.insert(.allCancelled)
        worker.io { $0.cancelAll(state.socket) }
        // This one waits on the peer's descriptor, not on ours.
        if state.flags.contains(.pollingWritable) { worker.io { $0.cancel(id(.writable)) } }
    }

    func dropQueue() {
        state.queue.removeAll(in: &worker.core.value.segments) { buffer in
            worker.core.value.buffers.release(buffer, on: worker.backend)
        }
    }

    private func releaseHeld() {
        dropQueue()
        if unsafe state.secure != nil { releaseSession() }
        releasePipe()
    }
}
