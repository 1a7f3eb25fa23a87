internal import Glibc

/// What happens when receive buffers run short.
///
/// Policy, in this order: the pool grows up to its bound; once half of that is held, what a connection may queue shrinks
/// with what is left, so that many slow readers together leave some to the others; beyond that receivers wait their
/// turn for buffers that come back; and sends that stand still give theirs back, because a peer that does not read must
/// not keep the others from receiving: the rest of such a send is copied into memory of its own, which the connection's
/// high watermark bounds.
extension Worker {
    /// Slices that one connection may have queued before whoever feeds it is stopped.
    ///
    /// When buffers are scarce that is a part of what is left, whatever others hold: with n connections that want all
    /// they can get, each has 1/(n + 16) of the pool, and 16/(n + 16) of it stay free for those that come next (the
    /// dynamic thresholds of Choudhury and Hahne, 1998).
    var segmentsMaxInQueue: UInt32 {
        let left = core.value.buffers.countMax - core.value.buffers.heldCount
        if left * 2 >= core.value.buffers.countMax { return Connection.highWaterSegments }
        return min(max(UInt32(left / 16), Connection.scarceSegmentsMin), Connection.highWaterSegments)
    }

    /// A send that has made no progress for this long counts as standing still when buffers are short.
    static let stalledSendNs: UInt64 = 20_000_000

    /// Takes a lease that nobody needs any more.
    public func discard(_ lease: consuming Lease) {
        let buffer = lease.buffer
        io { core.value.buffers.release(buffer, on: $0) }
    }

    /// A lease of the first `count` bytes of `lease`, which keeps the rest. Nothing is copied.
    public func takeFront(_ count: Int, of lease: inout Lease) -> Lease {
        precondition(count >= 0 && count <= lease.count, "a lease is split within its bytes")
        core.value.buffers.retain(lease.buffer)
        let front = unsafe Lease(start: lease.start, count: count, buffer: lease.buffer)
        lease.dropFirst(count)
        return front
    }

    /// Memory of its own with a copy of `bytes`: for bytes that the proxy makes itself.
    public func copy(_ bytes: RawSpan) -> Lease {
        let lease = core.value.buffers.allocate(count: bytes.byteCount)
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe lease.start.copyMemory(from: base, byteCount: source.count)
        }
        return lease
    }

    /// Memory of its own, filled by `write`, which answers how many of the `capacity` bytes it used.
    public func make(capacity: Int, _ write: (UnsafeMutableRawBufferPointer) -> Int) -> Lease {
        let block = core.value.buffers.allocate(count: capacity)
        let used = unsafe write(UnsafeMutableRawBufferPointer(start: block.start, count: capacity))
        precondition(used >= 0 && used <= capacity, "a lease holds at most its capacity")
        return unsafe Lease(start: block.start, count: used, buffer: block.buffer)
    }

    func giveBack(buffer: UInt16) {
        discard(core.value.buffers.received(buffer, count: 0))
    }

    /// `connection` found no buffer: it is armed again at the end of the turn, or when buffers come back.
    func park(_ connection: Connection) {
        guard !connection.state.flags.contains(.parked) else { return }
        connection.state.flags.insert(.parked)
        core.value.parked.append(connection.id(.receive))
    }

    /// Arms receivers again, oldest first, as many as there are free buffers.
    func wakeParked() {
        guard !core.value.parked.isEmpty else { return }
        // Waiting costs a receive that ended and has to be armed again, several times what a message costs; so
        // the pool grows as soon as a turn has found it empty, also when buffers have come back meanwhile.
        _ = core.value.buffers.grow(on: backend)
        core.value.buffers.publish(on: backend)
        var free = core.value.buffers.freeCount
        while free > 0, let id = core.value.parked.popFirst() {
            let connection = Connection(worker: self, index: id.slot)
            guard connection.generation == id.generation else { continue }
            connection.state.flags.remove(.parked)
            if connection.isOpen {
                connection.armReceive()
                free -= 1
            }
        }
        guard !core.value.parked.isEmpty else { return }
        core.value.own.add(UInt64(core.value.parked.count), to: WorkerStat.bufferWaits)
        reclaimStalledSends()
    }

    /// Cancels sends that stand still, so that `copyOut` frees their buffers. At most once every few
    /// milliseconds: it looks at every connection.
    private func reclaimStalledSends() {
        guard nowNs >= core.value.lastReclaimNs + Self.stalledSendNs / 4 else { return }
        core.value.lastReclaimNs = nowNs
        forEachConnection { connection in
            let flags = connection.state.flags
            guard flags.contains(.sending), flags.isDisjoint(with: [.sendCancelled, .copiedOut]),
                nowNs >= connection.state.sendStartedNs + Self.stalledSendNs
            else { return }
            connection.state.flags.insert(.sendCancelled)
            io { $0.cancel(connection.id(.send)) }
        }
    }

    /// Moves what `connection` has queued out of receive buffers.
    ///
    /// Copied because the buffers are shared by all connections of the worker and this peer does not read.
    func copyOut(_ connection: Connection) {
        let total = connection.state.queue.bytes
        guard total > 0 else { return }
        core.value.own.add(to: WorkerStat.sendsCopied)
        let block = core.value.buffers.allocate(count: total)
        var offset = 0
        var index = connection.state.queue.head
        while index != Segment.none {
            let segment = core.value.segments[index]
            unsafe (block.start + offset).copyMemory(from: segment.start, byteCount: Int(segment.count))
            offset += Int(segment.count)
            index = segment.next
        }
        connection.state.queue.removeAll(in: &core.value.segments) { buffer in
            core.value.buffers.release(buffer, on: backend)
        }
        // Segments were just given back, so one is there.
        let isQueued = unsafe connection.state.queue.append(block.start, total, block.buffer, in: &core.value.segments)
        precondition(isQueued, "a segment was free a moment ago")
        connection.state.flags.insert(.copiedOut)
    }
}

extension Worker {
    /// Gives up the first `count` bytes of `lease`.
    package func dropFirst(_ count: Int, of lease: inout Lease) {
        precondition(count >= 0 && count <= lease.count, "a lease is shortened within its bytes")
        lease.dropFirst(count)
    }

    /// A lease of `count` bytes of `lease` from `offset`. `lease` keeps all of its own. Nothing is copied.
    package func slice(_ lease: borrowing Lease, offset: Int, count: Int) -> Lease {
        precondition(offset >= 0 && count >= 0 && offset + count <= lease.count, "a slice lies within its lease")
        core.value.buffers.retain(lease.buffer)
        return unsafe Lease(start: lease.start + offset, count: count, buffer: lease.buffer)
    }
}
