internal import Engine
internal import Filters
internal import Glibc
internal import Logging
internal import Synchronization

/// A log's rings on one side, its file on the other. After it is made, everything but the atomics belongs to the
/// thread that writes logs.
final class AccessLogFile: @unchecked Sendable {
    let target: AccessLogTarget
    /// Bytes in the file, and writes that failed, since the log began.
    let bytesWritten = Atomic<UInt64>(0)
    let writeErrors = Atomic<UInt64>(0)
    /// No configuration names it any more.
    let isRetired = Atomic<Bool>(false)
    private let wantsReopen = Atomic<Bool>(false)

    private var output: AccessLogOutput
    /// The ring that is read. The next one follows when all of what was shown is written, so that no line is cut by
    /// one of another worker.
    private var current = 0
    /// After an error nothing is tried until then.
    private var nextTryNs: UInt64 = 0
    private var lastComplaintNs: UInt64?
    private var retiredNs: UInt64?

    private static let errorPauseNs: UInt64 = 1_000_000_000
    private static let complaintNs: UInt64 = 10_000_000_000
    /// How long a retired log whose file takes nothing keeps its lines.
    private static let retirementNs: UInt64 = 10_000_000_000
    /// Pieces that are written before it is another log's turn.
    private static let piecesMax = 16

    init(target: AccessLogTarget, output: AccessLogOutput) {
        self.target = target
        self.output = output
    }

    deinit { output.close() }

    func reopen() { wantsReopen.store(true, ordering: .releasing) }

    var isDrained: Bool { target.rings.allSatisfy(\.isDrained) }

    // MARK: On the writing thread

    enum Progress {
        /// Nothing to write.
        case idle
        /// Something was written, or could not be now.
        case busy
    }

    func write(_ log: Logger) -> Progress {
        let reopens = wantsReopen.exchange(false, ordering: .acquiring)
        let progress = drain(log)
        // What came before the signal is in the old file.
        if reopens { openAgain(log) }
        return progress
    }

    private func drain(_ log: Logger) -> Progress {
        let nowNs = monotonicNowNs()
        if nowNs < nextTryNs { return .busy }
        var progress = Progress.idle
        var empty = 0
        for _ in 0..<Self.piecesMax {
            let ring = target.rings[current]
            let (available, written) = unsafe ring.withReadable { bytes in
                (bytes.count, unsafe bytes.isEmpty ? 0 : output.write(bytes))
            }
            if available > 0 {
                progress = .busy
                empty = 0
            } else {
                empty += 1
                if empty == target.rings.count { return progress }
            }
            if written > 0 {
                ring.consume(written)
                bytesWritten.add(UInt64(written), ordering: .relaxed)
            } else if written < 0, written != Int(-EINTR) {
                if written != Int(-EAGAIN) { failed(Int32(-written), log, nowNs) }
                return .busy
            }
            if written == available { current = (current + 1) % target.rings.count }
        }
        return progress
    }

    /// The lines stay in their rings, and new ones are dropped once those are full.
    private func failed(_ error: Int32, _ log: Logger, _ nowNs: UInt64) {
        writeErrors.add(1, ordering: .relaxed)
        nextTryNs = nowNs + Self.errorPauseNs
        if let last = lastComplaintNs, nowNs - last < Self.complaintNs { return }
        lastComplaintNs = nowNs
        log.error(
            "an access log cannot be written", metadata: ["path": "\(target.path)", "error": "\(describe(error))"])
    }

    private func openAgain(_ log: Logger) {
        do throws(AccessLogOutput.Failure) {
            let opened = try AccessLogOutput.open(target.path)
            output.close()
            output = opened
            nextTryNs = 0
        } catch {
            log.error(
                "an access log cannot be opened again: its lines go on to the old file",
                metadata: ["path": "\(target.path)", "error": "\(error.message)"])
        }
    }

    /// Whether nobody writes to it any more, and all is in the file or has had its time.
    var isFinished: Bool {
        guard isRetired.load(ordering: .acquiring) else {
            retiredNs = nil
            return false
        }
        let nowNs = monotonicNowNs()
        let sinceNs = retiredNs ?? nowNs
        retiredNs = sinceNs
        guard target.users.load(ordering: .acquiring) == 0 else { return false }
        return isDrained || nowNs - sinceNs > Self.retirementNs
    }
}
