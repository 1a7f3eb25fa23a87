internal import Synchronization

/// A bounded queue of bytes from one thread to another, without a lock and without a copy: the producer formats a
/// record where the consumer will find it, and the consumer hands all that is there to one system call.
///
/// A record lies in one piece. One that does not fit behind the others goes to the front, and the bytes left over at
/// the back are skipped. A producer that finds the ring empty goes back to the front too, so that a ring whose
/// consumer keeps up stays within a few pages.
///
///     0        read            write      capacity         0   write      read      last  capacity
///     |.........|################|............|            |####|..........|##########|......|
///                  in order                                          wrapped
///
/// `append` is for one thread, `withReadable` and `consume` are for one other.
@safe
package struct ByteRing: BitwiseCopyable, @unchecked Sendable {
    package enum Outcome: Equatable, Sendable {
        /// - Parameter pending: bytes that wait for the consumer, as far as the producer knows.
        case stored(pending: Int)
        /// There is no room for the record.
        case full
        /// The record is longer than any may be.
        case tooLong
    }

    // Positions on cache lines of their own: each is written by one side and read by the other.
    private let write: UnsafeMutablePointer<Atomic<Int>>
    /// Where the bytes end that are skipped at the back; means something while wrapped. The producer's, as `write`.
    private let last: UnsafeMutablePointer<Atomic<Int>>
    private let read: UnsafeMutablePointer<Atomic<Int>>
    private let bytes: UnsafeMutableRawPointer
    package let capacity: Int

    private static let headerBytes = 4096
    /// An empty ring begins anew when there is at least so much room at the front.
    private static let restartBytes = 65_536

    /// - Parameter capacity: bytes, a multiple of the page size. Memory comes page by page with use.
    package init(capacity: Int) {
        precondition(capacity > 0 && capacity.isMultiple(of: 4096))
        let memory = unsafe ReservedMemory.map(bytes: Self.headerBytes + capacity)
        unsafe write = memory.bindMemory(to: Atomic<Int>.self, capacity: 2)
        unsafe last = write + 1
        unsafe read = (memory + 128).bindMemory(to: Atomic<Int>.self, capacity: 1)
        unsafe bytes = memory + Self.headerBytes
        self.capacity = capacity
    }

    /// Gives the memory back. Neither side may use the ring afterwards.
    package func destroy() { unsafe ReservedMemory.unmap(bytes - Self.headerBytes, bytes: Self.headerBytes + capacity) }

    // MARK: The producer

    /// Appends one record.
    ///
    /// - Parameters:
    ///   - max: bytes that a record may have, at most `capacity`
    ///   - format: writes the record and returns its length; called again with more room when that was more than the
    ///     room it got, and with different bytes written then counting for nothing
    package func append(max: Int, _ format: (UnsafeMutableRawBufferPointer) -> Int) -> Outcome {
        let write = unsafe self.write.pointee.load(ordering: .relaxed)  // its only writer is this thread
        let read = unsafe self.read.pointee.load(ordering: .acquiring)
        if write < read { return store(format, at: write, room: read - write - 1, else: nil, max: max, write, read) }
        let back = (start: write, room: capacity - write)
        let front = (start: 0, room: Swift.max(read - 1, 0))
        let startsAnew = write == read && front.room >= Self.restartBytes
        let (first, second) = startsAnew ? (front, back) : (back, front)
        return store(format, at: first.start, room: first.room, else: second, max: max, write, read)
    }

    private func store(
        _ format: (UnsafeMutableRawBufferPointer) -> Int, at start: Int, room: Int,
        else other: (start: Int, room: Int)?,
        max: Int, _ write: Int, _ read: Int
    ) -> Outcome {
        // start + room <= capacity, and the consumer does not look there before it is published.
        let count = unsafe format(UnsafeMutableRawBufferPointer(start: bytes + start, count: room))
        if count <= room, count <= max { return publish(count, at: start, write, read) }
        if count > max { return .tooLong }
        guard let other, count <= other.room else { return .full }
        return store(format, at: other.start, room: other.room, else: nil, max: max, write, read)
    }

    private func publish(_ count: Int, at start: Int, _ write: Int, _ read: Int) -> Outcome {
        let before = write >= read ? write - read : unsafe last.pointee.load(ordering: .relaxed) - read + write
        if start != write { unsafe last.pointee.store(write, ordering: .relaxed) }
        unsafe self.write.pointee.store(start + count, ordering: .releasing)
        return .stored(pending: before + count)
    }

    // MARK: The consumer

    /// Runs `body` on the bytes that are there, as far as they lie in one piece. There may be more behind them.
    package func withReadable<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        let write = unsafe self.write.pointee.load(ordering: .acquiring)
        var read = unsafe self.read.pointee.load(ordering: .relaxed)  // its only writer is this thread
        var end = write
        if write < read {
            end = unsafe last.pointee.load(ordering: .relaxed)
            if read == end {
                // All of the back is read; what follows is at the front.
                read = 0
                end = write
                unsafe self.read.pointee.store(0, ordering: .releasing)
            }
        }
        return unsafe body(UnsafeRawBufferPointer(start: bytes + read, count: end - read))
    }

    /// The first `count` bytes of those that `withReadable` has shown may be written over.
    package func consume(_ count: Int) {
        let read = unsafe self.read.pointee.load(ordering: .relaxed)
        unsafe self.read.pointee.store(read + count, ordering: .releasing)
    }

    /// Whether all that was appended has been consumed, for whoever watches.
    package var isDrained: Bool {
        unsafe write.pointee.load(ordering: .acquiring) == read.pointee.load(ordering: .acquiring)
    }
}
