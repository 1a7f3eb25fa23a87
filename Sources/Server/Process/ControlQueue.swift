internal import Engine
internal import Glibc

/// A thread that runs what it is given one after the other, at once or at a time.
///
/// Not a dispatch queue: libdispatch opens descriptors as it goes, for its timers and to watch its threads
/// (`/proc/TID/stat`), and ends the process when it gets none. A proxy is out of descriptors whenever its
/// clients are many enough. This one needs none.
@safe
final class ControlQueue: @unchecked Sendable {
    typealias Task = @Sendable () -> Void

    private struct Entry {
        var dueNs: UInt64
        var task: Task
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// In the order in which they are due, and of those due at the same time in which they came.
    private var entries: [Entry] = []
    private var thread = pthread_t()

    private let name: String
    private let standing: ThreadStanding

    /// Starts the thread, which lives as long as the process.
    ///
    /// - Parameter name: of the thread, for `top -H`; at most 15 bytes
    init(_ name: String, standing: ThreadStanding = .usual) throws(SystemLack) {
        self.name = name
        self.standing = standing
        unsafe mutex.initialize(to: pthread_mutex_t())
        unsafe pthread_mutex_init(mutex, nil)
        unsafe changed.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(changed, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
        let context = unsafe Unmanaged.passRetained(self)
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<ControlQueue>.fromOpaque(argument!).takeUnretainedValue().run()
            }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw SystemLack("no thread for control: \(describe(result))", remedy: "raise `ulimit -u`")
        }
    }

    /// Whether the caller is on the queue's thread.
    var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

    func async(_ task: @escaping Task) { add(Entry(dueNs: 0, task: task)) }

    /// Not before `delayNs` from now.
    func async(afterNs delayNs: UInt64, _ task: @escaping Task) {
        add(Entry(dueNs: monotonicNowNs() &+ delayNs, task: task))
    }

    private func add(_ entry: Entry) {
        unsafe pthread_mutex_lock(mutex)
        let place = entries.firstIndex { $0.dueNs > entry.dueNs } ?? entries.count
        entries.insert(entry, at: place)
        unsafe pthread_cond_signal(changed)
        unsafe pthread_mutex_unlock(mutex)
    }

    private func run() -> Never {
        standing.apply(name: name)
        while true { takeNext()() }
    }

    private func takeNext() -> Task {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        while true {
            guard let first = entries.first else {
                unsafe pthread_cond_wait(changed, mutex)
                continue
            }
            if first.dueNs <= monotonicNowNs() { return entries.removeFirst().task }
            var deadline = timespec(
                tv_sec: Int(first.dueNs / 1_000_000_000), tv_nsec: Int(first.dueNs % 1_000_000_000))
            unsafe pthread_cond_timedwait(changed, mutex, &deadline)
        }
    }
}
