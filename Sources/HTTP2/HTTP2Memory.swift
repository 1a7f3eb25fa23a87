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
    /// For what each session keeps from its beginning to its end.
    var pages = HTTP2PagePool()

    private static let unitBytes = 16
    /// In front of each block: its size in units, or, where malloc has it, the bytes asked for with `isLarge`.
    private static let headBytes = 8
    static let smallMax = 504
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
}
