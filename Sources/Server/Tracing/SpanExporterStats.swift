internal import Synchronization

/// What an exporter counts. Written by the tracing thread, read by whoever asks; outlives reloads with the name.
final class SpanExporterStats: Sendable {
    /// Why spans were not exported.
    enum Drop: Int, CaseIterable {
        /// More waited than may.
        case queueFull
        /// The backend does not want them.
        case rejected
        /// They were tried too often.
        case gaveUp
        /// The exporter was changed or removed while they waited.
        case replaced

        var label: String {
            switch self {
            case .queueFull: "queue_full"
            case .rejected: "rejected"
            case .gaveUp: "gave_up"
            case .replaced: "replaced"
            }
        }
    }

    private let exportedSpans = Atomic<UInt64>(0)
    private let waitingSpans = Atomic<UInt64>(0)
    private let requestsOK = Atomic<UInt64>(0)
    private let requestsFailed = Atomic<UInt64>(0)
    private let queueFull = Atomic<UInt64>(0)
    private let rejected = Atomic<UInt64>(0)
    private let gaveUp = Atomic<UInt64>(0)
    private let replaced = Atomic<UInt64>(0)

    var exported: UInt64 { exportedSpans.load(ordering: .relaxed) }
    /// Spans that are to be exported, or are on their way.
    var waiting: UInt64 { waitingSpans.load(ordering: .relaxed) }
    var succeeded: UInt64 { requestsOK.load(ordering: .relaxed) }
    var failed: UInt64 { requestsFailed.load(ordering: .relaxed) }

    func dropped(_ reason: Drop) -> UInt64 {
        switch reason {
        case .queueFull: queueFull.load(ordering: .relaxed)
        case .rejected: rejected.load(ordering: .relaxed)
        case .gaveUp: gaveUp.load(ordering: .relaxed)
        case .replaced: replaced.load(ordering: .relaxed)
        }
    }

    func requestSucceeded() { requestsOK.add(1, ordering: .relaxed) }
    func requestFailed() { requestsFailed.add(1, ordering: .relaxed) }
    func arrived(_ spans: Int) { waitingSpans.add(UInt64(spans), ordering: .relaxed) }

    func left(_ spans: Int) {
        waitingSpans.subtract(UInt64(spans), ordering: .relaxed)
        exportedSpans.add(UInt64(spans), ordering: .relaxed)
    }

    func drop(_ spans: Int, _ reason: Drop) {
        waitingSpans.subtract(UInt64(spans), ordering: .relaxed)
        switch reason {
        case .queueFull: queueFull.add(UInt64(spans), ordering: .relaxed)
        case .rejected: rejected.add(UInt64(spans), ordering: .relaxed)
        case .gaveUp: gaveUp.add(UInt64(spans), ordering: .relaxed)
        case .replaced: replaced.add(UInt64(spans), ordering: .relaxed)
        }
    }
}
