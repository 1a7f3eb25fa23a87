/// What a session knows of one stream.
@safe
struct HTTP2StreamState {
    var id: Int32 = 0
    var flags: Flags = []
    /// Bytes of the peer's body that `Content-Length` still promises; -1 for a body without.
    var contentLeft: Int64 = -1
    /// Bytes of the peer's body so far.
    var received: UInt64 = 0
    /// Bytes of our body that wait to be sent.
    var queuedBytes = 0
    /// Our window for it, in bytes; 0 as long as it is the one that all streams begin with.
    var grownWindow: Int32 = 0
    /// Trailers that wait behind our body: an index into the session's table, -1 for none.
    var trailers: Int32 = -1

    struct Flags: OptionSet {
        let rawValue: UInt16
        static let isUsed = Flags(rawValue: 1 << 0)
        /// The peer's head (a final one, if a response) was complete.
        static let headReceived = Flags(rawValue: 1 << 1)
        /// The peer's message is complete.
        static let endReceived = Flags(rawValue: 1 << 2)
        /// Nothing of the peer's message is handed on any more.
        static let isIgnored = Flags(rawValue: 1 << 3)
        /// Our head was submitted.
        static let headSent = Flags(rawValue: 1 << 4)
        /// Our body is complete.
        static let endQueued = Flags(rawValue: 1 << 5)
        /// The library waits to be told that there is more of our body.
        static let isDeferred = Flags(rawValue: 1 << 6)
        /// RST_STREAM was submitted.
        static let isReset = Flags(rawValue: 1 << 7)
        /// The library has forgotten the stream.
        static let isClosed = Flags(rawValue: 1 << 8)
        /// More was queued than the high mark; `drained` is due.
        static let isAboveHighMark = Flags(rawValue: 1 << 9)
    }
}

/// Growing storage of stream states whose slots are used again.
@safe
struct HTTP2StreamTable: ~Copyable {
    private var states: UnsafeMutablePointer<HTTP2StreamState>
    private var capacity = 1
    private var count = 0
    private var free: [UInt32] = []

    init() {
        unsafe states = .allocate(capacity: 1)
    }

    deinit { unsafe states.deallocate() }  // states are trivial

    /// Slots in use.
    var inUse: Int { count - free.count }

    /// One more than the highest slot that was ever used.
    var slots: Int { count }

    mutating func take(id: Int32) -> UInt32 {
        let slot: UInt32
        if let last = free.popLast() {
            slot = last
        } else {
            if count == capacity { grow() }
            slot = UInt32(count)
            count += 1
        }
        var state = HTTP2StreamState()
        state.id = id
        state.flags = .isUsed
        unsafe (states + Int(slot)).initialize(to: state)  // slot < count <= capacity
        return slot
    }

    mutating func giveBack(_ slot: UInt32) {
        self[slot].flags = []
        free.append(slot)
    }

    subscript(slot: UInt32) -> HTTP2StreamState {
        unsafeAddress {
            precondition(Int(slot) < count, "a slot that was never used")
            return unsafe UnsafePointer(states + Int(slot))
        }
        unsafeMutableAddress {
            precondition(Int(slot) < count, "a slot that was never used")
            return unsafe states + Int(slot)
        }
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<HTTP2StreamState>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: states, count: count)
        unsafe states.deallocate()
        unsafe states = larger
        capacity *= 2
    }
}
