internal import Glibc

/// One socket of a worker: a small handle, copied freely, valid on its worker's thread.
///
/// The state is in the worker's table (`ConnectionState`). A handle outlives its connection harmlessly:
/// the generation tells it, and every call on a connection that is gone does nothing.
///
/// The way of a byte through here: `received` (Connection+Receiving) → handler, or straight to the peer of a
/// relay → `write` (Connection+Sending) → one send in flight → buffers back to the pool.
@safe
public struct Connection: Equatable {
    /// Whose thread all calls on this connection come from.
    public let worker: Worker
    package let index: UInt32
    package let generation: UInt32

    public static func == (left: Connection, right: Connection) -> Bool {
        left.index == right.index && left.generation == right.generation
    }

    @inline(__always)
    package init(worker: Worker, index: UInt32) {
        self.worker = worker
        self.index = index
        generation = worker.core.value.connections[index].generation
    }

    @inline(__always)
    package var state: ConnectionState {
        @inline(__always) unsafeAddress {
            unsafe UnsafePointer(worker.core.value.connections.address(of: index))
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            unsafe worker.core.value.connections.address(of: index)
        }
    }

    /// Not closed and not about to be.
    public var isOpen: Bool { isCurrent && !state.flags.contains(.closing) }

    @inline(__always)
    var isCurrent: Bool { state.generation == generation }

    @inline(__always)
    func id(_ operation: Operation) -> OperationID {
        OperationID(operation, slot: index, generation: generation)
    }

    /// The other end of the relay that this connection is part of.
    @inline(__always)
    var peer: Connection? {
        let other = state.peer
        return other == ConnectionState.none ? nil : Connection(worker: worker, index: other)
    }

    /// The address of the peer, asked of the kernel; nil when it is gone already.
    public var peerAddress: NetworkAddress? {
        isCurrent ? worker.io { $0.peerAddress(of: state.socket) } : nil
    }

    /// The address that the peer connected to, asked of the kernel.
    public var localAddress: NetworkAddress? {
        isCurrent ? worker.io { $0.localAddress(of: state.socket) } : nil
    }

    /// Bytes that came from the peer so far; 0 when the connection is gone.
    package var bytesReceived: UInt64 { isCurrent ? state.bytesReceived : 0 }
    /// Bytes that went to the peer so far, as far as the kernel has taken them.
    package var bytesSent: UInt64 { isCurrent ? state.bytesSent : 0 }
    /// Bytes that wait to be sent.
    package var bytesQueued: Int { isCurrent ? state.queue.bytes : 0 }

    /// A number that tells this connection from all others of the process for a long time: connections of one slot
    /// begin anew after 2^24 uses of it. Below 2^53, so that every JSON reader gets it right.
    package var number: UInt64 {
        UInt64(worker.index) << 44 | UInt64(generation) << 20 | UInt64(index)
    }

    /// Makes `handler` the one who is told from now on. The connection keeps it alive.
    package func setHandler(_ handler: ConnectionHandler) {
        unsafe precondition(isCurrent && state.handler == nil, "a connection has one handler for life")
        unsafe state.handler = Unmanaged.passRetained(handler)
    }

    /// Runs a hook without touching the handler's reference count.
    @inline(__always)
    func notify(_ body: (ConnectionHandler) -> Void) {
        guard let handler = unsafe state.handler else { return }
        unsafe handler._withUnsafeGuaranteedRef(body)
    }

    // MARK: Idle timeout and deadline

    /// Calls `onIdle` when no bytes went either way for `ns` nanoseconds; 0 turns it off.
    ///
    /// Traffic only notes the time; the timer looks at it when it fires and arms itself again. A message
    /// therefore costs one store, not an operation on the wheel.
    public func setIdleTimeout(ns: UInt64) {
        guard isOpen else { return }
        state.idleTimeoutNs = ns
        state.lastActiveNs = worker.nowNs
        guard state.flags.isDisjoint(with: Self.ownsTimer) else { return }
        // A timer that fires early looks at the time that is set then; one that would be late is set anew.
        if ns > 0, state.timer == .none || state.timerAtNs > worker.nowNs + ns { setTimer(atNs: worker.nowNs + ns) }
    }

    /// Calls `onDeadline` once when the monotonic clock is at `deadlineNs`, instead of when an earlier call said;
    /// `UInt64.max` for never.
    ///
    /// For what nearly always ends in time, such as requests: setting and clearing it are stores. The timer is the idle
    /// timeout's, set anew only where it would come too late.
    package func setDeadline(atNs deadlineNs: UInt64) {
        guard isOpen else { return }
        state.deadlineNs = deadlineNs
        guard deadlineNs < .max, state.flags.isDisjoint(with: Self.ownsTimer) else { return }
        if state.timer == .none || state.timerAtNs > deadlineNs { setTimer(atNs: deadlineNs) }
    }

    /// What the timer is for otherwise.
    private static let ownsTimer: ConnectionState.Flags = [.connecting, .handshaking, .lingering]

    func setTimer(atNs deadlineNs: UInt64) {
        cancelTimer()
        state.timerAtNs = deadlineNs
        state.timer = worker.core.value.timers.schedule(atNs: deadlineNs, token: id(.connectionTimer))
    }

    func cancelTimer() {
        worker.core.value.timers.cancel(state.timer)
        state.timer = .none
    }

    func timerFired() {
        state.timer = .none
        let flags = state.flags
        if flags.contains(.closing) { return }
        if flags.contains(.connecting) {
            close(.connectTimeout)
        } else if flags.contains(.choosing) {
            firstBytesTimedOut()
        } else if flags.contains(.handshaking) {
            handshakeTimedOut()
        } else if flags.contains(.lingering) {
            lingerTimerFired()
        } else {
            timeHasPassed()
        }
    }

    private func timeHasPassed() {
        let idleAtNs = state.idleTimeoutNs > 0 ? state.lastActiveNs + state.idleTimeoutNs : .max
        if state.deadlineNs <= worker.nowNs {
            state.deadlineNs = .max
            if idleAtNs < .max { setTimer(atNs: idleAtNs) }
            notify { $0.onDeadline(self) }
        } else if idleAtNs <= worker.nowNs {
            notify { $0.onIdle(self) }
        } else if min(idleAtNs, state.deadlineNs) < .max {
            setTimer(atNs: min(idleAtNs, state.deadlineNs))
        }
    }
}

extension CloseReason {
    /// What a failed operation on an established socket says about it.
    static func of(error: Int32) -> CloseReason {
        switch error {
        case ECONNRESET, EPIPE, ECONNABORTED: .remoteReset
        case ETIMEDOUT: .transportTimeout
        default: .transportError
        }
    }

    static func ofConnect(error: Int32) -> CloseReason {
        switch error {
        // A Unix socket that is not there, or that nobody listens on, refuses as well.
        case ECONNREFUSED, ENOENT, ECONNRESET: .connectRefused
        case ETIMEDOUT: .connectTimeout
        case EHOSTUNREACH, ENETUNREACH, ENETDOWN, EHOSTDOWN: .connectUnreachable
        default: .connectFailed
        }
    }
}
