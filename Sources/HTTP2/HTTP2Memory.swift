internal import CNghttp2
internal import Glibc

/// What the library's sessions on one thread allocate.
///
/// A request makes the library allocate and free a dozen blocks of some dozen bytes, more of them at once than
/// malloc's own quick lists keep: here each size has a list without an end. Blocks that were used once stay for the
/// next request.
@safe
struct HTTP2Memory: ~Copyable {
    /// By size in units of `unitBytes`: the first block of each list, which names the next.
    private let free: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    /// What is left of the newest slab.
    private var slabNext: UnsafeMutableRawPointer?
    private var slabLeft = 0
    private var slabs: [UnsafeMutableRawPointer]
    private var pages = HTTP2PagePool()

    private static let unitBytes = 16
    /// In front of each block: its size in units, or, where malloc has it, the bytes asked for with `isLarge`.
    private static let headBytes = 8
    private static let smallMax = 504
    private static let slabBytes = 8_192
    private static let isLarge: UInt64 = 1 << 63

    init() {
        unsafe slabs = []
        let count = (Self.smallMax + Self.headBytes) / Self.unitBytes + 1
        unsafe free = .allocate(capacity: count)
        unsafe free.initialize(repeating: nil, count: count)
    }

    /// No session is left.
    deinit {
        for index in unsafe slabs.indices { unsafe Glibc.free(slabs[index]) }
        unsafe free.deallocate()
    }

    /// nil without memory.
    @unsafe
    mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        guard count <= Self.smallMax else { return unsafe allocateLarge(count) }
        let units = (count + Self.headBytes + Self.unitBytes - 1) / Self.unitBytes
        if let block = unsafe free[units] {  // smallMax bounds it
            unsafe free[units] = block.load(as: UnsafeMutableRawPointer?.self)
            return unsafe block
        }
        return unsafe carve(units)
    }

    @unsafe
    mutating func release(_ block: UnsafeMutableRawPointer) {
        let head = unsafe Self.head(of: block)
        guard head & Self.isLarge == 0 else { return unsafe Glibc.free(block - Self.unitBytes) }
        unsafe block.storeBytes(of: free[Int(head)], as: UnsafeMutableRawPointer?.self)
        unsafe free[Int(head)] = block
    }

    /// The bytes that `block` has room for.
    @unsafe
    static func room(of block: UnsafeMutableRawPointer) -> Int {
        let head = unsafe head(of: block)
        return head & isLarge == 0 ? Int(head) * unitBytes - headBytes : Int(head & ~isLarge)
    }

    @unsafe
    private static func head(of block: UnsafeMutableRawPointer) -> UInt64 {
        unsafe (block - headBytes).load(as: UInt64.self)
    }

    @unsafe
    private func allocateLarge(_ count: Int) -> UnsafeMutableRawPointer? {
        guard let start = unsafe malloc(count + Self.unitBytes) else { return nil }
        let block = unsafe start + Self.unitBytes
        unsafe (block - Self.headBytes).storeBytes(of: UInt64(count) | Self.isLarge, as: UInt64.self)
        return unsafe block
    }

    /// A new block from the newest slab. What an older one had left is too little for anything.
    @unsafe
    private mutating func carve(_ units: Int) -> UnsafeMutableRawPointer? {
        let bytes = units * Self.unitBytes
        if slabLeft < bytes {
            guard let slab = unsafe malloc(Self.slabBytes) else { return nil }
            unsafe slabs.append(slab)
            // Blocks begin behind their heads, at multiples of what malloc aligns to.
            unsafe slabNext = slab + Self.unitBytes
            slabLeft = Self.slabBytes - Self.unitBytes
        }
        guard let block = unsafe slabNext else { return nil }
        unsafe (block - Self.headBytes).storeBytes(of: UInt64(units), as: UInt64.self)
        unsafe slabNext = block + bytes
        slabLeft -= bytes
        return unsafe block
    }

    // MARK: Pages

    @unsafe
    mutating func takePages() -> UnsafeMutableRawPointer? { unsafe pages.take() }

    @unsafe
    mutating func giveBackPages(_ start: UnsafeMutableRawPointer) { unsafe pages.giveBack(start) }
}

/// The two things of a session that fill pages: the table of its streams, and where it writes frames. Kept apart from
/// everything else, so that a session at rest can do without the memory behind them.
@safe
struct HTTP2SessionPages: ~Copyable {
    /// nil until the first of both is asked for.
    private var start: UnsafeMutableRawPointer?
    private var hasTable = false
    private var hasBuffer = false

