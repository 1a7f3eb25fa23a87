internal import Glibc

/// Bytes in order, in a ring of fixed capacity: a socket's or a pipe's kernel memory.
@safe
final class ByteQueue {
    let capacity: Int
    private(set) var count = 0
    private let storage: UnsafeMutableRawPointer
    private var head = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe storage = .allocate(byteCount: max(capacity, 1), alignment: 16)
    }

    deinit { unsafe storage.deallocate() }

    var isEmpty: Bool { count == 0 }
    var free: Int { capacity - count }

    /// Appends `count` bytes, which must fit.
    func write(from source: UnsafeRawPointer, count added: Int) {
        precondition(added <= free, "a byte queue overflows")
        let tail = (head + count) % capacity
        let first = min(added, capacity - tail)
        unsafe memcpy(storage + tail, source, first)
        if added > first { unsafe memcpy(storage, source + first, added - first) }
        count += added
    }

    /// Takes `count` bytes, which must be there.
    func read(into target: UnsafeMutableRawPointer, count taken: Int) {
        unsafe copy(to: target, count: taken)
        drop(taken)
    }

    /// Copies the first `count` bytes, which must be there and stay there.
    func copy(to target: UnsafeMutableRawPointer, count copied: Int) {
        precondition(copied <= count, "a byte queue has less")
        let first = min(copied, capacity - head)
        unsafe memcpy(target, storage + head, first)
        if copied > first { unsafe memcpy(target + first, storage, copied - first) }
    }

    func move(_ moved: Int, to other: ByteQueue) {
        precondition(moved <= count && moved <= other.free, "a move fits on both sides")
        let first = min(moved, capacity - head)
        unsafe other.write(from: storage + head, count: first)
        if moved > first { unsafe other.write(from: storage, count: moved - first) }
        drop(moved)
    }

    func removeAll() { drop(count) }

    private func drop(_ dropped: Int) {
        head = (head + dropped) % max(capacity, 1)
        count -= dropped
    }
}
