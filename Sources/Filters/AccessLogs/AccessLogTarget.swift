package import Engine
package import Synchronization

/// Where the lines of an access log go, seen from the workers: a ring for each of them, which a thread of the control
/// side empties into the file. A path has one target for the whole process, which outlives reloads.
package final class AccessLogTarget: Sendable {
    package let path: String
    /// By worker.
    package let rings: [ByteRing]
    package let stats: StatsRegistry.Range
    package let doorbell: Doorbell
    /// Logs of workers that write here: while there are any, the target is read.
    package let users = Atomic<Int>(0)

    /// Bytes of a ring. At 300 bytes a line and 100,000 lines a second it holds what comes in 140 ms.
    package static let ringBytes = 4 << 20
    /// A line beyond this is dropped. Values are cut long before (`CommandFormat.valueBytesMax`).
    package static let lineBytesMax = ringBytes / 4
    /// With so much in a ring its reader is woken; less waits for it to look.
    package static let wakeBytes = 256 << 10

    /// - Parameter workers: 0 for a target that nobody writes to, when a configuration is only checked
    package init(path: String, workers: Int, stats: StatsRegistry.Range, doorbell: Doorbell) {
        self.path = path
        self.stats = stats
        self.doorbell = doorbell
        rings = (0..<workers).map { _ in ByteRing(capacity: Self.ringBytes) }
    }

    deinit { for ring in rings { ring.destroy() } }
}

/// What workers count for each access log.
package enum AccessLogStat: Int, Sendable {
    /// Lines that were handed over to be written.
    case lines = 0
    /// Logs that write: at the place of `ConnectionStat.active`, so that cells in use are not given to another owner.
    case active = 1
    /// Lines that found no room, because the file does not take them as fast as they come.
    case droppedFull
    /// Lines longer than any may be.
    case droppedTooLong

    package static let cellCount = 4
}
