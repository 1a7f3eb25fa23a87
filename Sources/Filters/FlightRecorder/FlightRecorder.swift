internal import Engine
internal import Synchronization

/// The last requests of one worker: a ring of records of a fixed size, which the worker writes at the end of each
/// request and the control side reads whenever somebody asks.
///
/// One writer, no lock: each record begins with a word that is odd while the record is written and changes with every
/// use of the place. A reader that finds it odd, or changed behind its copy, has read a record in the making and leaves
/// it out. The worker never waits and allocates nothing.
@safe
package struct FlightRecorder: BitwiseCopyable, @unchecked Sendable {
    /// The first line: how many records were begun so far. Records follow.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    /// Records in the ring.
    package let capacity: Int

    private static let headerWords = 8

    /// Reserves address space; records get memory when they are first written.
    ///
    /// - Parameter capacity: at least 1
    package init(capacity: Int) {
        precondition(capacity > 0, "a ring has a record")
        self.capacity = capacity
        let words = Self.headerWords + capacity * RequestRecord.wordCount
        unsafe cells = StatsBlock.reserveCells(words)
    }

    /// Writes the next record. On the worker only.
    @inline(__always)
    func write(_ body: (borrowing RecordWriter) -> Void) {
        let count = unsafe cells[0].load(ordering: .relaxed)
        let place = Int(count % UInt64(capacity))
        let slot = unsafe cells + (Self.headerWords + place * RequestRecord.wordCount)
        unsafe slot[0].store(count &* 2 &+ 1, ordering: .relaxed)
        // The mark is seen before any of what follows.
        atomicMemoryFence(ordering: .releasing)
        body(unsafe RecordWriter(slot: slot))
        unsafe slot[0].store(count &* 2 &+ 2, ordering: .releasing)
        unsafe cells[0].store(count &+ 1, ordering: .releasing)
    }

    /// The records that are there, the newest first. On any thread, while the worker writes.
    package func read(_ body: (RequestRecord) -> Void) {
        let count = unsafe cells[0].load(ordering: .acquiring)
        var number = count
        while number > 0, count - number < UInt64(capacity) {
            number -= 1
            if let record = record(number) { body(record) }
        }
    }

    /// A copy of one record; nil when the worker has begun to use its place for another.
    private func record(_ number: UInt64) -> RequestRecord? {
        let place = Int(number % UInt64(capacity))
        let slot = unsafe cells + (Self.headerWords + place * RequestRecord.wordCount)
        let mark = number &* 2 &+ 2
        guard unsafe slot[0].load(ordering: .acquiring) == mark else { return nil }
        var record = RequestRecord()
        for word in 1..<RequestRecord.wordCount {
            record.words[word] = unsafe slot[word].load(ordering: .relaxed)
        }
        atomicMemoryFence(ordering: .acquiring)
        return unsafe slot[0].load(ordering: .relaxed) == mark ? record : nil
    }
}
