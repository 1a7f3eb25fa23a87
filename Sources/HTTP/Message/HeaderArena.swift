/// Bytes that a head owns besides those it arrived with: names and values that were added or changed.
///
/// Chunks never move and are freed only by `reset()` or with the arena, so a slice of it stays valid until then,
/// however much is added later. The first chunk is kept across resets.
@safe
struct HeaderArena: ~Copyable {
    /// Set in every location that points into an arena rather than into the bytes of a received head.
    static let locationBit: UInt32 = 1 << 31

    // Chunk k holds 1 KiB << k. A location is the bit above, four bits of chunk index, 27 bits of offset.
    private static let chunkCount = 12
    private static let firstChunkBytes = 1024
    private static let offsetBits: UInt32 = 27

    /// Out of line, so that a table is small: it is moved about wherever a head is read or changed.
    private let chunks: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private var current = 0
    private var used = 0

    init() {
        unsafe chunks = .allocate(capacity: Self.chunkCount)
        unsafe chunks.initialize(repeating: nil, count: Self.chunkCount)
    }

    deinit {
        for index in 0..<Self.chunkCount { unsafe chunks[index]?.deallocate() }
        unsafe chunks.deallocate()
    }

    /// The largest value that fits at all, 2 MiB.
    static var bytesMax: Int { firstChunkBytes << (chunkCount - 1) }

    /// Copies `bytes` in and returns the location of the first one, or nil when the arena is full.
    @inline(__always)
    mutating func add(_ bytes: ByteSlice) -> UInt32? {
        guard used &+ bytes.count <= Self.firstChunkBytes &<< current, let chunk = unsafe chunks[current] else {
            return write(room: bytes.count) { $0.append(bytes) }?.location
        }
        // used + count is at most the size of this chunk.
        unsafe bytes.copy(to: chunk + used)
        let location = Self.locationBit | UInt32(truncatingIfNeeded: current &<< Int(Self.offsetBits) | used)
        used &+= bytes.count
        return location
    }

    /// Copies the pieces in one after the other and returns the location of the first byte, or nil when the arena
    /// is full.
    mutating func add(_ first: ByteSlice, _ second: ByteSlice, _ third: ByteSlice) -> UInt32? {
        write(room: first.count + second.count + third.count) { writer in
            writer.append(first)
            writer.append(second)
            writer.append(third)
        }?.location
    }

    /// Runs `body` with room for `room` bytes and keeps as many as it wrote; nil, with `body` not run, when the arena
    /// is full.
    mutating func write(room: Int, _ body: (inout ByteWriter) -> Void) -> TextRange? {
        guard room <= Self.bytesMax else { return nil }
        while used + room > Self.firstChunkBytes << current {
            guard current + 1 < Self.chunkCount else { return nil }
            current += 1
            used = 0
        }
        if unsafe chunks[current] == nil {
            unsafe chunks[current] = .allocate(byteCount: Self.firstChunkBytes << current, alignment: 1)
        }
        guard let chunk = unsafe chunks[current] else { return nil }
        // used + room is at most the size of this chunk. What is written may come from any chunk: none has moved.
        var writer = unsafe ByteWriter(start: chunk + used, capacity: room)
        body(&writer)
        precondition(writer.fits, "more written to an arena than asked for")
        let location = Self.locationBit | UInt32(current) << Self.offsetBits | UInt32(used)
        used += writer.count
        return TextRange(location: location, length: UInt32(writer.count))
    }

    /// The `length` bytes at a location that `add` returned since the last reset.
    func slice(at location: UInt32, length: Int) -> ByteSlice {
        let index = Int(location & ~Self.locationBit) >> Int(Self.offsetBits)
        let offset = Int(location & (1 << Self.offsetBits - 1))
        guard index < Self.chunkCount, let chunk = unsafe chunks[index] else {
            preconditionFailure("a location outside of the arena")
        }
        precondition(offset + length <= Self.firstChunkBytes << index, "a location outside of the arena")
        return unsafe ByteSlice(start: chunk + offset, count: length)  // inside the chunk
    }

    /// Forgets every slice and keeps the first chunk.
    mutating func reset() {
        if current > 0 {
            for index in 1...current {
                unsafe chunks[index]?.deallocate()
                unsafe chunks[index] = nil
            }
        }
        current = 0
        used = 0
    }
}
