/// A read-only view of bytes that somebody else keeps in place: a receive buffer, a message head, an arena.
///
/// This is the one type through which the module reads memory. Two facts make it safe:
/// - whoever makes one from a pointer promises, by writing `unsafe`, that the bytes stay at that address and do not
///   change until the message they belong to is reset (see `RequestHead.reset()`);
/// - every read is checked against `count`, so a slice never reads past its own end, whatever the offset.
///
/// It is two words, trivially copied, and owns nothing.
@safe
public struct ByteSlice {
    @usableFromInline let start: UnsafeRawPointer
    /// Bytes in view.
    public let count: Int

    /// Views `count` bytes at `start`.
    ///
    /// The caller keeps them allocated and unchanged for as long as this slice, or a message head parsed from it,
    /// is in use.
    @unsafe @inlinable
    public init(start: UnsafeRawPointer, count: Int) {
        precondition(count >= 0, "a slice cannot have a negative length")
        unsafe self.start = start
        self.count = count
    }

    /// Views text that lives as long as the program.
    public init(_ text: StaticString) {
        precondition(text.hasPointerRepresentation, "a single scalar has no bytes to view")
        unsafe self.init(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    /// A view of nothing.
    public static var empty: ByteSlice { ByteSlice("") }

    /// Where the bytes are, for C: the caller keeps to `count` and to the lifetime of what is viewed.
    @unsafe package var baseAddress: UnsafeRawPointer { unsafe start }

    @inlinable
    public var isEmpty: Bool { count == 0 }

    /// The first byte, nil when there is none.
    public var first: UInt8? { count > 0 ? self[0] : nil }

    /// The byte at `index`, which must be below `count`.
    @inlinable
    public subscript(index: Int) -> UInt8 {
        @inline(__always) get {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "byte index out of range")
            return unsafe start.load(fromByteOffset: index, as: UInt8.self)  // index < count
        }
    }

    /// The bytes from `range.lowerBound` up to, not including, `range.upperBound`.
    @inlinable
    public subscript(range: Range<Int>) -> ByteSlice {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "byte range out of range")
        return unsafe ByteSlice(start: start + range.lowerBound, count: range.count)  // inside this slice
    }

    /// The first `length` bytes, or all of them when there are fewer.
    @inlinable
    public func prefix(_ length: Int) -> ByteSlice {
        precondition(length >= 0, "a slice cannot have a negative length")
        return unsafe ByteSlice(start: start, count: min(length, count))  // no longer than this slice
    }

