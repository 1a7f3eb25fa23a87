internal import Glibc

/// A table of plain values whose slots never move, with a free list: connections, timers, segments.
///
/// The address range for `capacity` slots is reserved at once and gets memory page by page when slots are
/// first used, so an index turns into an address with one addition and an idle proxy stays small.
/// Slots are reused last-in first-out, which keeps the lines in use warm.
@safe
package struct SlotTable<Value: BitwiseCopyable> {
    private let slots: UnsafeMutablePointer<Value>
    private let free: UnsafeMutablePointer<UInt32>
    package let capacity: Int
    private var freeCount = 0
    /// Slots below this index have been handed out at least once.
    package private(set) var highWater = 0

    /// - Parameter capacity: most slots in use at once; taking more answers nil.
    package init(capacity: Int) {
        precondition(capacity > 0 && capacity <= Int(UInt32.max))
        unsafe slots = Self.reserve(capacity, of: Value.self)
        unsafe free = Self.reserve(capacity, of: UInt32.self)
        self.capacity = capacity
    }

    /// An unused slot, or nil when the table is full. What a slot held before is still there.
    package mutating func take() -> UInt32? {
        if freeCount > 0 {
            freeCount -= 1
            return unsafe free[freeCount]  // below freeCount every entry was written by giveBack
        }
        guard highWater < capacity else { return nil }
        highWater += 1
        return UInt32(highWater - 1)
    }

    package mutating func giveBack(_ index: UInt32) {
        unsafe free[freeCount] = index  // a slot is given back once, so freeCount stays below capacity
        freeCount += 1
    }

    package var inUse: Int { highWater - freeCount }

    package subscript(index: UInt32) -> Value {
        @inline(__always) unsafeAddress {
            unsafe UnsafePointer(slots + Int(index))
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            unsafe slots + Int(index)
        }
    }

    /// Where the kernel finds slot `index`.
    package func address(of index: UInt32) -> UnsafeMutablePointer<Value> {
        unsafe slots + Int(index)
    }

    package func destroy() {
        unsafe munmap(slots, capacity * MemoryLayout<Value>.stride)
        unsafe munmap(free, capacity * MemoryLayout<UInt32>.stride)
    }

    private static func reserve<T>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
        unsafe ReservedMemory.map(bytes: count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: count)
    }
}

/// Zeroed address space that gets memory page by page when it is first touched.
enum ReservedMemory {
    static func map(bytes: Int) -> UnsafeMutableRawPointer {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
        precondition(unsafe address != MAP_FAILED, "the address space for \(bytes) bytes is not there")
        return unsafe address!
    }

    static func unmap(_ address: UnsafeMutableRawPointer, bytes: Int) { unsafe munmap(address, bytes) }
}
