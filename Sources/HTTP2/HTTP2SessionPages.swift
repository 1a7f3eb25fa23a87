internal import Glibc

/// Pages of one session's own: for the blocks that the library makes with the session and keeps to its end, for the
/// table of its streams and for the buffer that it writes frames in. Most of them is never written to.
///
/// A session at rest can do without them: what they hold, which is zeros but for a few hundred bytes, is packed, the
/// memory goes back to the system, and all of it is put where it was before the library looks again. So nothing here
/// depends on what the library means by it.
@safe
struct HTTP2SessionPages: ~Copyable {
    private let start: UnsafeMutableRawPointer
    /// Bytes of the blocks that are there to stay.
    private var firmCount = 0
    private var hasTable = false
    private var hasBuffer = false
    /// What the pages held, and will hold; nil as long as they do.
    private var packed: UnsafeMutableRawPointer?
    private var packedCount = 0

    static let bytes = 32_768
    static let tableBytes = 4_096
    private static let firmBytes = 8_192
    private static let tableOffset = firmBytes
    private static let bufferOffset = tableOffset + tableBytes
    private static let bufferBytes = bytes - bufferOffset

    /// - Parameter start: zeroed, `bytes` of it, at the beginning of a page
    @unsafe
    init(_ start: UnsafeMutableRawPointer) { unsafe self.start = start }

    deinit { unsafe free(packed) }

    /// Where the pages are, for whoever gets them back.
    @unsafe var address: UnsafeMutableRawPointer { unsafe start }

    /// Memory for a block that is never freed before the session is; nil when there is no room.
    @unsafe
    mutating func takeFirm(_ count: Int) -> UnsafeMutableRawPointer? {
        let rounded = (count + 15) & ~15
        guard rounded <= Self.firmBytes - firmCount else { return nil }
        defer { firmCount += rounded }
        return unsafe start + firmCount
    }

    /// Memory for the table, zeroed; nil when it is not of that size, or there is one.
    @unsafe
    mutating func takeTable(_ count: Int) -> UnsafeMutableRawPointer? {
        guard count == Self.tableBytes, !hasTable else { return nil }
        hasTable = true
        return unsafe memset(start + Self.tableOffset, 0, count)
    }

    /// Memory for the buffer; nil when it is not of about that size, or there is one.
    @unsafe
    mutating func takeBuffer(_ count: Int) -> UnsafeMutableRawPointer? {
        guard (16_384...Self.bufferBytes).contains(count), !hasBuffer else { return nil }
        hasBuffer = true
        return unsafe start + Self.bufferOffset
    }

    /// False when `block` lies elsewhere.
    @unsafe
    mutating func release(_ block: UnsafeMutableRawPointer) -> Bool {
        guard let offset = unsafe offset(of: block) else { return false }
        if offset == Self.tableOffset { hasTable = false }
        if offset == Self.bufferOffset { hasBuffer = false }
        return true
    }

    /// The bytes that can be copied from `block` on, which are as many as it has or more; nil when it lies elsewhere.
    @unsafe
    func readable(from block: UnsafeMutableRawPointer) -> Int? { unsafe offset(of: block).map { Self.bytes - $0 } }

    @unsafe
    private func offset(of block: UnsafeMutableRawPointer) -> Int? {
        let offset = unsafe block - start
        return (0..<Self.bytes).contains(offset) ? offset : nil
    }

    // MARK: Rest

    var isResting: Bool { unsafe packed != nil }

    /// Gives the memory back to the system, until `wake`. Nothing may look at any block in between.
    mutating func rest() {
        guard !isResting else { return }
        let count = size()
        guard let packed = unsafe malloc(max(count, 1)) else { return }
        var offset = 0
        forEachRun { from, words in
            unsafe packed.storeBytes(of: Run(from: from, words: words), toByteOffset: offset, as: Run.self)
            offset += MemoryLayout<Run>.stride
            unsafe (packed + offset).copyMemory(from: start + Int(from) * 8, byteCount: Int(words) * 8)
            offset += Int(words) * 8
        }
        unsafe self.packed = packed
        packedCount = count
        unsafe madvise(start, Self.bytes, MADV_DONTNEED)
    }

    /// Puts everything where it was.
    mutating func wake() {
        guard let packed = unsafe packed else { return }
        var offset = 0
        while offset < packedCount {
            let run = unsafe packed.load(fromByteOffset: offset, as: Run.self)
            offset += MemoryLayout<Run>.stride
            unsafe (start + Int(run.from) * 8).copyMemory(from: packed + offset, byteCount: Int(run.words) * 8)
            offset += Int(run.words) * 8
        }
        unsafe free(packed)
        unsafe self.packed = nil
    }

    /// Words of eight bytes that are not zero, or stand between two that are not.
    private struct Run {
        var from: UInt32
        var words: UInt32
    }

    private func size() -> Int {
        var count = 0
        forEachRun { _, words in count += MemoryLayout<Run>.stride + Int(words) * 8 }
        return count
    }

    private func forEachRun(_ body: (_ from: UInt32, _ words: UInt32) -> Void) {
        let words = unsafe UnsafeRawBufferPointer(start: start, count: Self.bytes).bindMemory(to: UInt64.self)
        var index = 0
        while index < words.count {
            guard unsafe words[index] != 0 else {
                index += 1
                continue
            }
            let from = index
            // A single zero costs no more than the head of another run.
            while index < words.count, unsafe words[index] != 0 || (index + 1 < words.count && words[index + 1] != 0) {
                index += 1
            }
            body(UInt32(from), UInt32(index - from))
        }
    }
}

/// Address space for `HTTP2SessionPages`, used again.
@safe
struct HTTP2PagePool: ~Copyable {
    private var areas: [UnsafeMutableRawPointer]
    private var unused: [UnsafeMutableRawPointer]

    private static let perArea = 32

    init() {
        unsafe areas = []
        unsafe unused = []
    }

    /// No session is left.
    deinit {
        for index in unsafe areas.indices { unsafe munmap(areas[index], Self.perArea * HTTP2SessionPages.bytes) }
    }

    /// Zeroed pages; nil when there is no address space.
    mutating func take() -> HTTP2SessionPages? {
        if unsafe unused.isEmpty { grow() }
        guard let start = unsafe unused.popLast() else { return nil }
        return unsafe HTTP2SessionPages(start)
    }

    /// Takes back pages that nothing is in any more.
    mutating func giveBack(_ pages: consuming HTTP2SessionPages) {
        let start = unsafe pages.address
        unsafe madvise(start, HTTP2SessionPages.bytes, MADV_DONTNEED)
        unsafe unused.append(start)
    }

    private mutating func grow() {
        let bytes = Self.perArea * HTTP2SessionPages.bytes
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let area = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe area != MAP_FAILED else {
            return
        }
        // Huge pages would be given memory where nothing is written.
        unsafe madvise(area, bytes, MADV_NOHUGEPAGE)
        unsafe areas.append(area)
        for index in (0..<Self.perArea).reversed() {
            unsafe unused.append(area + index * HTTP2SessionPages.bytes)
        }
    }
}
