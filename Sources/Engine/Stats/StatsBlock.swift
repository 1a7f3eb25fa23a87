internal import Glibc
package import Synchronization

/// The numbers of one worker: a reserved range of 64-bit cells that only this worker writes.
///
/// Other threads read them at any time. A relaxed load and a relaxed store are plain moves on the machines
/// we run on, so counting takes no lock and no locked instruction, and a scrape never holds a worker up.
@safe
package struct StatsBlock: BitwiseCopyable, @unchecked Sendable {
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>

    /// Cells a worker can have: the bound on counters, gauges and histogram buckets together.
    package static let cellsMax = 1 << 20

    package init() {
        unsafe cells = ReservedMemory.map(bytes: Self.cellsMax * MemoryLayout<UInt64>.stride)
            .bindMemory(to: Atomic<UInt64>.self, capacity: Self.cellsMax)
    }

    /// Cells for something else that one thread writes and others read; they live as long as the process.
    package static func reserveCells(_ count: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe ReservedMemory.map(bytes: count * MemoryLayout<UInt64>.stride)
            .bindMemory(to: Atomic<UInt64>.self, capacity: count)
    }

    @inline(__always)
    package func add(_ amount: UInt64, to cell: Int) {
        assert(cell < Self.cellsMax)
        // One writer: nothing is lost between the load and the store.
        let value = unsafe cells[cell].load(ordering: .relaxed)
        unsafe cells[cell].store(value &+ amount, ordering: .relaxed)
    }

    @inline(__always)
    package func subtract(_ amount: UInt64, from cell: Int) { add(0 &- amount, to: cell) }

    package func set(_ value: UInt64, in cell: Int) {
        unsafe cells[cell].store(value, ordering: .relaxed)
    }

    package func read(_ cell: Int) -> UInt64 {
        assert(cell < Self.cellsMax)
        return unsafe cells[cell].load(ordering: .relaxed)
    }
}

/// Some consecutive cells of one worker's block: the numbers of one listener, cluster or endpoint.
@safe
package struct StatsScope: BitwiseCopyable, Sendable {
    private let block: StatsBlock
    private let base: Int

    package init(block: StatsBlock, base: Int) {
        self.block = block
        self.base = base
    }

    /// Where it begins, the same for all workers.
    package var firstCell: Int { base }

    @inline(__always)
    package func add(_ amount: UInt64 = 1, to stat: some RawRepresentable<Int>) {
        block.add(amount, to: base + stat.rawValue)
    }

    @inline(__always)
    package func subtract(_ amount: UInt64 = 1, from stat: some RawRepresentable<Int>) {
        block.subtract(amount, from: base + stat.rawValue)
    }

    package func set(_ value: UInt64, in stat: some RawRepresentable<Int>) {
        block.set(value, in: base + stat.rawValue)
    }

    package func read(_ stat: some RawRepresentable<Int>) -> UInt64 { block.read(base + stat.rawValue) }

    /// What another worker counts of the same thing.
    package func sameCells(of other: StatsBlock) -> StatsScope { StatsScope(block: other, base: base) }

    /// Counts `value` in the histogram that starts at `stat`.
    @inline(__always)
    package func record(_ value: UInt64, in stat: some RawRepresentable<Int>) {
        let first = base + stat.rawValue
        block.add(1, to: first + Histogram.bucket(of: value))
        block.add(value, to: first + Histogram.sumCell)
    }

    @inline(__always)
    func add(_ amount: UInt64, offset: Int) { block.add(amount, to: base + offset) }
}
