internal import Engine

/// A descriptor's open file: a stream socket, a listening socket, or an end of a pipe. Operations in flight
/// keep it alive when the descriptor is closed, as in the kernel.
final class SimulatedSocket {
    enum Kind { case stream, listener, pipeReadEnd(SimulatedPipe), pipeWriteEnd(SimulatedPipe) }

    let descriptor: Int32
    let kind: Kind
    /// nil before a connect, and for everything that is not a stream.
    var endpoint: SimulatedEndpoint?
    /// Connections that wait to be accepted.
    var acceptQueue: [SimulatedEndpoint] = []

    // Operations until their last answer was handed out; at most one of each kind.
    var receive: SimulatedOperation?
    var send: SimulatedOperation?
    var connect: SimulatedOperation?
    var accept: SimulatedOperation?
    var readable: SimulatedOperation?
    /// Polls for writing, which other connections arm on this socket.
    var writable: [SimulatedOperation] = []

    /// Something arrived since the poll for reading last answered: such a poll answers on edges.
    var hasNews = false
    var isTouched = false
    /// A close is queued; nothing may be asked of the descriptor any more.
    var isCloseQueued = false
    var resetsOnClose = false
    /// Ids that were used on it, to make stale answers of.
    var usedIDs: [OperationID] = []

    init(descriptor: Int32, kind: Kind) {
        self.descriptor = descriptor
        self.kind = kind
    }

    var operations: [SimulatedOperation] {
        [receive, send, connect, accept, readable].compactMap { $0 } + writable
    }
}

/// A pipe as the kernel has it: so many bytes, in so many slots, each of which holds at most a page.
final class SimulatedPipe {
    static let slotBytes = 4096
    let queue: ByteQueue
    private let slotsMax: Int
    /// Bytes in each slot in use.
    private var slots: [Int] = []
    var openEnds = 2

    init(capacity: Int) {
        queue = ByteQueue(capacity: capacity)
        slotsMax = max(1, capacity / Self.slotBytes)
    }

    /// Bytes that can be added now.
    var room: Int { min(queue.free, (slotsMax - slots.count) * Self.slotBytes) }

    /// Added bytes take slots of their own, also when the last one is not full.
    func added(_ count: Int) {
        var left = count
        while left > 0 {
            slots.append(min(left, Self.slotBytes))
            left -= min(left, Self.slotBytes)
        }
    }

    func removed(_ count: Int) {
        var left = count
        while left > 0 {
            let taken = min(left, slots[0])
            slots[0] -= taken
            left -= taken
            if slots[0] == 0 { slots.removeFirst() }
        }
    }
}

/// An operation from its submission until its last answer was handed out.
final class SimulatedOperation {
    enum Kind { case accept, receive, send, connect, readable, writable }

    @safe
    struct Slice {
        let start: UnsafeRawPointer
        let count: Int
    }

    let kind: Kind
    let id: OperationID
    let socket: SimulatedSocket
    let isMultishot: Bool
    /// The kernel is through with it; answers may still be on their way.
    var isDone = false
    var isCancelled = false
    /// Answers of one operation keep their order.
    var lastReadyNs: UInt64 = 0
    /// Answers that were not handed out yet.
    var answersPending = 0

    /// What a receive takes at most.
    var bytesMax = Int.max

    // A send: what the memory held at submission, and how much the socket has taken.
    var slices: [Slice] = []
    var snapshot: [UInt8] = []
    var total = 0
    var copied = 0

    // A connect.
    weak var address: NetworkAddress?
    var server: SimulatedServer?
    var connectNumber = 0
    var outcome = SimulatedServer.Answer.refuse

    init(_ kind: Kind, _ id: OperationID, _ socket: SimulatedSocket, isMultishot: Bool = false) {
        self.kind = kind
        self.id = id
        self.socket = socket
        self.isMultishot = isMultishot
    }
}

extension SimulatedOperation: CustomStringConvertible {
    var description: String {
        "\(kind) on \(socket.descriptor) of slot \(id.slot)\(total > 0 ? ", \(total) bytes" : "")"
    }
}
