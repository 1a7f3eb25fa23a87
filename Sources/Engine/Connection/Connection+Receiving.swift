internal import Glibc

/// Receive: one multishot receive per connection that is read from, into the worker's provided buffers.
extension Connection {
    /// Reads until told otherwise. Connections start unread, so that nothing arrives before somebody can
    /// take it.
    public func startReading() {
        guard isOpen, state.flags.isDisjoint(with: [.connecting, .handshaking]) else { return }
        state.flags.remove(.readPaused)
        armReceive()
        if let session = unsafe state.secure {
            unsafe session.pointee.isStarted = true
            if unsafe session.pointee.hasWaiting { scheduleSession() }
        }
    }

    /// Stops reading soon: what the kernel has taken off the socket already still arrives, which the number
    /// of receives in one turn bounds.
    public func pauseReading() {
        guard isOpen, !state.flags.contains(.readPaused) else { return }
        state.flags.insert(.readPaused)
        state.counters.add(to: ConnectionStat.readPauses)
        cancelReceive()
    }

    /// Ends a pause. Without effect when reading is not paused.
    public func resumeReading() {
        guard isOpen, state.flags.contains(.readPaused) else { return }
        if let session = unsafe state.secure {
            guard unsafe session.pointee.isStarted else { return }
            if unsafe session.pointee.hasWaiting { scheduleSession() }
        }
        state.flags.remove(.readPaused)
        if state.flags.contains(.splicing) { markDirty() } else { armReceive() }
    }

    func cancelReceive() {
        guard state.flags.contains(.receiving), !state.flags.contains(.receiveCancelled) else { return }
        state.flags.insert(.receiveCancelled)
        worker.io { $0.cancel(id(.receive)) }
    }

    private static let receiveInFlight: ConnectionState.Flags = [.receiving, .receiveCancelled]
    private static let unreadable: ConnectionState.Flags = [
        .receiving, .readPaused, .parked, .readEnded, .connecting, .spliceWanted, .splicing, .closing,
    ]

    func armReceive() {
        guard state.flags.isDisjoint(with: Self.unreadable) else { return }
        state.flags.insert(.receiving)
        state.inFlight += 1
        if state.flags.contains(.expectsTransfer) {
            worker.io { $0.receiveOnce(state.socket, max: Self.transferHeadBytes, id(.receive)) }
        } else {
            worker.io { $0.receive(state.socket, id(.receive)) }
        }
    }

    /// An answer of the multishot receive.
    func received(_ completion: Completion) {
        let isLast = !completion.flags.contains(.more)
        if isLast {
            state.flags.subtract(Self.receiveInFlight)
            state.inFlight -= 1
        }
        if completion.result > 0 {
            let lease = worker.core.value.buffers.received(completion.buffer, count: Int(completion.result))
            if state.flags.contains(.closing) {
                worker.discard(lease)
            } else {
                deliver(lease)
            }
        } else {
            // The kernel may have picked a buffer before it found that there is nothing to put into it.
            if completion.flags.contains(.buffer) { worker.giveBack(buffer: completion.buffer) }
            if !state.flags.contains(.closing) { receiveEnded(-completion.result) }
        }
        guard isLast else { return }
        if state.flags.contains(.closing) {
            worker.endWhenIdle(self)
        } else if state.flags.contains(.spliceWanted) {
            startSplicingWhenDrained()
        } else {
            armReceive()
        }
    }

    @inline(__always)
    private func deliver(_ lease: consuming Lease) {
        state.counters.add(UInt64(lease.count), to: ConnectionStat.bytesReceived)
        state.bytesReceived &+= UInt64(lease.count)
        if unsafe state.secure != nil { unseal(lease) } else { deliver(plain: lease) }
    }

    /// Bytes for the handler, or for the peer of a relay.
    @inline(__always)
    func deliver(plain lease: consuming Lease) {
        if state.flags.contains(.relaying) {
            state.lastActiveNs = worker.nowNs
            relay(lease)
        } else if state.flags.contains(.lingering) {
            // Not progress of the end: who only sends and never reads would put it off for ever.
            worker.discard(lease)
        } else {
            state.lastActiveNs = worker.nowNs
            // An optional, because a closure cannot consume what it captures.
            var moved: Lease? = consume lease
            notify { $0.onData(moved.take()!, on: self) }
            if let left = moved.take() { worker.discard(left) }
        }
    }

    private func receiveEnded(_ error: Int32) {
        switch error {
        case 0 where hasFailedToSend:
            // Reported to the send already.
            if !handshakeTakesEnd() { socketFailed(ECONNRESET) }
        case 0:
            if unsafe state.secure != nil { socketEnded() } else { sawEnd() }
        case ENOBUFS:
            worker.park(self)
        case ECANCELED:
            break  // paused, or about to splice; a resume that came meanwhile arms it again
        default:
            if !handshakeTakesEnd() { socketFailed(error) }
        }
    }

    /// The peer ended its stream.
    func sawEnd() {
        guard !state.flags.contains(.readEnded) else { return }
        state.flags.insert(.readEnded)
        if state.flags.contains(.lingering) {
            // The peer has said all, but may not have all of ours yet.
            if state.queue.isEmpty, !state.flags.contains(.resetOnClose) { close(state.closeReason) }
            return
        }
        if state.flags.contains(.relaying) {
            peer?.finishWriting()
        } else {
            notify { $0.onEnd(self) }
        }
        closeIfBothEnded()
    }

    func closeIfBothEnded() {
        if state.flags.isSuperset(of: [.readEnded, .writeEnded]) {
            close(hasFailedToSend ? .remoteReset : .finished)
        }
    }
}
