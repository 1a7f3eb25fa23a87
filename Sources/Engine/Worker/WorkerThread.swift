internal import CIOUring
internal import Glibc
internal import Synchronization

/// A worker and the thread that runs it.
package final class WorkerThread: Sendable {
    package let index: Int
    package let stats: StatsBlock
    package let mailbox: Mailbox
    private let name: String
    private let cpu: Int32?
    private let backend: @Sendable () throws(SystemLack) -> IOBackend
    private let limits: WorkerLimits
    private let isFinished = Atomic<Bool>(false)

    /// - Parameters:
    ///   - cpu: where the thread is pinned; nil leaves that to the scheduler.
    ///   - name: of the thread, up to 15 bytes; `worker-INDEX` by default.
    ///   - stats: its cells; new ones by default.
    ///   - backend: makes the worker's backend, on the worker's thread.
    package init(
        index: Int, cpu: Int32?, limits: WorkerLimits, name: String? = nil, stats: StatsBlock = StatsBlock(),
        backend: @escaping @Sendable () throws(SystemLack) -> IOBackend = { () throws(SystemLack) in try URingBackend()
        }
    ) throws(SystemLack) {
        self.index = index
        self.cpu = cpu
        self.limits = limits
        self.backend = backend
        self.name = name ?? "worker-\(index)"
        self.stats = stats
        mailbox = try Mailbox()
    }

    /// Starts the thread and waits until its ring is ready.
    package func start() throws(SystemLack) {
        let outcome = StartOutcome()
        let context = unsafe Unmanaged.passRetained(Launch(thread: self, outcome: outcome))
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                let launch = unsafe Unmanaged<Launch>.fromOpaque(argument!).takeRetainedValue()
                launch.thread.main(launch.outcome)
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw SystemLack("no thread for \(name): \(describe(result))", remedy: "raise `ulimit -u`")
        }
        pthread_detach(thread)
        if let lack = outcome.wait() { throw lack }
    }

    /// Runs `message` on the worker's thread, between two completions.
    package func send(_ message: @escaping Mailbox.Message) { mailbox.send(message) }

    package var hasFinished: Bool { isFinished.load(ordering: .acquiring) }

    private func main(_ outcome: StartOutcome) {
        unsafe rw_name_thread(name)
        if let cpu { _ = rw_pin_thread(cpu) }
        do throws(SystemLack) {
            let made = try backend()
            let worker = try Worker(index: index, backend: made, stats: stats, limits: limits)
            try worker.start()
            worker.listen(to: mailbox)
            outcome.set(nil)
            worker.run()
            made.stop()
        } catch {
            outcome.set(error)
        }
        isFinished.store(true, ordering: .releasing)
    }

    private final class Launch: Sendable {
        let thread: WorkerThread
        let outcome: StartOutcome
        init(thread: WorkerThread, outcome: StartOutcome) {
            self.thread = thread
            self.outcome = outcome
        }
    }

    /// A result that one thread waits for.
    private final class StartOutcome: Sendable {
        private let value = Mutex<SystemLack??>(nil)
        private let descriptor = rw_eventfd()

        deinit { _ = close(descriptor) }

        func set(_ lack: SystemLack?) {
            value.withLock { $0 = .some(lack) }
            var one: UInt64 = 1
            _ = unsafe write(descriptor, &one, 8)
        }

        func wait() -> SystemLack? {
            var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            while true {
                _ = unsafe poll(&ready, 1, 1000)
                if let value = value.withLock({ $0 }) { return value }
            }
        }
    }
}

/// Which CPUs this process may use, and how much of them.
package enum ProcessorShare {
    /// The CPUs of this process's affinity mask.
    package static func allowedCPUs() -> [Int32] {
        var cpus = [Int32](repeating: 0, count: 1024)
        let count = unsafe cpus.withUnsafeMutableBufferPointer {
            unsafe rw_allowed_cpus($0.baseAddress, Int32($0.count))
        }
        return count > 0 ? Array(cpus.prefix(Int(min(count, 1024)))) : [0]
    }

    /// CPUs' worth of time that the process's cgroup grants, rounded up; nil without a quota.
    package static func quota() -> Int? {
        // cgroup v2: "max 100000" or "150000 100000"; the process sees its own group as the root or below it.
        let group = readFirstLine("/proc/self/cgroup")?.split(separator: ":", omittingEmptySubsequences: false).last
        for folder in ["/sys/fs/cgroup\(group.map(String.init) ?? "")", "/sys/fs/cgroup"] {
            guard let line = readFirstLine("\(folder)/cpu.max") else { continue }
            let parts = line.split(separator: " ")
            guard parts.count == 2, let quota = Int(parts[0]), let period = Int(parts[1]), period > 0 else {
                return nil
            }
            return max(1, (quota + period - 1) / period)
        }
        // cgroup v1.
        guard let quota = readFirstLine("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").flatMap({ Int($0) }), quota > 0,
            let period = readFirstLine("/sys/fs/cgroup/cpu/cpu.cfs_period_us").flatMap({ Int($0) }), period > 0
        else { return nil }
        return max(1, (quota + period - 1) / period)
    }

    /// How many workers `auto` means.
    package static func automaticWorkerCount() -> Int {
        let allowed = allowedCPUs().count
        return max(1, min(allowed, quota() ?? allowed))
    }
}