    /// Runs `body` on a view of an array, which must not be kept beyond the call.
    @inlinable
    public static func withBytes<Result>(of array: [UInt8], _ body: (ByteSlice) -> Result) -> Result {
        unsafe array.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return body(.empty) }
            return body(unsafe ByteSlice(start: start, count: buffer.count))  // the array outlives the call
        }
    }

    /// Runs `body` on a view of a span, which must not be kept beyond the call.
    @inlinable
    public static func withBytes<Result>(of span: RawSpan, _ body: (ByteSlice) -> Result) -> Result {
        unsafe span.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return body(.empty) }
            return body(unsafe ByteSlice(start: start, count: buffer.count))  // the span outlives the call
        }
    }

    /// Runs `body` on the UTF-8 bytes of a string, which must not be kept beyond the call.
    public static func withBytes<Result>(of text: String, _ body: (ByteSlice) -> Result) -> Result {
        withBytes(of: Array(text.utf8), body)
    }

    /// Runs `body` on the bytes as a span.
    @inlinable
    public func withSpan<Result: ~Copyable, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(unsafe RawSpan(_unsafeStart: start, byteCount: count))  // lives as long as this call
    }

    /// Copies the bytes to `destination`, which has room for at least `count`.
    ///
    /// Short pieces, of which heads are made, are two loads and two stores that overlap: cheaper than a call.
    @unsafe @inline(__always)
    func copy(to destination: UnsafeMutableRawPointer) {
        switch count {
        case 16...32: unsafe copyEnds(SIMD16<UInt8>.self, to: destination)
        case 8..<16: unsafe copyEnds(UInt64.self, to: destination)
        case 4..<8: unsafe copyEnds(UInt32.self, to: destination)
        case 2..<4: unsafe copyEnds(UInt16.self, to: destination)
        case 33...64: unsafe copyEnds(SIMD32<UInt8>.self, to: destination)
        default: unsafe destination.copyMemory(from: start, byteCount: count)
        }
    }

    /// Whether `other`, which has as many bytes, has the same. Words at the end overlap, as they do in `copy`.
    @inline(__always)
    func isSame(as other: ByteSlice) -> Bool {
        switch count {
        case 8...:
            var offset = 8
            while offset &+ 8 < count {
                // offset + 8 < count
                let word = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                if unsafe word != other.start.loadUnaligned(fromByteOffset: offset, as: UInt64.self) { return false }
                offset &+= 8
            }
            return unsafe endsAreSame(UInt64.self, as: other)
        case 4..<8: return unsafe endsAreSame(UInt32.self, as: other)
        case 2..<4: return unsafe endsAreSame(UInt16.self, as: other)
        case 1: return self[0] == other[0]
        default: return true
        }
    }

    /// Compares the first and the last bytes, as many as a `Word` holds, of which `count` is at least one.
    @unsafe @inline(__always)
    private func endsAreSame<Word: BitwiseCopyable & FixedWidthInteger>(_ type: Word.Type, as other: ByteSlice) -> Bool
    {
        let last = count &- MemoryLayout<Word>.size
        let head = unsafe start.loadUnaligned(as: Word.self) ^ other.start.loadUnaligned(as: Word.self)
        let tail =
            unsafe start.loadUnaligned(fromByteOffset: last, as: Word.self)
            ^ other.start.loadUnaligned(fromByteOffset: last, as: Word.self)
        return head | tail == 0
    }

    /// Copies the first and the last bytes, as many as a `Word` holds; `count` is one to two of those.
    @unsafe @inline(__always)
    private func copyEnds<Word: BitwiseCopyable>(_ type: Word.Type, to destination: UnsafeMutableRawPointer) {
        let last = count &- MemoryLayout<Word>.size
        let head = unsafe start.loadUnaligned(as: Word.self)
        let tail = unsafe start.loadUnaligned(fromByteOffset: last, as: Word.self)
        unsafe destination.storeBytes(of: head, as: Word.self)
        unsafe destination.storeBytes(of: tail, toByteOffset: last, as: Word.self)
    }

    // The readers below check what comes off the wire, the end. That an offset is not negative is the caller's
    // arithmetic, all of it in this module and counting up from zero; it is checked in debug builds.

    /// The sixteen bytes from `offset` on; those past the end read as zero.
    @inline(__always)
    func vector(at offset: Int) -> ByteVector {
        assert(offset >= 0, "byte offset out of range")
        guard offset <= count &- 16 else { return paddedVector(at: offset) }
        // offset + 16 <= count
        return ByteVector(unsafe start.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self))
    }

    /// Sixty-four bytes from `offset` on, one bit each, set for those of `ByteVector.controls`; nil when there are not
    /// as many.
    @inline(__always)
    func controlsOfBlock(at offset: Int) -> UInt64? {
        assert(offset >= 0, "byte offset out of range")
        guard offset <= count &- 64 else { return nil }
        var controls: UInt64 = 0
        for part in 0..<4 {
            // offset + 64 <= count
            let vector = unsafe start.loadUnaligned(fromByteOffset: offset &+ part &* 16, as: SIMD16<UInt8>.self)
            controls |= ByteVector(vector).controls &<< UInt64(truncatingIfNeeded: part &* 16)
        }
        return controls
    }

    /// The eight bytes from `offset` on as one little-endian word; those past the end read as zero.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        assert(offset >= 0, "byte offset out of range")
        guard offset <= count &- 8 else { return paddedWord(at: offset) }
        let word = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)  // offset + 8 <= count
        return UInt64(littleEndian: word)
    }

    /// Two bytes from `offset` on, the first one lower; zero, which is no text, when they are not both there.
    @inline(__always)
    func pair(at offset: Int) -> UInt16 {
        assert(offset >= 0, "byte offset out of range")
        guard offset <= count &- 2 else { return 0 }
        let pair = unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt16.self)  // offset + 2 <= count
        return UInt16(littleEndian: pair)
    }

    @inline(never)
    private func paddedVector(at offset: Int) -> ByteVector {
        ByteVector(low: word(at: offset), high: word(at: offset &+ 8))
    }

    @inline(never)
    private func paddedWord(at offset: Int) -> UInt64 {
        guard offset < count else { return 0 }
        if count >= 8 {
            // The last eight bytes of the slice end with the ones asked for: load those, shift the others out.
            let last = unsafe start.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            return UInt64(littleEndian: last) >> UInt64((offset &+ 8 &- count) &* 8)
        }
        var word: UInt64 = 0
        for index in offset..<count { word |= UInt64(self[index]) << UInt64((index &- offset) &* 8) }
        return word
    }
}
