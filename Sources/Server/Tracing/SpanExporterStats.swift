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

    func requestSucceeded() { Self.add(1, to: requestsOK) }
    func requestFailed() { Self.add(1, to: requestsFailed) }
    func arrived(_ spans: Int) { Self.add(spans, to: waitingSpans) }

    func left(_ spans: Int) {
        Self.add(-spans, to: waitingSpans)
        Self.add(spans, to: exportedSpans)
    }

    func drop(_ spans: Int, _ reason: Drop) {
        Self.add(-spans, to: waitingSpans)
        switch reason {
        case .queueFull: Self.add(spans, to: queueFull)
        case .rejected: Self.add(spans, to: rejected)
        case .gaveUp: Self.add(spans, to: gaveUp)
        case .replaced: Self.add(spans, to: replaced)
        }
    }

    /// With one writer an addition is a load and a store.
    @inline(__always)
    private static func add(_ count: Int, to cell: borrowing Atomic<UInt64>) {
        let now = cell.load(ordering: .relaxed)
        cell.store(now &+ UInt64(bitPattern: Int64(count)), ordering: .relaxed)
    }
}
