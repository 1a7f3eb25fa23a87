internal import HTTP

/// Memory of one head, kept from one request to the next.
@safe
final class HeadMemory {
    private var start: UnsafeMutableRawPointer
    private var capacity = 1024
    /// More is given back when a smaller head follows.
    private static let keptMax = 16_384

    init() { unsafe start = .allocate(byteCount: 1024, alignment: 1) }

    deinit { unsafe start.deallocate() }

    /// Nothing is in it any more but copies of two texts that may have been, and nothing else will be.
    func shrink(keeping first: ByteSlice, _ second: ByteSlice) -> (ByteSlice, ByteSlice) {
        let before = unsafe start
        capacity = max(first.count + second.count, 1)
        unsafe start = .allocate(byteCount: capacity, alignment: 1)
        defer { unsafe before.deallocate() }
        return (write(first, at: 0), write(second, at: first.count))
    }

    /// A copy of `bytes`, good until the next one.
    func copy(_ bytes: ByteSlice) -> ByteSlice {
        if bytes.count > capacity || capacity > Self.keptMax {
            unsafe start.deallocate()
            capacity = max(bytes.count, 1024)
            unsafe start = .allocate(byteCount: capacity, alignment: 1)
        }
        return write(bytes, at: 0)
    }

    /// There has to be room.
    private func write(_ bytes: ByteSlice, at offset: Int) -> ByteSlice {
        let target = unsafe start + offset
        bytes.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe target.copyMemory(from: base, byteCount: source.count)
            }
        }
        return unsafe ByteSlice(start: target, count: bytes.count)  // copied just now
    }
}
