/// One worker: a thread pinned to a CPU, with one ring that does its accepts, reads, writes and timers.
///
/// This is the handle that everything on the worker's thread passes around: one pointer, no reference
/// count. The loop is `run`; a turn does what was put off by the last one (flush sends, end connections,
/// return buffers), submits it all and waits in one system call, hands each completion to its connection,
/// and fires timers.
@safe
public struct Worker {
    package let core: Stable<WorkerCore>

    package init(
        index: Int, backend: IOBackend, stats: StatsBlock, limits: WorkerLimits
    ) throws(SystemLack) {
        let nowNs = backend.nowNs()
        core = unsafe Stable(
            WorkerCore(
                index: index,
                backend: unsafe Unmanaged.passRetained(backend),
                stats: stats,
                own: StatsScope(block: stats, base: 0),
                completions: CompletionBatch(),
                connections: SlotTable(capacity: limits.connectionsMax),
                segments: SlotTable(capacity: limits.segmentsMax),
                buffers: BufferPool(bufferSize: limits.bufferSize, bytesMax: limits.bufferBytesMax),
                timers: TimerWheel(nowNs: nowNs, capacity: limits.connectionsMax + 65536),
                pipes: PipePool(countMax: limits.pipesMax, pipeBytes: limits.pipeBytes),
                transferBytesMin: UInt64(limits.transferBytesMin),
                load: LoadMeter(nowNs: nowNs),
                nowNs: nowNs,
                meter: CostMeter(seed: nowNs &+ UInt64(index))))
    }

    /// Which worker of the process this is, from 0.
    public var index: Int { core.value.index }
    /// Monotonic time in nanoseconds as of this turn's last wake-up.
    @inline(__always)
    public var nowNs: UInt64 { core.value.nowNs }

    /// Bytes that are worth a transfer.
    @inline(__always)
    package var transferBytesMin: UInt64 { core.value.transferBytesMin }

    /// What a layer above keeps for this worker; owned by the worker.
    package var context: AnyObject? {
        get { core.value.context }
        nonmutating set { core.value.context = newValue }
    }

    /// Runs an operation on the backend without touching its reference count.
    @inline(__always)
    package func io<R>(_ body: (IOBackend) -> R) -> R {
        unsafe core.value.backend._withUnsafeGuaranteedRef(body)
    }

    package var backend: IOBackend { unsafe core.value.backend.takeUnretainedValue() }

    // MARK: The loop

    /// To be called first, on the worker's thread.
    package func start() throws(SystemLack) {
        try backend.start()
        try backend.registerBuffers(entries: core.value.buffers.countMax)
        _ = core.value.buffers.grow(on: backend)
        core.value.buffers.publish(on: backend)
    }

    package func run() {
        while core.value.isRunning { turn() }
    }

    package func stop() { core.value.isRunning = false }

    /// One turn. Tests call it themselves, on a simulated backend.
    package func turn() {
        finishTurn()
        let count = sleepAndReap()
        if core.value.meter.isMeasuring { core.value.meter.end(core.value.stats) }
        if core.value.meter.turnBegins() { core.value.meter.begin(nowNs: io { $0.nowNs() }) }
        for position in 0..<count {
            dispatch(core.value.completions[position])
            if core.value.meter.isMeasuring { core.value.meter.eventEnded(nowNs: io { $0.nowNs() }) }
        }
        while let token = core.value.timers.advance(toNs: nowNs) {
            timerFired(token)
            if core.value.meter.isMeasuring { core.value.meter.eventEnded(nowNs: io { $0.nowNs() }) }
        }
    }

    private func sleepAndReap() -> Int {
        let own = core.value.own
        let beforeNs = io { $0.nowNs() }
        if core.value.load.isOver(atNs: beforeNs) { publishLoad(beforeNs) }
        let isIdle = core.value.dirty.isEmpty && core.value.sessions.isEmpty
        var wakeNs = isIdle ? core.value.timers.nextWakeNs : beforeNs
        // Sends that stand still are looked for again although nothing else may happen until then.
        if !core.value.parked.isEmpty { wakeNs = min(wakeNs ?? .max, beforeNs + Self.stalledSendNs) }
        let timeoutNs = wakeNs.map { $0 > beforeNs ? $0 - beforeNs : 0 }
        let count = io { $0.wait(timeoutNs: timeoutNs, into: core.value.completions) }
        let afterNs = io { $0.nowNs() }
        own.add(to: WorkerStat.turns)
        own.add(UInt64(count), to: WorkerStat.completions)
        core.value.nowNs = afterNs
        return count
    }

