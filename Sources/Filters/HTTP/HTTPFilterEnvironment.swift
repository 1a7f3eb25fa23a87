package import Engine
internal import Synchronization
internal import Upstream

/// A cluster as a filter on one worker reaches it, with the worker's connections to it.
public struct HTTPFilterCluster {
    let pool: HTTPConnectionPool

    init(_ pool: HTTPConnectionPool) { self.pool = pool }

    public var name: String { pool.cluster.cluster.name }
}

/// What filters of one name count in one listener on one worker: `ringway_http_filter_events_total`.
///
/// While one of these exists its cells are in use: one of them is a gauge that the registry looks at before it gives
/// them to somebody else.
package final class HTTPFilterCounters {
    private let scope: StatsScope
    private let eventCount: Int

    /// The first cells are `ConnectionStat`'s, of which `active` is the gauge.
    private static let firstEvent = 2

    /// Cells for so many events.
    package static func cellCount(events: Int) -> Int { firstEvent + events }
    package static func cell(ofEvent index: Int) -> StatCell { StatCell(rawValue: firstEvent + index) }

    package init(scope: StatsScope, eventCount: Int) {
        self.scope = scope
        self.eventCount = eventCount
        scope.add(to: ConnectionStat.active)
    }

    deinit { scope.subtract(from: ConnectionStat.active) }

    @inline(__always)
    func add(_ event: Int) {
        precondition(event >= 0 && event < eventCount, "a filter counts the events that it has named")
        scope.add(to: Self.cell(ofEvent: event))
    }
}

/// Whether the process wants requests. Written by control, read by filters on the workers.
package final class ServingState: Sendable {
    private let isFailed = Atomic<Bool>(false)
    private let isDraining = Atomic<Bool>(false)

    package init() {}

    package var isServing: Bool { !isFailed.load(ordering: .relaxed) && !isDraining.load(ordering: .relaxed) }

    /// Somebody wants health checks to fail, or not any more.
    package func setFailed(_ value: Bool) { isFailed.store(value, ordering: .relaxed) }
    /// There is no way back.
    package func beginDrain() { isDraining.store(true, ordering: .relaxed) }
}
