internal import Glibc

/// Transfer: a known number of bytes goes from one connection's socket to another's without passing through user space,
/// between bytes that handlers read. What a relay is for streams, this is for one large body.
///
///     receiving ── prepareTransfer ──▶ receive cancelled, destination's queue sent ──▶ onTransfer(.ready)
///         ▲                                                                                │ transfer(count)
///         └── onTransfer(.ended) ◀── all through, end of the source, or no pipe ◀── splicing ◀┘
///
/// The rules of `SpliceRelay` hold here too. Because the number is known, the source is polled only when it has nothing,
/// once each time, and nothing has to be cancelled when the last byte is through.
extension Connection {
    /// Bytes that one transfer moves before others get their turn.
    private static let turnBytes = 256 * 1024
    /// A splice that took less than this has emptied the source, most likely: the poll says when there is more.
    private static let refillBytes = 64 * 1024
    /// What is received of a message whose body is expected to be transferred.
    static let transferHeadBytes = 4 * 1024

    private static let transferStates: ConnectionState.Flags = [.transferring, .spliceWanted, .splicing]
    private static let untransferable: ConnectionState.Flags = [
        .relaying, .transferring, .spliceWanted, .splicing, .readEnded,
    ]

    /// A transfer from here is prepared or under way.
    @inline(__always)
    package var isTransferring: Bool { isCurrent && state.flags.contains(.transferring) }

    /// Says whether the next message from here is likely to have a body that is transferred. If so its head is received
    /// alone, as far as that can be known: what comes with it is copied, and a receive that stays armed would take more.
    package func expectTransfer(_ isExpected: Bool) {
        guard isCurrent else { return }
        if isExpected { state.flags.insert(.expectsTransfer) } else { state.flags.remove(.expectsTransfer) }
    }

    /// Stops receiving here, and asks the handler how many bytes are to go to `destination` (`onTransfer(.ready)`) once
    /// nothing is received any more and all that was written to `destination` is sent. Bytes that were received
    /// meanwhile are delivered before. `destination` must not be written to from then until the transfer has ended,
    /// but from within that hook.
    ///
    /// - Returns: false when there can be no transfer between these two; nothing has changed then.
    package func prepareTransfer(to destination: Connection) -> Bool {
        // What TLS takes or gives has to pass through here.
        guard isOpen, destination.isOpen, state.flags.isDisjoint(with: Self.untransferable),
            unsafe state.secure == nil, unsafe destination.state.secure == nil, mayName(destination),
            destination.mayName(self), worker.core.value.pipes.hasRoom
        else { return false }
        state.peer = destination.index
        destination.state.peer = index
        state.flags.insert([.transferring, .spliceWanted])
        // Not at once: the caller may be a hook that still holds bytes.
        if state.flags.contains(.receiving) { cancelReceive() } else { markDirty() }
        return true
    }

    /// Both directions between two connections may be transferred, but a connection has one peer.
    private func mayName(_ other: Connection) -> Bool {
        state.peer == ConnectionState.none || state.peer == other.index
    }

    /// Sends the next `count` bytes from here to the destination; `.max` for all until the end. For `onTransfer(.ready)`,
    /// which may write to the destination first.
    package func transfer(_ count: UInt64) {
        guard isOpen, state.flags.isSuperset(of: [.transferring, .spliceWanted]), count > 0 else { return }
        state.transferLeft = count
    }

    /// There is to be no transfer after all. For `onTransfer(.ready)`.
    package func cancelTransfer() {
        guard isCurrent, state.flags.contains(.transferring), !state.flags.contains(.splicing) else { return }
        leaveTransfer()
        armReceive()
    }

    /// Bytes that transfers have given to destinations since this was asked last.
    package func takeTransferred() -> UInt64 {
        guard isCurrent else { return 0 }
        let count = state.bytesTransferred
        state.bytesTransferred = 0
        return count
    }

    /// Whether the destination has not taken all at once since this was asked last.
    package func takeTransferHeldUp() -> Bool {
        guard isCurrent else { return false }
        let wasHeldUp = state.flags.contains(.transferHeldUp)
        // As long as its poll is armed it has not taken all yet.
        if !state.flags.contains(.pollingWritable) { state.flags.remove(.transferHeldUp) }
        return wasHeldUp
    }

    func transferWhenDrained() {
        guard isOpen, let destination = peer, state.flags.contains(.spliceWanted), !state.flags.contains(.receiving),
            destination.state.queue.isEmpty, !destination.state.flags.contains(.sending)
        else { return }
        guard !state.flags.contains(.readEnded), destination.isOpen else { return cancelTransfer() }
        if state.transferLeft == 0 {
            notify { $0.onTransfer(.ready, on: self) }
            guard isOpen, state.flags.contains(.spliceWanted) else { return }
            guard state.transferLeft > 0 else { return cancelTransfer() }
            // The handler may have written a line that stands before the bytes.
            guard destination.state.queue.isEmpty else { return }
        }
        worker.core.value.own.add(to: WorkerStat.spliceSwitches)
        state.flags.remove(.spliceWanted)
        state.flags.insert(.splicing)
        markDirty()
    }

    /// Moves what is there, up to `turnBytes`.
    func pumpTransfer() {
        guard isOpen, let destination = peer, state.flags.isDisjoint(with: [.pollingWritable, .pollingReadable]) else {
            return
        }
        var moved = 0
        while moved < Self.turnBytes {
            guard let pipeIndex = borrowPipe() else {
                worker.core.value.own.add(to: WorkerStat.spliceFallbacks)
                return endTransfer()
            }
            let pipe = worker.core.value.pipes[pipeIndex]
            guard empty(pipe, into: destination), state.pipeBytes == 0 else { return }
            if state.transferLeft == 0 { return endTransfer() }
            // Resuming comes back here.
            if state.flags.contains(.readPaused) { return releasePipe() }
            let wanted = Int(min(state.transferLeft, UInt64(pipe.capacity)))
            let taken = fill(pipe, wanted)
            if taken == 0 { return endTransfer(sourceEnded: true) }
            if taken < 0 {
                guard taken == -Int(EAGAIN) else { return close(.of(error: Int32(-taken))) }
                return waitForSource()
            }
            if state.transferLeft != .max { state.transferLeft -= UInt64(taken) }
            moved += taken
            guard empty(pipe, into: destination), state.pipeBytes == 0 else { return }
            if state.transferLeft == 0 { return endTransfer() }
            if taken < wanted, taken < Self.refillBytes { return waitForSource() }
        }
        markDirty()
    }

    private func waitForSource() {
        releasePipe()
        state.flags.insert(.pollingReadable)
        state.inFlight += 1
        worker.io { $0.poll(state.socket, writable: false, multishot: false, id(.readable)) }
    }

    private func endTransfer(sourceEnded: Bool = false) {
        releasePipe()
        leaveTransfer()
        notify { $0.onTransfer(.ended, on: self) }
        guard isOpen else { return }
        if sourceEnded { sawEnd() } else { armReceive() }
    }

    /// The two do not name each other any more, unless the other direction is transferred as well.
    private func leaveTransfer() {
        state.flags.subtract(Self.transferStates)
        state.transferLeft = 0
        guard let other = peer, !other.state.flags.contains(.transferring) else { return }
        state.peer = ConnectionState.none
        other.state.peer = ConnectionState.none
    }
}
