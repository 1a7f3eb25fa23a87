internal import CIOUring
internal import Glibc
internal import Synchronization

/// How workers wake a thread that sleeps between pieces of work, cheaply: a worker that has something to do for it
/// looks at one word, which rarely changes, and makes a system call only when the thread is fast asleep.
///
/// A worker may miss that the thread has just fallen asleep, because nothing orders its look after what it has put
/// down. So the thread never sleeps without an end.
package final class Doorbell: Sendable {
    /// An eventfd, or a negative errno: without one the thread sees at the end of its sleep what there is to do.
    private let descriptor = rw_eventfd()
    /// Odd while the thread is fast asleep. Written by that thread alone.
    private let sleeps = Atomic<UInt64>(0)

    package init() {}

    deinit { if descriptor >= 0 { _ = close(descriptor) } }

    /// Wakes the thread, however it sleeps.
    package func ring() {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }

    /// Wakes the thread if it is fast asleep.
    ///
    /// - Parameter seen: the caller's own, 0 at first: it rings once for each sleep.
    @inline(__always)
    package func ringIfAsleep(_ seen: inout UInt64) {
        let sleep = sleeps.load(ordering: .relaxed)
        guard sleep & 1 == 1, sleep != seen else { return }
        seen = sleep
        ring()
    }

    /// Sleeps until `ring`, at most `ms` milliseconds; fast asleep also until `ringIfAsleep`.
    package func sleep(ms: Int32, fast: Bool) {
        if fast { sleeps.store(sleeps.load(ordering: .relaxed) + 1, ordering: .relaxed) }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let count = unsafe poll(&entry, 1, ms)
        if fast { sleeps.store(sleeps.load(ordering: .relaxed) + 1, ordering: .relaxed) }
        guard count > 0 else { return }
        var rings: UInt64 = 0
        _ = unsafe read(descriptor, &rings, 8)
    }
}