    private func dispatch(_ completion: Completion) {
        let id = completion.id
        guard let operation = id.operation else { return dropStale(completion) }
        switch operation {
        case .receive, .send, .connect, .readable, .writable:
            let connection = Connection(worker: self, index: id.slot)
            guard connection.generation == id.generation else { return dropStale(completion) }
            switch operation {
            case .receive: connection.received(completion)
            case .send:
                chargeSent(on: connection)
                connection.sent(completion)
            case .connect: connection.connected(completion)
            case .readable: connection.sourceReady(completion)
            default: connection.destinationReady(completion)
            }
        case .accept: accepted(completion)
        case .mailbox: readMailbox(completion)
        case .connectionTimer, .listenerTimer, .taskTimer: timerFired(id)
        case .housekeeping: break  // a cancel that found nothing, a close that failed: nobody waits
        }
    }

    private func timerFired(_ token: OperationID) {
        switch token.operation {
        case .listenerTimer: listenerTimerFired(token.slot, generation: token.generation)
        case .taskTimer: taskTimerFired(token)
        default:
            let connection = Connection(worker: self, index: token.slot)
            if connection.generation == token.generation { connection.timerFired() }
        }
    }

    /// An answer for a use of a slot that is over. Its buffer still goes back. (`accepted` closes descriptors
    /// that come too late.)
    private func dropStale(_ completion: Completion) {
        core.value.own.add(to: WorkerStat.staleCompletions)
        if completion.flags.contains(.buffer) { giveBack(buffer: completion.buffer) }
    }

    /// What was put off while completions were handled.
    private func finishTurn() {
        if !core.value.sessions.isEmpty { advanceSessions() }
        // Endings come first and last: closing one connection may write to or close another.
        endConnections()
        for _ in 0..<core.value.dirty.count {
            guard let index = core.value.dirty.popFirst() else { break }
            let connection = Connection(worker: self, index: index)
            if connection.state.flags.contains(.flushWanted) {
                connection.state.flags.remove(.flushWanted)
                if connection.isOpen { connection.notify { $0.onFlush(connection) } }
            }
            connection.state.flags.remove(.dirty)
            connection.splice()
            connection.flush()
        }
        endConnections()
        if !core.value.bells.isEmpty { ringBells() }
        wakeParked()
        io { core.value.buffers.publish(on: $0) }
        publishStats()
    }

    private func publishLoad(_ atNs: UInt64) {
        let own = core.value.own
        let cpuNs = io { $0.cpuTimeNs() }
        let time = core.value.load.time(atNs: atNs, cpuNs: cpuNs)
        own.add(time.busyNs, to: WorkerStat.busyNs)
        own.add(time.idleNs, to: WorkerStat.idleNs)
        let busyPermille = core.value.load.end(atNs: atNs, cpuNs: cpuNs)
        own.set(busyPermille, in: WorkerStat.busyPermille)
        own.set(atNs, in: WorkerStat.loadMeasuredNs)
    }

    private func publishStats() {
        let own = core.value.own
        let backend = io { $0.statistics() }
        own.set(backend.enters, in: WorkerStat.enters)
        own.set(backend.overflows, in: WorkerStat.overflows)
        own.set(UInt64(core.value.connections.inUse), in: WorkerStat.connectionsActive)
        own.set(UInt64(core.value.buffers.heldCount), in: WorkerStat.buffersInUse)
        own.set(UInt64(core.value.buffers.count), in: WorkerStat.buffersProvided)
        own.set(UInt64(core.value.buffers.heapBytes), in: WorkerStat.heapBytes)
        own.set(UInt64(core.value.segments.inUse), in: WorkerStat.segmentsInUse)
        own.set(UInt64(core.value.timers.count), in: WorkerStat.timersArmed)
        own.set(UInt64(core.value.pipes.openCount), in: WorkerStat.pipesOpen)
    }
}
