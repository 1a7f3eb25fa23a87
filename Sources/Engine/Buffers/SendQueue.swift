/// One slice that waits to be sent, or is being sent.
@safe
package struct Segment: BitwiseCopyable {
    package var start: UnsafeMutableRawPointer
    package var count: UInt32
    package var buffer: UInt32
    package var next: UInt32

    package static let none = UInt32.max
}

/// What one connection has to send: a list of slices in order, the first `inFlight` of which the kernel has.
///
/// Part of a connection's slot, so it is small; the segments themselves are in the worker's table.
package struct SendQueue: BitwiseCopyable {
    package private(set) var head = Segment.none
    private var tail = Segment.none
    package private(set) var bytes = 0
    package private(set) var segments: UInt32 = 0

    package init() {}

    package var isEmpty: Bool { segments == 0 }

    /// - Returns: false when the segment table is full; the lease is the caller's again then.
    package mutating func append(
        _ start: UnsafeMutableRawPointer, _ count: Int, _ buffer: UInt32, in table: inout SlotTable<Segment>
    ) -> Bool {
        guard let index = table.take() else { return false }
        unsafe table[index] = Segment(start: start, count: UInt32(count), buffer: buffer, next: Segment.none)
        if tail == Segment.none { head = index } else { table[tail].next = index }
        tail = index
        bytes += count
        segments += 1
        return true
    }

    /// Where the last slice ends, and the buffer it lies in; nil when the queue is empty.
    func end(in table: borrowing SlotTable<Segment>) -> (address: UnsafeMutableRawPointer, buffer: UInt32)? {
        guard tail != Segment.none else { return nil }
        let last = table[tail]
        return unsafe (last.start + Int(last.count), last.buffer)
    }

    /// The last slice has grown by `count` bytes that were written behind it.
    mutating func extendLast(by count: Int, in table: inout SlotTable<Segment>) {
        table[tail].count += UInt32(count)
        bytes += count
    }

    /// Takes `sent` bytes off the front and calls `release` for each slice that is through.
    package mutating func advance(
        by sent: Int, in table: inout SlotTable<Segment>, release: (UInt32) -> Void
    ) {
        precondition(sent <= bytes, "more was sent than was queued")
        var left = sent
        bytes -= sent
        while head != Segment.none {
            let segment = table[head]
            if Int(segment.count) > left {
                unsafe table[head].start = segment.start + left
                table[head].count -= UInt32(left)
                return
            }
            left -= Int(segment.count)
            release(segment.buffer)
            table.giveBack(head)
            head = segment.next
            segments -= 1
        }
        tail = Segment.none
    }

    package mutating func removeAll(in table: inout SlotTable<Segment>, release: (UInt32) -> Void) {
        advance(by: bytes, in: &table, release: release)
    }
}
