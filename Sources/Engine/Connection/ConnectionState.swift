/// What the engine keeps of one socket, in a slot of its worker's table that never moves.
///
/// A proxied connection is two of these, and thousands of them are idle at any time: the struct is kept
/// small and plain, and everything that only busy connections need (segments, vectors, pipes, buffers) is
/// borrowed from the worker's pools.
@safe
package struct ConnectionState: BitwiseCopyable {
    package var socket: Int32
    /// Which use of the slot this is; see `OperationID`.
    package var generation: UInt32
    package var flags: Flags
    /// Operations that the kernel has not finished with. The slot is reused only at zero.
    package var inFlight: UInt32

    /// Retained. Released when the slot is given back, never earlier: a hook may be running.
    package var handler: Unmanaged<ConnectionHandler>?
    package var counters: StatsScope
    /// Whose connection this is: the listener's serial number, or `none` for upstream connections.
    package var listener: UInt32

    package var queue: SendQueue
    package var vector: UInt32

    /// The other end of a relay (`Flags.relaying`), or `none`.
    package var peer: UInt32
    /// The pipe that holds bytes of this direction, or `none`.
    package var pipe: UInt32
    package var pipeBytes: UInt32
    /// How much this direction looks like a stream; see `SpliceRelay`.
    package var streamScore: UInt8
    /// Whose work sending is; see `Connection.charge`.
    package var costCell: UInt32 = 0
    /// Bytes that a transfer has still to take from this socket; 0 as long as nobody has said how many.
    package var transferLeft: UInt64 = 0
    /// Bytes that transfers have given to the peer's socket and that the handler has not asked for.
    package var bytesTransferred: UInt64 = 0

    package var closeReason: CloseReason
    package var timer: TimerWheel.ID
    /// When `timer` fires.
    package var timerAtNs: UInt64 = 0
    package var idleTimeoutNs: UInt64
    /// When `onDeadline` is to be called; `UInt64.max` for never.
    package var deadlineNs = UInt64.max
    /// Last time bytes went either way; while lingering, when to give up.
    package var lastActiveNs: UInt64
    /// When a connection that ends must have taken all that is queued.
    package var flushDeadlineNs: UInt64 = 0
    /// When the send in flight was submitted.
    package var sendStartedNs: UInt64
    package var bytesReceived: UInt64 = 0
    /// Bytes that the kernel has taken.
    package var bytesSent: UInt64 = 0
    /// TLS on this connection; nil without.
    var secure: UnsafeMutablePointer<TLSSession>?

    package static let none = UInt32.max

    package struct Flags: OptionSet, BitwiseCopyable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let connecting = Flags(rawValue: 1 << 0)
        /// A receive is armed, or its last answer has not come yet.
        package static let receiving = Flags(rawValue: 1 << 1)
        package static let receiveCancelled = Flags(rawValue: 1 << 2)
        package static let readPaused = Flags(rawValue: 1 << 3)
        /// Waits for a receive buffer.
        package static let parked = Flags(rawValue: 1 << 4)
        /// The peer ended its stream.
        package static let readEnded = Flags(rawValue: 1 << 5)
        package static let sending = Flags(rawValue: 1 << 6)
        package static let sendCancelled = Flags(rawValue: 1 << 7)
        /// In the list of connections that have something to do at the end of the turn.
        package static let dirty = Flags(rawValue: 1 << 8)
        package static let aboveHighWatermark = Flags(rawValue: 1 << 9)
        /// End our stream when the queue is empty.
        package static let finishing = Flags(rawValue: 1 << 10)
        package static let writeEnded = Flags(rawValue: 1 << 11)
        /// What is received goes straight to `peer`.
        package static let relaying = Flags(rawValue: 1 << 12)
        package static let spliceWanted = Flags(rawValue: 1 << 13)
        package static let splicing = Flags(rawValue: 1 << 14)
        /// A readiness poll for this direction's source, or destination, is armed.
        package static let pollingReadable = Flags(rawValue: 1 << 15)
        package static let pollingWritable = Flags(rawValue: 1 << 16)
        package static let pollCancelled = Flags(rawValue: 1 << 17)
        /// Close when all is sent, then wait for the peer's end for a moment.
        package static let closeWhenSent = Flags(rawValue: 1 << 18)
        package static let lingering = Flags(rawValue: 1 << 19)
        package static let resetOnClose = Flags(rawValue: 1 << 20)
        package static let closing = Flags(rawValue: 1 << 21)
        package static let closeNotified = Flags(rawValue: 1 << 22)
        package static let inEndingList = Flags(rawValue: 1 << 23)
        package static let allCancelled = Flags(rawValue: 1 << 24)
        /// All that is queued was copied out of receive buffers.
        package static let copiedOut = Flags(rawValue: 1 << 25)
        /// The handler wants to be asked for what is to be sent (`onFlush`).
        package static let flushWanted = Flags(rawValue: 1 << 30)
        /// A transfer to `peer` is prepared or under way; see `Transfer`.
        package static let transferring = Flags(rawValue: 1 << 31)
        /// Bytes of a transfer had to wait for the destination since the handler asked last.
        package static let transferHeldUp = Flags(rawValue: 1 << 29)
        /// The next message is likely to have a body that is transferred: no more than its head is received.
        package static let expectsTransfer = Flags(rawValue: 1 << 28)
        /// The chain is not chosen yet; see `Connection+ChainChoice`.
        package static let choosing = Flags(rawValue: 1 << 27)
        /// The TLS handshake is not finished: no handler has heard of the connection.
        package static let handshaking = Flags(rawValue: 1 << 26)
    }
}
