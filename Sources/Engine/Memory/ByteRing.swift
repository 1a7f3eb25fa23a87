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
/// `nextPlace` and `publish` are for one thread, `withReadable` and `consume` are for one other.
@safe
package struct ByteRing: BitwiseCopyable, @unchecked Sendable {
    // Positions on cache lines of their own: each is written by one side and read by the other.
    private let write: UnsafeMutablePointer<Atomic<Int>>
    /// Where the bytes end that are skipped at the back; means something while wrapped. The producer's, as `write`.
    private let last: UnsafeMutablePointer<Atomic<Int>>
    private let read: UnsafeMutablePointer<Atomic<Int>>
    /// Where the producer last found the ring empty. Its own.
    private let lastEmpty: UnsafeMutablePointer<Int>
    private let bytes: UnsafeMutableRawPointer
    package let capacity: Int

    /// An empty ring begins anew when there is at least so much room at the front.
    private let restartBytes: Int
    /// So much room at the front is enough while the consumer looks often.
    private let steadyRestartBytes: Int

    private static let headerBytes = 4096

    /// - Parameters:
    ///   - capacity: bytes, a multiple of the page size. Memory comes page by page with use.
    ///   - restartBytes: how much the producer can be sure of after it found the ring empty, and about what a ring
    ///     takes of memory whose consumer keeps up
    ///   - steadyRestartBytes: the same while the consumer looks often, which shows in how much came between the last
    ///     two times that the ring was empty: the room is four times that at least. nil when that makes no difference
    package init(capacity: Int, restartBytes: Int = 65_536, steadyRestartBytes: Int? = nil) {
        precondition(capacity > 0 && capacity.isMultiple(of: 4096))
        let memory = unsafe ReservedMemory.map(bytes: Self.headerBytes + capacity)
        unsafe write = memory.bindMemory(to: Atomic<Int>.self, capacity: 2)
        unsafe last = write + 1
        unsafe lastEmpty = (memory + 64).bindMemory(to: Int.self, capacity: 1)
        unsafe lastEmpty.initialize(to: 0)
        unsafe read = (memory + 128).bindMemory(to: Atomic<Int>.self, capacity: 1)
        unsafe bytes = memory + Self.headerBytes
        self.capacity = capacity
        self.restartBytes = restartBytes
        self.steadyRestartBytes = steadyRestartBytes ?? restartBytes
    }

    /// Gives the memory back. Neither side may use the ring afterwards.
    package func destroy() { unsafe ReservedMemory.unmap(bytes - Self.headerBytes, bytes: Self.headerBytes + capacity) }

    // MARK: The producer

    /// A place for the next record, and another one for when it does not fit there.
    @safe
    package struct Place {
        /// Where to format the record.
        package let memory: UnsafeMutableRawPointer
        /// Bytes that it may have there.
        package let room: Int
        fileprivate let start: Int
        fileprivate let otherStart: Int
        /// -1 without another place.
        fileprivate let otherRoom: Int
        fileprivate let write: Int
        fileprivate let read: Int
    }

    /// Where the next record goes. Nothing is taken before `publish`.
    package func nextPlace() -> Place {
        let write = unsafe self.write.pointee.load(ordering: .relaxed)  // its only writer is this thread
        let read = unsafe self.read.pointee.load(ordering: .acquiring)
        // A ring that is full to the byte before `read` would look empty with one more.
        let frontRoom = max(read - 1, 0)
        if write < read { return place(at: write, room: read - write - 1, otherStart: 0, otherRoom: -1, write, read) }
        if write == read {
            let came = unsafe write - lastEmpty.pointee
            let isRoomy = frontRoom >= restartBytes || frontRoom >= steadyRestartBytes && isSteady(came, frontRoom)
            unsafe lastEmpty.pointee = isRoomy ? 0 : write
            if isRoomy {
                return place(at: 0, room: frontRoom, otherStart: write, otherRoom: capacity - write, write, read)
            }
        }
        return place(at: write, room: capacity - write, otherStart: 0, otherRoom: frontRoom, write, read)
    }

    /// Whether the consumer looks so often that `frontRoom` will do until it looks again, as far as the last time says
    /// anything: where next to nothing came, more may come at once.
    private func isSteady(_ came: Int, _ frontRoom: Int) -> Bool {
        came >= steadyRestartBytes / 16 && came <= frontRoom / 4
    }

    /// The other place, for a record that turned out to be longer than the room in the first one; nil when it does not
    /// fit there either.
    package func otherPlace(than place: Place, for count: Int) -> Place? {
        guard count <= place.otherRoom else { return nil }
        return self.place(
            at: place.otherStart, room: place.otherRoom, otherStart: 0, otherRoom: -1, place.write, place.read)
    }

    private func place(
        at start: Int, room: Int, otherStart: Int, otherRoom: Int, _ write: Int, _ read: Int
    ) -> Place {
        // start + room <= capacity, and the consumer does not look there before it is published.
        unsafe Place(
            memory: bytes + start, room: room, start: start, otherStart: otherStart, otherRoom: otherRoom,
            write: write, read: read)
    }

    /// Hands `count` bytes at `place`, at most its room, over to the consumer.
    ///
    /// - Returns: bytes that wait for the consumer, as far as the producer knows.
    @discardableResult
    package func publish(_ count: Int, at place: Place) -> Int {
        precondition(count <= place.room, "a record lies where there is room for it")
        let (write, read) = (place.write, place.read)
        let before = write >= read ? write - read : unsafe last.pointee.load(ordering: .relaxed) - read + write
        if place.start != write { unsafe last.pointee.store(write, ordering: .relaxed) }
        unsafe self.write.pointee.store(place.start + count, ordering: .releasing)
        return before + count
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
