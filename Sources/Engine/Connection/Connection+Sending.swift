internal import Glibc

/// Send: a queue of slices, exactly one send in flight. What queues up behind it leaves in one vectored send.
///
/// Two sends in flight on one stream may be reordered by the kernel, and a gathered send costs little more
/// than a single one; so data that arrives in one turn is sent at its end, together (`flush`).
extension Connection {
    /// Above this the producer is told to stop, per connection.
    package static let highWaterBytes = 256 * 1024
    package static let lowWaterBytes = 64 * 1024
    /// Slices count too: a small message keeps a whole receive buffer until it is sent.
    package static let highWaterSegments: UInt32 = 48
    package static let lowWaterSegments: UInt32 = 12
    /// What each connection may have even when receive buffers are scarce; see `Worker.segmentsMaxInQueue`.
    static let scarceSegmentsMin: UInt32 = 2

    /// Slices up to this size are copied behind the one before.
    private static let joinedMax = 2048

    // Sets of flags that every message is held against; a literal in place allocates in debug builds.
    private static let unwritable: ConnectionState.Flags = [.finishing, .writeEnded, .closeWhenSent]
    private static let unsendable: ConnectionState.Flags = [.sending, .connecting, .closing]
    private static let unfinishable: ConnectionState.Flags = [.sending, .connecting, .handshaking, .closing]
    private static let sendInFlight: ConnectionState.Flags = [.sending, .sendCancelled]
    private static let streamEnds: ConnectionState.Flags = [.finishing, .closeWhenSent]
    // A reset waits until these bytes are acknowledged, and a handshake for what its peer says to them.
    private static let streamGoesOn: ConnectionState.Flags = [.resetOnClose, .handshaking]

    /// Queues `data` and sends it at the end of the turn. On a connection that is closing it is discarded.
    public func write(_ data: consuming Lease) {
        guard data.count > 0, isOpen, state.flags.isDisjoint(with: Self.unwritable) else {
            worker.discard(data)
            return
        }
        if let session = unsafe state.secure { return unsafe writePlain(data, session) }
        if data.count <= Self.joinedMax, joinsLast(data) {
            worker.discard(data)
            return
        }
        let isQueued = unsafe state.queue.append(
            data.start, data.count, data.buffer, in: &worker.core.value.segments)
        guard isQueued else {
            worker.discard(data)
            close(.limit)
            return
        }
        state.flags.remove(.copiedOut)
        markDirty()
        noteQueued(bytes: state.queue.bytes, segments: state.queue.segments)
    }

    /// Tells the producer to stop when too much is queued.
    @inline(__always)
    func noteQueued(bytes: Int, segments: UInt32) {
        let isAbove =
            bytes > Self.highWaterBytes || segments > Self.scarceSegmentsMin && segments > worker.segmentsMaxInQueue
        if isAbove, !state.flags.contains(.aboveHighWatermark) {
            state.flags.insert(.aboveHighWatermark)
            if let source = relaySource { source.pauseReading() } else { notify { $0.onAboveHighWatermark(self) } }
        }
    }

    /// Copies a small slice behind the last one when there is room: a head and a short body leave in a plain send,
    /// which costs less than copying the body does, and the receive buffer is free at once.
    @inline(__always)
    private func joinsLast(_ data: borrowing Lease) -> Bool {
        guard !state.flags.contains(.sending), let end = unsafe state.queue.end(in: worker.core.value.segments),
            unsafe worker.core.value.buffers.room(in: end.buffer, behind: end.address) >= data.count
        else { return false }
        unsafe end.address.copyMemory(from: data.start, byteCount: data.count)
        state.queue.extendLast(by: data.count, in: &worker.core.value.segments)
        return true
    }

    /// Copies `bytes` into memory of their own and queues them: for what the proxy says itself.
    public func write(copying bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        write(worker.copy(bytes))
    }

    /// Has the handler's `onFlush` called at the end of this turn, before what is queued is sent. For handlers that
    /// make one piece of what many have to say.
    package func requestFlush() {
        guard isOpen, !state.flags.contains(.flushWanted) else { return }
        state.flags.insert(.flushWanted)
        markDirty()
    }

    /// Ends our stream when all that is queued was sent.
    public func finishWriting() {
        guard isOpen, state.flags.isDisjoint(with: [.finishing, .writeEnded]) else { return }
        state.flags.insert(.finishing)
        if unsafe state.secure != nil { endSession() }
        finishIfSent()
    }

    /// The connection whose received bytes this one sends, when they are relayed without a handler.
    private var relaySource: Connection? {
        guard let source = peer, source.state.flags.contains(.relaying) else { return nil }
        return source
    }

    @inline(__always)
    func markDirty() {
        if state.flags.contains(.dirty) { return }
        state.flags.insert(.dirty)
        worker.core.value.dirty.append(index)
    }

