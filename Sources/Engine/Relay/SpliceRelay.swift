internal import Glibc

/// Splice: a direction that streams moves from buffers to a pipe between the two sockets, so that its bytes
/// no longer pass through user space; and back when it stops streaming.
///
///     buffers ── streams ──▶ receive cancelled, queue drained ──▶ splicing
///        ▲                                                           │
///        └──────── poll cancelled, pipe empty ◀── small events ──────┘
///
/// Bytes stay in order because nothing is spliced before the last answer of the receive is in and everything
/// that it brought is sent, and nothing is received before the pipe is empty and the poll has ended. The
/// ring only says when a socket is ready; splice(2) itself runs here, non-blocking (the ring's own splice
/// always goes through a kernel thread).
extension Connection {
    /// A full buffer counts this much towards streaming, a part of one counts one against it.
    private static let fullBufferScore: UInt8 = 2
    private static let spliceAtScore: UInt8 = 5
    /// Events that moved less than this are small; so many in a row end splicing.
    private static let smallEventBytes = 16 * 1024
    private static let smallEventsMax: UInt8 = 8
    /// Bytes one direction moves before others get their turn.
    private static let pumpBudgetBytes = 1 << 20

    private static let unspliceable: ConnectionState.Flags = [.spliceWanted, .readPaused, .readEnded, .closing]
    private static let spliceStates: ConnectionState.Flags = [.spliceWanted, .splicing]
    private static let pollInFlight: ConnectionState.Flags = [.pollingReadable, .pollCancelled]

    @inline(__always)
    func noteForSplicing(isFull: Bool) {
        if !isFull {
            if state.streamScore > 0 { state.streamScore -= 1 }
            return
        }
        state.streamScore += Self.fullBufferScore
        if state.streamScore >= Self.spliceAtScore { wantSplicing() }
    }

    private func wantSplicing() {
        state.streamScore = 0
        // What TLS takes or gives has to pass through here.
        guard state.flags.isDisjoint(with: Self.unspliceable), unsafe state.secure == nil,
            unsafe peer?.state.secure == nil
        else { return }
        state.flags.insert(.spliceWanted)
        if state.flags.contains(.receiving) { cancelReceive() } else { startSplicingWhenDrained() }
    }

    /// Called when the receive has ended, and when the peer's queue is empty: both must be.
    func startSplicingWhenDrained() {
        if state.flags.contains(.transferring) { return transferWhenDrained() }
        guard let destination = peer, state.flags.contains(.spliceWanted), !state.flags.contains(.receiving),
            destination.state.queue.isEmpty, !destination.state.flags.contains(.sending)
        else { return }
        state.flags.remove(.spliceWanted)
        guard !state.flags.contains(.readEnded), isOpen, destination.isOpen else { return }
        worker.core.value.own.add(to: WorkerStat.spliceSwitches)
        state.flags.insert(.splicing)
        state.streamScore = 0
        // Data may wait already, and a poll would have to come round first.
        markDirty()
        armReadablePoll()
    }

    private func armReadablePoll() {
        guard !state.flags.contains(.pollingReadable), !state.flags.contains(.readEnded) else { return }
        state.flags.insert(.pollingReadable)
        state.inFlight += 1
        worker.io { $0.poll(state.socket, writable: false, multishot: true, id(.readable)) }
    }

    /// The source has bytes, an end or an error.
    func sourceReady(_ completion: Completion) {
        if !completion.flags.contains(.more) {
            state.flags.subtract(Self.pollInFlight)
            state.inFlight -= 1
        }
        if state.flags.contains(.closing) {
            worker.endWhenIdle(self)
            return
        }
        if state.flags.contains(.choosing) { return firstBytesReady(completion.result) }
        guard state.flags.contains(.splicing) else {
            // Splicing has ended and this was the cancelled poll.
            armReceive()
            return
        }
        if !state.flags.contains(.pollingWritable) { markDirty() }
        if !state.flags.contains(.transferring) { armReadablePoll() }
    }

    /// The destination takes bytes again, or has failed.
    func destinationReady(_ completion: Completion) {
        state.flags.remove(.pollingWritable)
        state.inFlight -= 1
        if state.flags.contains(.closing) {
            worker.endWhenIdle(self)
        } else if state.flags.contains(.splicing) {
            markDirty()
        }
    }

    /// What this direction has to do at the end of a turn.
    @inline(__always)
    func splice() {
        if state.flags.isDisjoint(with: Self.spliceStates) { return }
        if !state.flags.contains(.splicing) {
            startSplicingWhenDrained()
        } else if state.flags.contains(.transferring) {
            pumpTransfer()
        } else {
            pump()
        }
    }

