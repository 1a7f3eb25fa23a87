internal import CTLS
internal import Glibc

/// Memory for bytes that the proxy makes itself: heads, copies, what a slow reader leaves behind. Each block is counted
/// by its slices, as receive buffers are.
///
/// Nearly every message has a head, so blocks of the size that holds one are kept for the next: taking one is two
/// loads. Others come from malloc, by its name: Swift's own raw allocation goes the slower way of posix_memalign.
@safe
struct HeapBlocks {
    /// Blocks are this large at least, so that a small body has room behind its head.
    static let smallSize = 4096
    /// Small blocks kept for later: 1 MiB.
    private static let keptMax = 256

    @safe
    private struct Entry {
        var start: UnsafeMutableRawPointer?
        var capacity = 0
        /// Bytes that were asked for.
        var size = 0
        var references: UInt32 = 0
        /// The next free entry, while this one is free.
        var nextFree = none
    }

    private static let none = UInt32.max

    /// Bytes that were asked for, of blocks that are in use.
    private(set) var bytes = 0
    private var entries: UnsafeMutablePointer<Entry>
    private var entryCount = 0
    private var entriesMax = 64
    private var firstFree = none
    /// Each kept block begins with the address of the next.
    private var kept: UnsafeMutableRawPointer?
    private var keptCount = 0

    init() { unsafe entries = .allocate(capacity: 64) }

    /// A block of at least `size` bytes, with one slice.
    mutating func allocate(_ size: Int) -> (index: UInt32, start: UnsafeMutableRawPointer) {
        let capacity = max(size, Self.smallSize)
        let start = unsafe capacity == Self.smallSize ? takeSmall() : Self.allocate(capacity)
        let index = takeEntry()
        unsafe entries[Int(index)] = Entry(start: start, capacity: capacity, size: size, references: 1)
        bytes += size
        return unsafe (index, start)
    }

    /// Takes over a block from `rw_record_alloc`, with one slice.
    mutating func adopt(record start: UnsafeMutableRawPointer) -> UInt32 {
        let index = takeEntry()
        unsafe entries[Int(index)] = Entry(start: start, capacity: RW_RECORD_BYTES, size: RW_RECORD_BYTES, references: 1)
        bytes += RW_RECORD_BYTES
        return index
    }

    mutating func retain(_ index: UInt32) {
        precondition(index < entryCount, "a block that was handed out")
        unsafe entries[Int(index)].references += 1
    }

    /// Gives a slice back; with the last one the block is free.
    mutating func release(_ index: UInt32) {
        precondition(index < entryCount, "a block that was handed out")
        let entry = unsafe entries + Int(index)
        unsafe entry.pointee.references -= 1
        guard unsafe entry.pointee.references == 0, let start = unsafe entry.pointee.start else { return }
        unsafe bytes -= entry.pointee.size
        if unsafe entry.pointee.capacity == Self.smallSize, keptCount < Self.keptMax {
            unsafe start.storeBytes(of: kept, as: UnsafeMutableRawPointer?.self)
            unsafe kept = start
            keptCount += 1
        } else if unsafe entry.pointee.capacity == RW_RECORD_BYTES {
            // All blocks of that size come from malloc and may go to the next record.
            unsafe rw_record_free(start)
        } else {
            unsafe free(start)
        }
        unsafe entry.pointee.start = nil
        unsafe entry.pointee.nextFree = firstFree
        firstFree = index
    }

    /// Room behind `end`, which lies in the block, for the holder of its only slice; 0 when there are others.
    func room(in index: UInt32, behind end: UnsafeMutableRawPointer) -> Int {
        precondition(index < entryCount, "a block that was handed out")
        let entry = unsafe entries[Int(index)]
        guard entry.references == 1, let start = unsafe entry.start else { return 0 }
        return unsafe entry.capacity - (end - start)
    }

    func destroy() {
        for index in 0..<entryCount { unsafe free(entries[index].start) }
        var next = unsafe kept
        while let block = unsafe next {
            unsafe next = block.load(as: UnsafeMutableRawPointer?.self)
            unsafe free(block)
        }
        unsafe entries.deallocate()
    }

    // MARK: Details

    private mutating func takeSmall() -> UnsafeMutableRawPointer {
        guard let block = unsafe kept else { return unsafe Self.allocate(Self.smallSize) }
        unsafe kept = block.load(as: UnsafeMutableRawPointer?.self)
        keptCount -= 1
        return unsafe block
    }

    private static func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        guard let block = unsafe malloc(size) else { fatalError("out of memory: \(size) bytes") }
        return unsafe block
    }

    private mutating func takeEntry() -> UInt32 {
        if firstFree != Self.none {
            let index = firstFree
            firstFree = unsafe entries[Int(index)].nextFree
            return index
        }
        if entryCount == entriesMax {
            let larger = UnsafeMutablePointer<Entry>.allocate(capacity: entriesMax * 2)
            unsafe larger.moveInitialize(from: entries, count: entryCount)
            unsafe entries.deallocate()
            unsafe entries = larger
            entriesMax *= 2
        }
        unsafe (entries + entryCount).initialize(to: Entry())
        entryCount += 1
        return UInt32(entryCount - 1)
    }
}
