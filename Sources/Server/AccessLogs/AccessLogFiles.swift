internal import Config
package import Engine
internal import Filters
internal import Glibc
package import Logging
internal import Synchronization

/// All access logs of the process, by path, and the one thread that writes them.
///
/// A log belongs to its path: a reload that names it again goes on with it, and one that no configuration names is
/// closed when the last exchange that writes to it is over.
package final class AccessLogFiles: Sendable {
    private struct State {
        var files: [String: AccessLogFile] = [:]
        var isRunning = false
    }

    private let state = Mutex(State())
    private let registry: StatsRegistry
    /// nil when configurations are only checked.
    private let log: Logger?
    private let doorbell = Doorbell()

    /// How long the thread lets lines gather, unless there are many.
    private static let napMs: Int32 = 50
    /// How long it sleeps when nothing comes; the first line wakes it.
    private static let sleepMs: Int32 = 1000
    /// A flush ends when nothing more was taken for so long.
    private static let flushPatienceNs: UInt64 = 300_000_000

    /// - Parameter log: where failures go; nil opens and creates nothing, to check configurations.
    package init(registry: StatsRegistry, log: Logger?) {
        self.registry = registry
        self.log = log
    }

    // MARK: For control

    /// The log at a path, opened if it is not open yet. nil after an error was reported.
    func target(_ path: String, at position: ConfigPosition, _ diagnostics: Diagnostics) -> AccessLogTarget? {
        let existing = state.withLock { state in
            let file = state.files[path]
            file?.isRetired.store(false, ordering: .releasing)
            return file
        }
        if let existing { return existing.target }
        do throws(AccessLogOutput.Failure) {
            guard log != nil else {
                try AccessLogOutput.check(path)
                return try makeTarget(path)
            }
            let file = AccessLogFile(target: try makeTarget(path), output: try AccessLogOutput.open(path))
            state.withLock { $0.files[path] = file }
            try startThread()
            return file.target
        } catch {
            diagnostics.report(
                "the access log \(path.quotedForMessage) cannot be opened: \(error.message)",
                expected: "a file that this user may write, in a folder that exists", at: position)
            return nil
        }
    }

    private func makeTarget(_ path: String) throws(AccessLogOutput.Failure) -> AccessLogTarget {
        do throws(StatsRegistry.Full) {
            let stats = try registry.range(
                for: StatsRegistry.Owner(.accessLog, path), count: AccessLogStat.cellCount)
            return AccessLogTarget(path: path, workers: registry.blocks.count, stats: stats, doorbell: doorbell)
        } catch {
            throw AccessLogOutput.Failure(message: "there are too many stats")
        }
    }

    /// Logs that none of these are close when they are not in use any more.
    func retain(only paths: Set<String>) {
        state.withLock { state in
            for (path, file) in state.files { file.isRetired.store(!paths.contains(path), ordering: .releasing) }
        }
        doorbell.ring()
    }

    /// All that are open, by path, those that are about to close included.
    var files: [AccessLogFile] { state.withLock { $0.files.values.sorted { $0.target.path < $1.target.path } } }

    /// Writes what there is, and opens the files anew: USR1, after they were moved away.
    func reopen() {
        for file in files { file.reopen() }
        doorbell.ring()
    }

    /// Waits until all lines are written, or nothing more is taken.
    func flush() {
        let files = files
        var written: UInt64 = 0
        var progressNs = monotonicNowNs()
        while !files.allSatisfy(\.isDrained) {
            let nowNs = monotonicNowNs()
            let sum = files.reduce(0) { $0 &+ $1.bytesWritten.load(ordering: .relaxed) }
            if sum != written {
                written = sum
                progressNs = nowNs
            }
            if nowNs - progressNs > Self.flushPatienceNs {
                log?.error("the process ends with access log lines that could not be written")
                return
            }
            doorbell.ring()
            usleep(1000)
        }
    }

    // MARK: The thread

    private func startThread() throws(AccessLogOutput.Failure) {
        let isFirst = state.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard isFirst else { return }
        let context = unsafe Unmanaged.passRetained(self)
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<AccessLogFiles>.fromOpaque(argument!).takeUnretainedValue().run()
            }, context.toOpaque())
        guard result != 0 else { return }
        unsafe context.release()
        state.withLock { $0.isRunning = false }
        throw AccessLogOutput.Failure(message: "there is no thread to write it: \(describe(result))")
    }

    /// Lives as long as the process.
    private func run() -> Never {
        ThreadStanding.usual.apply(name: "access-logs")
        let log = log ?? Logger(label: "ringway")
        while true {
            var isBusy = false
            for file in files {
                if file.write(log) == .busy { isBusy = true }
                if file.isFinished { close(file) }
            }
            if isBusy {
                doorbell.sleep(ms: Self.napMs, fast: false)
            } else {
                doorbell.sleep(ms: Self.sleepMs, fast: true)
            }
        }
    }

    private func close(_ file: AccessLogFile) {
        state.withLock { state in
            // A reload may have named it again just now.
            if file.isRetired.load(ordering: .acquiring) { state.files[file.target.path] = nil }
        }
    }
}
