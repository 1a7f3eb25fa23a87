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

    /// Nothing is in it any more, and nothing will be.
    func shrink() {
        unsafe start.deallocate()
        capacity = 1
        unsafe start = .allocate(byteCount: capacity, alignment: 1)
    }

    /// A copy of `bytes`, good until the next one.
    func copy(_ bytes: ByteSlice) -> ByteSlice {
        if bytes.count > capacity || capacity > Self.keptMax {
            unsafe start.deallocate()
            capacity = max(bytes.count, 1024)
            unsafe start = .allocate(byteCount: capacity, alignment: 1)
        }
        bytes.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe start.copyMemory(from: base, byteCount: source.count)
            }
        }
        return unsafe ByteSlice(start: start, count: bytes.count)  // copied just now
    }
}
