internal import HTTP

/// What an encoder made of bytes that come again and again: the address of a client, the route that requests take.
///
/// A table of fixed size in which an entry takes the place of the one that was there. Whoever sends requests that never
/// repeat can keep it from being of use, no more: then everything is encoded anew, on the tracing thread.
@safe
final class SpanPartCache {
    /// What the bytes are of: the same bytes mean something else in another.
    enum Kind: UInt8 {
        case way, client, target, text, result, requestSize, responseSize, attempt
    }

    /// 512 KiB at most; pages get memory when they are first written.
    private static let slotCount = 512
    private static let slotBytes = 1024
    /// Hash, and counts of key and part.
    private static let headerBytes = 16

    private let slots: UnsafeMutableRawPointer

    init() {
        unsafe slots = .allocate(byteCount: Self.slotCount * Self.slotBytes, alignment: 16)
        for slot in 0..<Self.slotCount {
            unsafe slots.storeBytes(of: 0, toByteOffset: slot * Self.slotBytes, as: UInt64.self)
        }
    }

    deinit { unsafe slots.deallocate() }

    /// Appends what `make` makes of `key`, or has made of it before, to `bytes`.
    func append(_ kind: Kind, _ key: ByteSlice, to bytes: inout [UInt8], make: () -> [UInt8]) {
        let hash = Self.hash(kind, key)
        // The slot is one of the table's, and what its header counts was written into it.
        let slot = unsafe slots + Int((hash &>> 32) % UInt64(Self.slotCount)) * Self.slotBytes
        let keyStart = unsafe slot + Self.headerBytes
        if unsafe slot.load(as: UInt64.self) == hash {
            let keyCount = unsafe Int(slot.load(fromByteOffset: 8, as: UInt32.self))
            let partCount = unsafe Int(slot.load(fromByteOffset: 12, as: UInt32.self))
            if unsafe ByteSlice(start: keyStart, count: keyCount) == key {
                unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(start: keyStart + keyCount, count: partCount))
                return
            }
        }
        let part = make()
        bytes += part
        guard key.count + part.count <= Self.slotBytes - Self.headerBytes else { return }
        unsafe slot.storeBytes(of: hash, as: UInt64.self)
        unsafe slot.storeBytes(of: UInt32(key.count), toByteOffset: 8, as: UInt32.self)
        unsafe slot.storeBytes(of: UInt32(part.count), toByteOffset: 12, as: UInt32.self)
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

    /// Never 0, which an empty slot has. The kind counts, so the same bytes of two kinds are told apart.
    private static func hash(_ kind: Kind, _ key: ByteSlice) -> UInt64 {
        key.withSpan { span in
            let count = span.byteCount
            var hash = UInt64(kind.rawValue) &<< 32 | UInt64(truncatingIfNeeded: count)
            var offset = 0
            while offset &+ 8 <= count {
                let word = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                hash = mix(hash ^ word)
                offset &+= 8
            }
            var tail: UInt64 = 0
            while offset < count {
                tail = tail &<< 8 | UInt64(unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self))
                offset &+= 1
            }
            // The kind in the lowest bits of what is compared: hashes of two kinds are never the same.
            return mix(hash ^ tail) & ~0xF | UInt64(kind.rawValue) &+ 1
        }
    }

    @inline(__always)
    private static func mix(_ word: UInt64) -> UInt64 {
        let product = word.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return product.high ^ product.low
    }
}
