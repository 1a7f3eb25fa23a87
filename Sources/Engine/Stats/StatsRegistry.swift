internal import Synchronization

/// Who has which cells of the workers' blocks. The same cells in every worker's block belong to one owner,
/// so a sum over workers is a sum over one index.
///
/// Used when configuration changes and when somebody scrapes, never by workers.
package final class StatsRegistry: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case worker, admin, listener, cluster, endpoint, accessLog, filter, route, tracing
    }

    package struct Owner: Hashable, Sendable {
        package var kind: Kind
        package var name: String

        package init(_ kind: Kind, _ name: String) {
            self.kind = kind
            self.name = name
        }
    }

    package struct Range: Sendable {
        package let base: Int
        package let count: Int
    }

    /// The process has more listeners, clusters and endpoints than there are cells.
    package struct Full: Error, Sendable {}

    /// Whose a range is, and since when: a range may have had another owner before.
    package struct Holder: Sendable {
        package let owner: Owner
        /// Monotonic nanoseconds.
        package let sinceNs: UInt64
    }

    private struct State {
        var ranges: [Owner: Range] = [:]
        /// By the first cell.
        var since: [Int: UInt64] = [:]
        /// Ranges whose owner is gone. They are used again once nothing counts in them any more.
        var retired: [(kind: Kind, range: Range)] = []
        var nextCell = 0
    }

    /// Of the workers, by their index.
    package let blocks: [StatsBlock]
    /// Of the thread that does what is done once for the process, such as health checks. Not part of sums.
    package let background: StatsBlock
    /// Of the thread that sends spans through clusters. Part of sums, as if it were one more worker.
    package let exporting: StatsBlock
    /// All that are part of sums.
    package let summed: [StatsBlock]
    private let state = Mutex(State())

    package init(
        blocks: [StatsBlock], background: StatsBlock = StatsBlock(), exporting: StatsBlock = StatsBlock()
    ) {
        self.blocks = blocks
        self.background = background
        self.exporting = exporting
        summed = blocks + [exporting]
        // Worker cells come first: `Worker` counts at base 0.
        let own = try? range(for: Owner(.worker, ""), count: WorkerStat.cellCount)
        precondition(own?.base == 0)
    }

    /// The owner's cells; the same ones as before when it had some.
    package func range(for owner: Owner, count: Int) throws(Full) -> Range {
        let found: Range? = state.withLock { state in
            if let range = state.ranges[owner] {
                if range.count == count { return range }
                state.retired.append((owner.kind, range))
            }
            let range: Range
            // For owners of its kind only: what still knows the cells of one that is gone counts the same things.
            let index = state.retired.firstIndex {
                $0.kind == owner.kind && $0.range.count == count && isQuiet($0.range)
            }
            if let index {
                range = state.retired.remove(at: index).range
                clear(range)
            } else {
                guard state.nextCell + count <= StatsBlock.cellsMax else { return nil }
                range = Range(base: state.nextCell, count: count)
                state.nextCell += count
            }
            state.ranges[owner] = range
            state.since[range.base] = monotonicNowNs()
            return range
        }
        guard let found else { throw Full() }
        return found
    }

    /// Forgets owners that are not in `owners`: their series end.
    package func retain(only owners: Set<Owner>) {
        state.withLock { state in
            for (owner, range) in state.ranges where owner.kind != .worker && !owners.contains(owner) {
                state.ranges[owner] = nil
                state.retired.append((owner.kind, range))
            }
        }
    }

    /// By the first cell of each.
    package func owners() -> [Int: Holder] {
        state.withLock { state in
            Dictionary(
                state.ranges.map { ($1.base, Holder(owner: $0, sinceNs: state.since[$1.base] ?? 0)) },
                uniquingKeysWith: { $1 })
        }
    }

    /// The scope of a range in one worker's block.
    package func scope(_ range: Range, worker: Int) -> StatsScope {
        StatsScope(block: worker == exportingIndex ? exporting : blocks[worker], base: range.base)
    }

    /// Stands for the thread that sends spans where a worker's index is asked for.
    package var exportingIndex: Int { blocks.count }

    package func scopes(_ range: Range) -> [StatsScope] {
        summed.map { StatsScope(block: $0, base: range.base) }
    }

    /// The scope of a range in the block of the background thread.
    package func backgroundScope(_ range: Range) -> StatsScope { StatsScope(block: background, base: range.base) }

    // MARK: Reading

    /// The sum over workers; gauges count up and down in wrapping arithmetic, so sums are right for them too.
    package func sum(_ range: Range, _ stat: some RawRepresentable<Int>) -> UInt64 {
        summed.reduce(0) { $0 &+ $1.read(range.base + stat.rawValue) }
    }

    /// Open connections of a kind of owner, those of owners that are gone included.
    package func active(of kind: Kind) -> UInt64 {
        state.withLock { state in
            let current = state.ranges.lazy.filter { $0.key.kind == kind }.map(\.value)
            let gone = state.retired.lazy.filter { $0.kind == kind }.map(\.range)
            return current.reduce(0) { $0 &+ sum($1, ConnectionStat.active) }
                &+ gone.reduce(0) { $0 &+ sum($1, ConnectionStat.active) }
        }
    }

    /// Counts by bucket, and the sum of all values, of the histogram at `stat`.
    package func histogram(_ range: Range, _ stat: some RawRepresentable<Int>) -> (buckets: [UInt64], sum: UInt64) {
        let first = range.base + stat.rawValue
        let buckets = (0..<Histogram.bucketCount).map { bucket in
            summed.reduce(0) { $0 &+ $1.read(first + bucket) }
        }
        let sum = summed.reduce(0) { $0 &+ $1.read(first + Histogram.sumCell) }
        return (buckets, sum)
    }

    // MARK: Reuse

    private var allBlocks: [StatsBlock] { blocks + [background, exporting] }

    /// No connection counts in the range any more, so it has no writer.
    private func isQuiet(_ range: Range) -> Bool {
        allBlocks.allSatisfy { $0.read(range.base + ConnectionStat.active.rawValue) == 0 }
    }

    private func clear(_ range: Range) {
        for block in allBlocks {
            for cell in range.base..<(range.base + range.count) { block.set(0, in: cell) }
        }
    }
}
