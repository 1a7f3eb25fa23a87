import Glibc
import HTTP

/// Bytes that end exactly where an unreadable page begins: reading one byte past the end is a fault, not a guess.
@safe
final class GuardedBytes {
    private let base: UnsafeMutableRawPointer
    private let mappedBytes: Int
    private let room: Int
    private let pageBytes = Int(getpagesize())

    init(capacity: Int) {
        room = (max(capacity, 1) + pageBytes - 1) / pageBytes * pageBytes
        mappedBytes = room + pageBytes
        guard
            let mapped = unsafe mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe mapped != MAP_FAILED, unsafe mprotect(mapped + room, pageBytes, PROT_NONE) == 0
        else { fatalError("no memory for a guarded buffer") }
        unsafe base = mapped
    }

    deinit { unsafe munmap(base, mappedBytes) }

    /// Places `bytes` against the guard page. The slice is good until the next call.
    func place(_ bytes: some Collection<UInt8>) -> ByteSlice {
        precondition(bytes.count <= room, "guarded buffer too small")
        let start = unsafe base + (room - bytes.count)
        for (offset, byte) in bytes.enumerated() {
            unsafe start.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        }
        return unsafe ByteSlice(start: start, count: bytes.count)
    }
}