    static let tableBytes = 4_096
    static let bytes = 24_576
    private static let bufferBytes = 16_384...bytes - tableBytes

    /// Memory for the table, zeroed; nil when it is not of the size of a page, or there is one.
    @unsafe
    mutating func takeTable(_ count: Int, from memory: UnsafeMutablePointer<HTTP2Memory>) -> UnsafeMutableRawPointer? {
        guard count == Self.tableBytes, !hasTable, let start = unsafe pages(memory) else { return nil }
        hasTable = true
        unsafe memset(start, 0, count)
        return unsafe start
    }

    @unsafe
    mutating func takeBuffer(_ count: Int, from memory: UnsafeMutablePointer<HTTP2Memory>) -> UnsafeMutableRawPointer? {
        guard Self.bufferBytes.contains(count), !hasBuffer, let start = unsafe pages(memory) else { return nil }
        hasBuffer = true
        return unsafe start + Self.tableBytes
    }

    @unsafe
    private mutating func pages(_ memory: UnsafeMutablePointer<HTTP2Memory>) -> UnsafeMutableRawPointer? {
        if unsafe start == nil { unsafe start = memory.pointee.takePages() }
        return unsafe start
    }

    /// False when `block` lies elsewhere.
    @unsafe
    mutating func release(_ block: UnsafeMutableRawPointer) -> Bool {
        guard let start = unsafe start else { return false }
        if hasTable, unsafe block == start {
            hasTable = false
        } else if hasBuffer, unsafe block == start + Self.tableBytes {
            hasBuffer = false
        } else {
            return false
        }
        return true
    }

    /// The bytes that `block` has room for; nil when it lies elsewhere.
    @unsafe
    func room(of block: UnsafeMutableRawPointer) -> Int? {
        guard let start = unsafe start else { return nil }
        if unsafe block == start { return Self.tableBytes }
        return unsafe block == start + Self.tableBytes ? Self.bytes - Self.tableBytes : nil
    }

    /// Gives the memory back to the system until it is written to again: the table's, if it holds nothing but zeros,
    /// which is how it will read, and that of the frames, none of which waits to be sent.
    mutating func rest() {
        guard let start = unsafe start else { return }
        var from = Self.tableBytes
        if unsafe !hasTable || isZero(start, Self.tableBytes) { from = 0 }
        unsafe madvise(start + from, Self.bytes - from, MADV_DONTNEED)
    }

    private func isZero(_ start: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        let words = unsafe UnsafeRawBufferPointer(start: start, count: count).bindMemory(to: UInt64.self)
        return unsafe words.allSatisfy { $0 == 0 }
    }

    /// The session is gone.
    mutating func destroy(_ memory: UnsafeMutablePointer<HTTP2Memory>) {
        if let start = unsafe start { unsafe memory.pointee.giveBackPages(start) }
        unsafe start = nil
    }
}

/// Address space for `HTTP2SessionPages`, used again.
@safe
private struct HTTP2PagePool: ~Copyable {
    private var areas: [UnsafeMutableRawPointer]
    private var free: [UnsafeMutableRawPointer]

    private static let perArea = 32
    /// Of those that nobody has, so many keep their memory.
    private static let warmMax = 16

    init() {
        unsafe areas = []
        unsafe free = []
    }

    deinit {
        for index in unsafe areas.indices { unsafe munmap(areas[index], Self.perArea * HTTP2SessionPages.bytes) }
    }

    @unsafe
    mutating func take() -> UnsafeMutableRawPointer? {
        if unsafe free.isEmpty { grow() }
        return unsafe free.popLast()
    }

    @unsafe
    mutating func giveBack(_ start: UnsafeMutableRawPointer) {
        if unsafe free.count >= Self.warmMax { unsafe madvise(start, HTTP2SessionPages.bytes, MADV_DONTNEED) }
        unsafe free.append(start)
    }

    private mutating func grow() {
        let bytes = Self.perArea * HTTP2SessionPages.bytes
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let area = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe area != MAP_FAILED else {
            return
        }
        // Huge pages would give memory to what is touched nowhere.
        unsafe madvise(area, bytes, MADV_NOHUGEPAGE)
        unsafe areas.append(area)
        for index in (0..<Self.perArea).reversed() {
            unsafe free.append(area + index * HTTP2SessionPages.bytes)
        }
    }
}
