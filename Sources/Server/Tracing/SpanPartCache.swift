internal import HTTP

/// What an encoder made of bytes that come again and again: the route that requests take, how they end.
///
/// A table of fixed size, of sets in which a new entry takes the place of another by turns. Whoever sends requests that
/// never repeat can keep it from being of use, no more: then everything is encoded anew, on the tracing thread.
@safe
final class SpanPartCache {
    /// What the bytes are of: the same bytes mean something else in another.
    enum Kind: UInt8 {
        case way, result, requestSize, responseSize, attempt
    }

    private static let setCount = 128
    /// Places of a set. With one alone, two entries that are always needed and fall together are made anew each time.
    private static let ways = 4
    private static let slotBytes = 1024
    /// Counts of key and part.
    private static let headerBytes = 8

    /// By slot, set after set; 0 for an empty one.
    private let hashes: UnsafeMutablePointer<UInt64>
    /// 512 KiB at most; pages get memory when they are first written.
    private let slots: UnsafeMutableRawPointer
    private var turn = 0

    init() {
        unsafe hashes = .allocate(capacity: Self.setCount * Self.ways)
        unsafe hashes.initialize(repeating: 0, count: Self.setCount * Self.ways)
        unsafe slots = .allocate(byteCount: Self.setCount * Self.ways * Self.slotBytes, alignment: 64)
    }

    deinit {
        unsafe hashes.deallocate()
        unsafe slots.deallocate()
    }

    /// Appends what `make` makes of `key`, or has made of it before, to `span`.
    func append(_ kind: Kind, _ key: ByteSlice, to span: SpanBytes, make: () -> [UInt8]) {
        let hash = Self.hash(kind, key)
        let first = Int((hash &>> 32) % UInt64(Self.setCount)) &* Self.ways
        for way in 0..<Self.ways where unsafe hashes[first &+ way] == hash {
            // The slot is one of the table's, and what its header counts was written into it.
            let slot = unsafe slots + (first &+ way) &* Self.slotBytes
            let keyStart = unsafe slot + Self.headerBytes
            let keyCount = unsafe Int(slot.load(as: UInt32.self))
            let partCount = unsafe Int(slot.load(fromByteOffset: 4, as: UInt32.self))
            if unsafe ByteSlice(start: keyStart, count: keyCount) == key {
                return unsafe span.append(UnsafeRawBufferPointer(start: keyStart + keyCount, count: partCount))
            }
        }
        let part = make()
        span.append(part)
        guard key.count + part.count <= Self.slotBytes - Self.headerBytes else { return }
        keep(part, of: key, hash, in: first + freeWay(in: first))
    }

    /// An empty place of a set, or the one whose turn it is.
    private func freeWay(in first: Int) -> Int {
        for way in 0..<Self.ways where unsafe hashes[first + way] == 0 { return way }
        turn = (turn + 1) % Self.ways
        return turn
    }

    private func keep(_ part: [UInt8], of key: ByteSlice, _ hash: UInt64, in index: Int) {
        unsafe hashes[index] = hash
        let slot = unsafe slots + index * Self.slotBytes
        unsafe slot.storeBytes(of: UInt32(key.count), as: UInt32.self)
        unsafe slot.storeBytes(of: UInt32(part.count), toByteOffset: 4, as: UInt32.self)
        let keyStart = unsafe slot + Self.headerBytes
        key.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                if let base = source.baseAddress { unsafe keyStart.copyMemory(from: base, byteCount: source.count) }
            }
        }
        unsafe part.withUnsafeBytes { source in
            if let base = source.baseAddress {
                unsafe (keyStart + key.count).copyMemory(from: base, byteCount: source.count)
            }
        }
    }

    private static let golden: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// Never 0, which an empty slot has. The kind counts, so the same bytes of two kinds are told apart.
    private static func hash(_ kind: Kind, _ key: ByteSlice) -> UInt64 {
        key.withSpan { span in
            let count = span.byteCount
            var hash = UInt64(kind.rawValue) &<< 32 | UInt64(truncatingIfNeeded: count)
            var offset = 0
            while offset &+ 16 <= count {
                let low = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                let high = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset &+ 8, as: UInt64.self)
                hash = mix(hash ^ low, high ^ golden)
                offset &+= 16
            }
            if offset &+ 8 <= count {
                let word = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                hash = mix(hash ^ word, golden)
                offset &+= 8
            }
            var tail: UInt64 = 0
            while offset < count {
                tail = tail &<< 8 | UInt64(unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self))
                offset &+= 1
            }
            // The kind in the lowest bits of what is compared: hashes of two kinds are never the same.
            return mix(hash ^ tail, golden) & ~0xF | UInt64(kind.rawValue) &+ 1
        }
    }

    @inline(__always)
    private static func mix(_ word: UInt64, _ other: UInt64) -> UInt64 {
        let product = word.multipliedFullWidth(by: other)
        return product.high ^ product.low
    }
}