    /// Moves what is there: into the pipe, out of the pipe, until either socket has enough.
    private func pump() {
        guard isOpen, let destination = peer, state.flags.contains(.splicing),
            !state.flags.contains(.pollingWritable)
        else { return }
        var moved = 0
        while moved < Self.pumpBudgetBytes {
            guard let pipeIndex = borrowPipe() else {
                stopSplicing()
                worker.core.value.own.add(to: WorkerStat.spliceFallbacks)
                return
            }
            let pipe = worker.core.value.pipes[pipeIndex]
            // What an earlier turn left goes first: EAGAIN from a pipe that is full would look like a source that
            // is empty, and the source may have sent its last byte already.
            guard empty(pipe, into: destination) else { return }
            guard state.pipeBytes == 0 else { break }
            let taken = fill(pipe, pipe.capacity)
            if taken < 0, taken != -Int(EAGAIN) {
                close(.of(error: Int32(-taken)))
                return
            }
            moved += max(taken, 0)
            guard empty(pipe, into: destination) else { return }
            guard state.pipeBytes == 0 else { break }  // the destination is full; its poll is armed
            if taken == 0 {
                releasePipe()
                sawEnd()
                return
            }
            if taken < 0 {
                releasePipe()
                judge(moved)
                return
            }
        }
        // The budget is spent and more may wait: no new event will say so.
        if state.pipeBytes == 0 { markDirty() }
    }

    /// Bytes taken from the source into the empty pipe, 0 at the source's end, or a negative errno.
    func fill(_ pipe: PipePool.Pipe, _ count: Int) -> Int {
        if state.flags.contains(.readEnded) { return 0 }
        let taken = worker.io { $0.splice(from: state.socket, to: pipe.write, count: count, more: false) }
        guard taken > 0 else { return taken }
        state.pipeBytes = UInt32(taken)
        noteActivity()
        state.counters.add(UInt64(taken), to: ConnectionStat.bytesReceived)
        state.bytesReceived &+= UInt64(taken)
        state.counters.add(UInt64(taken), to: ConnectionStat.bytesSpliced)
        return taken
    }

    /// False when the destination failed.
    func empty(_ pipe: PipePool.Pipe, into destination: Connection) -> Bool {
        while state.pipeBytes > 0 {
            guard !destination.hasFailedToSend else { return false }  // its end is on the way
            let given = worker.io {
                $0.splice(from: pipe.read, to: destination.state.socket, count: Int(state.pipeBytes), more: false)
            }
            if given > 0 {
                state.pipeBytes -= UInt32(given)
                noteActivity()
                destination.state.counters.add(UInt64(given), to: ConnectionStat.bytesSent)
                destination.state.bytesSent &+= UInt64(given)
                state.bytesTransferred &+= UInt64(given)
                continue
            }
            if given == -Int(EAGAIN) {
                waitForDestination(destination)
                return true
            }
            destination.sendFailed(Int32(-given))
            return false
        }
        return true
    }

    private func waitForDestination(_ destination: Connection) {
        state.flags.insert(.transferHeldUp)
        guard !state.flags.contains(.pollingWritable) else { return }
        state.flags.insert(.pollingWritable)
        state.inFlight += 1
        worker.io { $0.poll(destination.state.socket, writable: true, multishot: false, id(.writable)) }
    }

    private func noteActivity() {
        state.lastActiveNs = worker.nowNs
        peer?.state.lastActiveNs = worker.nowNs
    }

    /// Small events in a row: this no longer streams.
    private func judge(_ moved: Int) {
        if moved >= Self.smallEventBytes {
            state.streamScore = 0
            return
        }
        state.streamScore += 1
        if state.streamScore >= Self.smallEventsMax { stopSplicing() }
    }

    /// Back to buffers. The pipe is empty; the receive is armed when the poll has ended.
    private func stopSplicing() {
        state.flags.remove(.splicing)
        state.streamScore = 0
        guard state.flags.contains(.pollingReadable) else {
            armReceive()
            return
        }
        guard !state.flags.contains(.pollCancelled) else { return }
        state.flags.insert(.pollCancelled)
        worker.io { $0.cancel(id(.readable)) }
    }

    /// The relay has ended: what is in the pipe has nowhere to go.
    func abandonSplicing() {
        releasePipe()
        // This poll is on the destination's descriptor, which is about to be closed.
        if state.flags.contains(.pollingWritable) { worker.io { $0.cancel(id(.writable)) } }
        stopSplicing()
    }

    // MARK: Pipes

    func borrowPipe() -> UInt32? {
        if state.pipe == ConnectionState.none {
            state.pipe = worker.core.value.pipes.take(on: worker.backend) ?? ConnectionState.none
        }
        return state.pipe == ConnectionState.none ? nil : state.pipe
    }

    func releasePipe() {
        guard state.pipe != ConnectionState.none else { return }
        let isEmpty = state.pipeBytes == 0
        worker.core.value.pipes.giveBack(state.pipe, isEmpty: isEmpty, on: worker.backend)
        state.pipe = ConnectionState.none
        state.pipeBytes = 0
    }
}
