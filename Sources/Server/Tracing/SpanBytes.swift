internal import HTTP

/// One span's bytes while it is put together: memory that is used again for the next, as large as the largest so far. A
/// span lies in the first-level cache until it is whole, wherever the request that it goes into has grown to.
@safe
final class SpanBytes {
    private var start: UnsafeMutableRawPointer
    private var capacity = 4096
    private(set) var count = 0

    init() { unsafe start = .allocate(byteCount: capacity, alignment: 16) }

    deinit { unsafe start.deallocate() }

    func removeAll() { count = 0 }

    @inline(__always)
    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        if count &+ bytes.count > capacity { grow(by: bytes.count) }
        unsafe (start + count).copyMemory(from: source, byteCount: bytes.count)  // there is room
        count &+= bytes.count
    }

    func append(_ bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe append($0) } }

    func append(_ text: ByteSlice) { text.withSpan { span in unsafe span.withUnsafeBytes { unsafe append($0) } } }

    /// Writes `word` over the eight bytes before `end`, the lowest byte first.
    func replace(before end: Int, with word: UInt64) {
        precondition(end >= 8 && end <= count, "only what was appended is replaced")
        unsafe start.storeBytes(of: word.littleEndian, toByteOffset: end &- 8, as: UInt64.self)
    }

    /// The bytes are there during the call.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        unsafe body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The same as text.
    func withSlice(_ body: (ByteSlice) -> Void) { body(unsafe ByteSlice(start: start, count: count)) }

    @inline(never)
    private func grow(by more: Int) {
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        unsafe larger.copyMemory(from: start, byteCount: count)
        unsafe start.deallocate()
        unsafe start = larger
    }
}
