internal import Synchronization

/// An accepted socket on its way from one worker to another.
package struct Handover: Equatable {
    package var socket: Int32
    /// Whose it is: `ListenerGroup.id`.
    package var group: UInt32

    package init(socket: Int32, group: UInt32) {
        self.socket = socket
        self.group = group
    }
}

/// The workers of a process, as they know each other: what each says of its load, and a short ring from each to each
/// for the connections that change hands.
///
/// A ring has one writer and one reader, so neither ever waits. A full one takes nothing, and the connection stays where
/// it was accepted.
@safe
package final class WorkerPeers: @unchecked Sendable {
    /// Connections on their way from one worker to one other.
    package static let ringCapacity = 64
    // The entries, then the writer's position and the reader's, on cache lines of their own.
    private static let writeCell = ringCapacity
    private static let readCell = ringCapacity + 16
    private static let ringCells = ringCapacity + 32

    let blocks: [StatsBlock]
    private let mailboxes: [Mailbox]
    /// By sender, then by receiver. Memory comes page by page with use.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>

    /// - Parameter workers: by index
    package convenience init(_ workers: [WorkerThread]) {
        self.init(blocks: workers.map(\.stats), mailboxes: workers.map(\.mailbox))
    }

    package init(blocks: [StatsBlock], mailboxes: [Mailbox]) {
        precondition(blocks.count == mailboxes.count, "a mailbox for each worker")
        self.blocks = blocks
        self.mailboxes = mailboxes
        let count = blocks.count * blocks.count * Self.ringCells
        unsafe cells = ReservedMemory.map(bytes: max(count, 1) * MemoryLayout<UInt64>.stride)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count)
    }

    deinit {
        let count = blocks.count * blocks.count * Self.ringCells
        unsafe ReservedMemory.unmap(cells, bytes: max(count, 1) * MemoryLayout<UInt64>.stride)
    }

    package var count: Int { blocks.count }

    /// Connections that no worker counts, because they are between two. Asked before the workers' own counts it misses
    /// none: a connection is counted before it leaves its ring.
    package var inFlight: UInt64 {
        var sum: UInt64 = 0
        for sender in 0..<count {
            for receiver in 0..<count where sender != receiver { sum += waiting(from: sender, to: receiver) }
        }
        return sum
    }

    // MARK: The sender

    /// - Returns: false when the ring is full
    package func hand(_ handover: Handover, from sender: Int, to receiver: Int) -> Bool {
        let ring = base(sender, receiver)
        let write = load(ring + Self.writeCell, .relaxed)  // its only writer is this thread
        guard write &- load(ring + Self.readCell, .acquiring) < UInt64(Self.ringCapacity) else { return false }
        let entry = UInt64(handover.group) << 32 | UInt64(UInt32(bitPattern: handover.socket))
        unsafe cells[ring + Self.slot(write)].store(entry, ordering: .relaxed)
        unsafe cells[ring + Self.writeCell].store(write &+ 1, ordering: .releasing)
        return true
    }

    /// Wakes `receiver` for what was handed to it.
    func ring(_ receiver: Int) { mailboxes[receiver].ring() }

    /// Sends `message` to all workers but one.
    func tell(allBut worker: Int, _ message: @escaping Mailbox.Message) {
        for (index, mailbox) in mailboxes.enumerated() where index != worker { mailbox.send(message) }
    }

    /// Connections that `sender` has handed to `receiver` and that are not counted there yet.
    package func waiting(from sender: Int, to receiver: Int) -> UInt64 {
        let ring = base(sender, receiver)
        // In this order: the reader's position is never beyond the writer's that is read after it.
        let read = load(ring + Self.readCell, .acquiring)
        return load(ring + Self.writeCell, .acquiring) &- read
    }

    // MARK: The receiver

    package func first(from sender: Int, to receiver: Int) -> Handover? {
        let ring = base(sender, receiver)
        let read = load(ring + Self.readCell, .relaxed)  // its only writer is this thread
        guard load(ring + Self.writeCell, .acquiring) != read else { return nil }
        let entry = load(ring + Self.slot(read), .relaxed)
        return Handover(socket: Int32(bitPattern: UInt32(truncatingIfNeeded: entry)), group: UInt32(entry >> 32))
    }

    package func removeFirst(from sender: Int, to receiver: Int) {
        let cell = base(sender, receiver) + Self.readCell
        let read = load(cell, .relaxed)
        unsafe cells[cell].store(read &+ 1, ordering: .releasing)
    }

    // MARK: Cells

    private static func slot(_ position: UInt64) -> Int { Int(position % UInt64(ringCapacity)) }

    private func base(_ sender: Int, _ receiver: Int) -> Int {
        precondition(sender >= 0 && sender < count && receiver >= 0 && receiver < count, "workers of the process")
        return (sender * count + receiver) * Self.ringCells
    }

    private enum Order { case relaxed, acquiring }

    @inline(__always)
    private func load(_ cell: Int, _ order: Order) -> UInt64 {
        switch order {
        case .relaxed: unsafe cells[cell].load(ordering: .relaxed)
        case .acquiring: unsafe cells[cell].load(ordering: .acquiring)
        }
    }
}