    /// Submits a send of all that is queued, unless one is in flight.
    func flush() {
        if unsafe state.secure != nil { seal() }
        guard state.flags.isDisjoint(with: Self.unsendable), !state.queue.isEmpty else { return }
        state.flags.insert(.sending)
        state.inFlight += 1
        state.sendStartedNs = worker.nowNs
        // Our end follows at once, in the last packet of these bytes instead of one of its own.
        let endsStream =
            !state.flags.isDisjoint(with: Self.streamEnds) && state.flags.isDisjoint(with: Self.streamGoesOn)
        let first = worker.core.value.segments[state.queue.head]
        if state.queue.segments == 1 {
            worker.io {
                unsafe $0.send(state.socket, first.start, Int(first.count), endsStream: endsStream, id(.send))
            }
        } else {
            let vector = gather()
            worker.io { $0.send(state.socket, vector, endsStream: endsStream, id(.send)) }
        }
    }

    private func gather() -> SendVector {
        let vectorIndex = worker.core.value.vectors.take()
        state.vector = vectorIndex
        let vector = worker.core.value.vectors[vectorIndex]
        var count = 0
        var segmentIndex = state.queue.head
        while segmentIndex != Segment.none, count < SendVector.slicesMax {
            let segment = worker.core.value.segments[segmentIndex]
            unsafe vector.set(count, segment.start, Int(segment.count))
            count += 1
            segmentIndex = segment.next
        }
        vector.finish(count: count)
        return vector
    }

    /// The answer of the send in flight.
    func sent(_ completion: Completion) {
        state.inFlight -= 1
        let wasCancelled = state.flags.contains(.sendCancelled)
        state.flags.subtract(Self.sendInFlight)
        if state.vector != ConnectionState.none {
            worker.core.value.vectors.giveBack(state.vector)
            state.vector = ConnectionState.none
        }
        if state.flags.contains(.closing) {
            worker.endWhenIdle(self)
            return
        }
        // EAGAIN: the kernel has polled for a slow reader so often that it gives up (128 times, APOLL_MAX_RETRY). It is
        // asked again; it would have answered with what it had sent, so nothing was.
        if completion.result < 0, completion.result != -EAGAIN, !(completion.result == -ECANCELED && wasCancelled) {
            sendFailed(-completion.result)
            return
        }
        if completion.result > 0 { advance(by: Int(completion.result)) }
        if wasCancelled { worker.copyOut(self) }
        if state.queue.isEmpty { drained() } else { markDirty() }
    }

    // What stands in the way of hearing a peer to its end.
    private static let unheard: ConnectionState.Flags = [
        .receiveCancelled, .readPaused, .readEnded, .writeEnded, .lingering, .spliceWanted,
    ]

    /// A peer that has reset the connection may have said why: an answer that came before the end of the request, an
    /// alert, GOAWAY. That is in the socket still, and is received first. It ends at once, for nothing more can come.
    func sendFailed(_ error: Int32) {
        guard CloseReason.of(error: error) == .remoteReset, state.flags.contains(.receiving),
            state.flags.isDisjoint(with: Self.unheard)
        else { return socketFailed(error) }
        state.flags.remove(.finishing)
        state.flags.insert(.writeEnded)
        dropQueue()
    }

    /// The peer does not take any more; see `sendFailed`.
    var hasFailedToSend: Bool {
        state.flags.contains(.writeEnded) && state.flags.isDisjoint(with: [.finishing, .closeWhenSent])
    }

    @inline(__always)
    private func advance(by count: Int) {
        state.lastActiveNs = worker.nowNs
        state.counters.add(UInt64(count), to: ConnectionStat.bytesSent)
        state.bytesSent &+= UInt64(count)
        state.queue.advance(by: count, in: &worker.core.value.segments) { buffer in
            worker.io { worker.core.value.buffers.release(buffer, on: $0) }
        }
        if state.flags.contains(.aboveHighWatermark), state.queue.bytes <= Self.lowWaterBytes,
            state.queue.segments <= min(Self.lowWaterSegments, worker.segmentsMaxInQueue / 2)
        {
            state.flags.remove(.aboveHighWatermark)
            if let source = relaySource { source.resumeReading() } else { notify { $0.onBelowLowWatermark(self) } }
        }
    }

    private func drained() {
        finishIfSent()
        if state.flags.contains(.closeWhenSent) { linger() }
        if let source = peer, source.state.flags.contains(.spliceWanted) { source.startSplicingWhenDrained() }
    }

    func finishIfSent() {
        guard state.flags.contains(.finishing), !state.flags.contains(.writeEnded), state.queue.isEmpty,
            state.flags.isDisjoint(with: Self.unfinishable)
        else { return }
        state.flags.insert(.writeEnded)
        // When the peer has ended its stream as well, closing says the same with one call less.
        if !state.flags.contains(.readEnded) { worker.io { $0.shutdownWrite(state.socket) } }
        closeIfBothEnded()
    }
}
