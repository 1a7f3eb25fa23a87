/// All that one worker owns. Reached through `Worker` handles, on the worker's thread only.
@safe
package struct WorkerCore {
    let index: Int
    let backend: Unmanaged<IOBackend>
    let stats: StatsBlock
    let own: StatsScope
    let completions: CompletionBatch

    var connections: SlotTable<ConnectionState>
    var segments: SlotTable<Segment>
    var vectors = SendVectorPool()
    var buffers: BufferPool
    var timers: TimerWheel
    var tasks = TimerTasks()
    var pipes: PipePool
    var listeners: [ListenerState] = []
    var nextListenerSerial: UInt32 = 0
    /// Of which other workers have an end that is open.
    var closedListeners: [ListenerState] = []

    var peers: WorkerPeers?
    var load: LoadMeter
    /// Where the next look at the other workers starts.
    var nextCandidate = 0
    /// Workers that were handed connections in this turn.
    var bells = IndexQueue<Int>()

    /// Connections with something to send or splice at the end of the turn.
    var dirty = IndexQueue<UInt32>()
    /// Connections that are closing and have a step to take.
    var ending = IndexQueue<UInt32>()
    /// Connections whose TLS session has a step to take, first come first served.
    var sessions = IndexQueue<OperationID>()
    var tlsMemory: TLSMemory?
    /// Receivers that wait for a buffer, first come first served.
    var parked = IndexQueue<OperationID>()

    /// Monotonic time as of the last wake-up.
    var nowNs: UInt64
    var lastReclaimNs: UInt64 = 0
    var isRunning = true

    /// Whose the CPU time is.
    var meter: CostMeter

    var mailbox: Mailbox?
    /// What the layers above keep for this worker.
    var context: AnyObject?
}

/// The bounds of one worker. Each table refuses beyond its bound; the policy is beside the caller.
package struct WorkerLimits: Sendable, Equatable {
    /// Sockets of both sides. The table is address space only until it is used.
    package var connectionsMax = 1 << 20
    /// Slices queued for sending, over all connections.
    package var segmentsMax = 1 << 20
    package var bufferSize = 32 * 1024
    package var bufferBytesMax = 64 * 1024 * 1024
    package var pipesMax = 1024
    package var pipeBytes = 256 * 1024

    package init() {}
}
