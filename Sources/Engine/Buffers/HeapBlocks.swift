internal import CTLS
internal import Glibc

/// Memory for bytes that the proxy makes itself: heads, copies, what a slow reader leaves behind. Each block is counted
/// by its slices, as receive buffers are.
///
/// Nearly every message has a head, and a chunk the line before it, so blocks of the two sizes that hold them are kept
/// for the next: taking one is two loads. Others come from malloc, by its name: Swift's own raw allocation goes the
/// slower way of posix_memalign.
@safe
struct HeapBlocks {
    /// For the line before a chunk.
    private static let lineSize = 64
    /// For a head, with room for a small body behind it.
    private static let headSize = 4096
    /// Blocks of a size kept for later: 1 MiB at most.
    private static let keptMax = 256

    /// Blocks of one size that wait to be used again: each begins with the address of the next.
    @safe
    private struct Kept {
        var first: UnsafeMutableRawPointer?
        var count = 0

        mutating func take() -> UnsafeMutableRawPointer? {
            guard let block = unsafe first else { return nil }
            unsafe first = block.load(as: UnsafeMutableRawPointer?.self)
            count -= 1
            return unsafe block
        }

        /// False when there are enough.
        mutating func keep(_ block: UnsafeMutableRawPointer) -> Bool {
            guard count < keptMax else { return false }
            unsafe block.storeBytes(of: first, as: UnsafeMutableRawPointer?.self)
            unsafe first = block
            count += 1
            return true
        }
    }

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
    private var lines = Kept()
    private var heads = Kept()

    init() { unsafe entries = .allocate(capacity: 64) }

    /// A block of at least `size` bytes, with one slice.
    mutating func allocate(_ size: Int) -> (index: UInt32, start: UnsafeMutableRawPointer) {
        let capacity = size <= Self.lineSize ? Self.lineSize : max(size, Self.headSize)
        let kept = unsafe capacity == Self.lineSize ? lines.take() : capacity == Self.headSize ? heads.take() : nil
        let start = unsafe kept ?? Self.allocate(capacity)
        let index = takeEntry()
        unsafe entries[Int(index)] = Entry(start: start, capacity: capacity, size: size, references: 1)
        bytes += size
        return unsafe (index, start)
    }

    /// Takes over a block from `rw_record_alloc`, with one slice.
    mutating func adopt(record start: UnsafeMutableRawPointer) -> UInt32 {
        let index = takeEntry()
        unsafe entries[Int(index)] = Entry(
            start: start, capacity: RW_RECORD_BYTES, size: RW_RECORD_BYTES, references: 1)
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
        // All blocks of a record's size come from malloc and may go to the next record.
        if unsafe entry.pointee.capacity == RW_RECORD_BYTES {
            unsafe rw_record_free(start)
        } else {
            let isKept =
                switch unsafe entry.pointee.capacity {
                case Self.lineSize: unsafe lines.keep(start)
                case Self.headSize: unsafe heads.keep(start)
                default: false
                }
            if !isKept { unsafe free(start) }
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
        var (lines, heads) = (lines, heads)
        while let block = unsafe lines.take() ?? heads.take() { unsafe free(block) }
        unsafe entries.deallocate()
    }

    // MARK: Details

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
