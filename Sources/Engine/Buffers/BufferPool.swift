internal import CTLS
internal import Glibc

/// The receive buffers of one worker, and memory for bytes that the proxy makes itself.
///
/// Receive buffers are slices of one reserved range. The kernel picks one when data arrives, so an idle
/// connection holds none. The ring of provided buffers is first in, first out and walks through all it was
/// given: a small ring stays in the cache, so the pool starts small and doubles when receivers find it
/// empty (`grow`), up to a bound. Buffers come back when the last slice of them was sent or discarded.
///
/// Buffer numbers: below `receiveLimit` a receive buffer; from `heapBase` on a block of heap memory.
@safe
package struct BufferPool {
    package let bufferSize: Int
    package let countMax: Int
    /// Buffers given out to the ring so far, in use or not.
    package private(set) var count = 0
    /// Buffers of which at least one slice is held.
    package private(set) var heldCount = 0
    private let memory: UnsafeMutableRawPointer
    /// From one buffer to the next. Three cache lines more than a buffer has: small messages fill only the first lines
    /// of buffers, and those of buffers at a distance of a power of two would all share a few sets of the cache.
    private let stride: Int
    /// Slices alive per receive buffer.
    private let references: UnsafeMutablePointer<UInt16>
    private var blocks = HeapBlocks()
    private var hasUnpublished = false

    package static let countStart = 64
    package static let heapBase: UInt32 = 0x8000_0000
    /// Bytes of a block that takes any record of TLS.
    static let recordBytes = RW_RECORD_BYTES
    /// Smaller blocks come from the allocator.
    private static let pooledBytesMin = 4 * 1024

    /// - Parameters:
    ///   - bufferSize: bytes a buffer.
    ///   - bytesMax: bound of the whole pool; the ring has a place for each buffer, from 16 (also where the bound
    ///     is lower) to 32,768.
    package init(bufferSize: Int, bytesMax: Int) {
        self.bufferSize = bufferSize
        countMax = Self.places(bufferSize: bufferSize, bytesMax: bytesMax)
        stride = bufferSize + 3 * 64
        unsafe memory = ReservedMemory.map(bytes: stride * countMax)
        unsafe references = ReservedMemory.map(bytes: countMax * MemoryLayout<UInt16>.stride)
            .bindMemory(to: UInt16.self, capacity: countMax)
    }

    /// The largest power of two of buffers that stays within the bound, but at least 16.
    private static func places(bufferSize: Int, bytesMax: Int) -> Int {
        let wanted = min(max(bytesMax / bufferSize, 1), 32768)
        return 1 << (Int.bitWidth - 1 - wanted.leadingZeroBitCount)
    }

    // MARK: Receive buffers

    /// Provides more buffers: the starting number, then twice as many. False when the bound is reached.
    package mutating func grow(on backend: IOBackend) -> Bool {
        guard count < countMax else { return false }
        let target = min(max(count * 2, Self.countStart), countMax)
        for index in count..<target { provide(UInt16(index), on: backend) }
        count = target
        return true
    }

    /// Takes the buffer that the kernel filled.
    package mutating func received(_ buffer: UInt16, count: Int) -> Lease {
        heldCount += 1
        unsafe references[Int(buffer)] = 1
        return unsafe Lease(start: memory + Int(buffer) * stride, count: count, buffer: UInt32(buffer))
    }

    /// Makes buffers that came back during the turn available again.
    package mutating func publish(on backend: IOBackend) {
        guard hasUnpublished else { return }
        hasUnpublished = false
        backend.publishBuffers()
    }

    package var freeCount: Int { count - heldCount }

    private mutating func provide(_ buffer: UInt16, on backend: IOBackend) {
        unsafe backend.provide(buffer, memory + Int(buffer) * stride, bufferSize)
        hasUnpublished = true
    }

    // MARK: Heap blocks

    /// A block of exactly `count` bytes for what the proxy says itself, or for bytes that a slow reader
    /// leaves behind.
    package mutating func allocate(count: Int) -> Lease {
        let (index, start) = unsafe blocks.allocate(count)
        return unsafe Lease(start: start, count: count, buffer: Self.heapBase + index)
    }

    /// A block of at least `count` bytes, at most `recordBytes`, for a record of TLS.
    mutating func allocateRecord(_ count: Int = recordBytes) -> Lease {
        precondition(count <= Self.recordBytes, "a record fits into a block")
        if count < Self.pooledBytesMin { return allocate(count: count) }
        guard let start = unsafe rw_record_alloc() else { fatalError("out of memory") }
        return unsafe adopt(record: start)
    }

    /// The whole of a block from `rw_record_alloc`, which is the pool's from here on.
    mutating func adopt(record start: UnsafeMutableRawPointer) -> Lease {
        let index = unsafe blocks.adopt(record: start)
        return unsafe Lease(start: start, count: Self.recordBytes, buffer: Self.heapBase + index)
    }

    /// Bytes of heap blocks that are in use.
    package var heapBytes: Int { blocks.bytes }

    /// Bytes that can be written behind `end`, where a slice of `buffer` ends: 0 unless it is the only slice of a
    /// heap block.
    func room(in buffer: UInt32, behind end: UnsafeMutableRawPointer) -> Int {
        buffer < Self.heapBase ? 0 : unsafe blocks.room(in: buffer - Self.heapBase, behind: end)
    }

    // MARK: Slices

    /// Adds a slice of `buffer`'s bytes.
    package mutating func retain(_ buffer: UInt32) {
        if buffer < Self.heapBase {
            unsafe references[Int(buffer)] += 1
        } else {
            blocks.retain(buffer - Self.heapBase)
        }
    }

    /// Gives a slice back; the last one of a receive buffer provides it again.
    @inline(__always)
    package mutating func release(_ buffer: UInt32, on backend: IOBackend) {
        if buffer < Self.heapBase {
            let left = unsafe references[Int(buffer)] - 1
            unsafe references[Int(buffer)] = left
            if left == 0 {
                heldCount -= 1
                provide(UInt16(buffer), on: backend)
            }
        } else {
            blocks.release(buffer - Self.heapBase)
        }
    }

    package func destroy() {
        unsafe munmap(memory, stride * countMax)
        unsafe munmap(references, countMax * MemoryLayout<UInt16>.stride)
        blocks.destroy()
    }
}
