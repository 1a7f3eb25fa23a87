internal import CIOUring
internal import Glibc

/// Whose work a worker's CPU time is.
///
/// Now and then, on one turn of sixteen on average, the time of each event is taken and given to the owner that the
/// event was charged to. The CPU time from there to the same point of the next turn, which has the system calls that
/// the events led to, is then divided among the owners as their events' times are, and counted sixteen times. Which turns
/// are measured is random, so that nothing that repeats can keep out of sight or always be seen: the counts are right on
/// average, and off by about a hundredth of their value over some thousands of measured turns.
///
/// On all other turns an event costs one look at `isMeasuring`.
@safe
struct CostMeter {
    private struct Share {
        var cell: UInt32
        var ns: UInt64
    }

    /// Owners in one turn; the work of others belongs to nobody.
    private static let sharesMax = 64
    /// One turn of so many is measured.
    private static let period: UInt64 = 16

    private(set) var isMeasuring = false
    private let shares = UnsafeMutablePointer<Share>.allocate(capacity: Self.sharesMax)
    private var shareCount = 0
    private var unownedNs: UInt64 = 0
    /// The owner that the current event is charged to, and since when; 0 for nobody yet.
    private var cell: UInt32 = 0
    private var sinceNs: UInt64 = 0
    private var cpuBeforeNs: UInt64 = 0
    private var turnsLeft: UInt64 = 1
    private var random: UInt64

    /// - Parameter seed: which turns are measured
    init(seed: UInt64) { random = seed | 1 }

    /// A turn has its events. True when they are to be measured.
    @inline(__always)
    mutating func turnBegins() -> Bool {
        turnsLeft &-= 1
        return turnsLeft == 0
    }

    mutating func begin(nowNs: UInt64) {
        // Marsaglia's xorshift; 1 to 31 turns, 16 on average.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        turnsLeft = random % (2 * Self.period - 1) + 1
        isMeasuring = true
        shareCount = 0
        unownedNs = 0
        cell = 0
        sinceNs = nowNs
        cpuBeforeNs = Self.threadCPUNs()
    }

    /// The work from here on, and what the current event did before its first owner, is for `owner`.
    mutating func charge(_ owner: UInt32, nowNs: @autoclosure () -> UInt64) {
        guard owner != cell else { return }
        if cell != 0 { settle(nowNs()) }
        cell = owner
    }

    mutating func eventEnded(nowNs: UInt64) {
        settle(nowNs)
        cell = 0
    }

    private mutating func settle(_ nowNs: UInt64) {
        let ns = nowNs &- sinceNs
        sinceNs = nowNs
        guard cell != 0 else {
            unownedNs &+= ns
            return
        }
        for index in 0..<shareCount where unsafe shares[index].cell == cell {
            unsafe shares[index].ns &+= ns
            return
        }
        guard shareCount < Self.sharesMax else {
            unownedNs &+= ns
            return
        }
        unsafe shares[shareCount] = Share(cell: cell, ns: ns)
        shareCount += 1
    }

    /// The next turn has begun: divides the CPU time since the last one.
    mutating func end(_ stats: StatsBlock) {
        isMeasuring = false
        guard shareCount > 0 else { return }
        let cpuNs = Self.threadCPUNs() &- cpuBeforeNs
        var totalNs = unownedNs
        for index in 0..<shareCount { unsafe totalNs &+= shares[index].ns }
        guard totalNs > 0 else { return }
        let scale = Double(cpuNs) * Double(Self.period) / Double(totalNs)
        for index in 0..<shareCount {
            let share = unsafe shares[index]
            stats.add(UInt64(Double(share.ns) * scale), to: Int(share.cell))
        }
    }

    private static func threadCPUNs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension Worker {
    /// From here on the worker works for the owner of this cell, in which it counts nanoseconds of CPU time; until the
    /// end of the event, or until another is charged.
    @inline(__always)
    package func charge(_ cell: UInt32) {
        if core.value.meter.isMeasuring { core.value.meter.charge(cell, nowNs: io { $0.nowNs() }) }
    }

    /// What the kernel has sent belongs to whom it was sent for.
    @inline(__always)
    func chargeSent(on connection: Connection) {
        if core.value.meter.isMeasuring { charge(connection.state.costCell) }
    }

    /// Counts in a cell of this worker that a registry gave out.
    @inline(__always)
    package func count(_ amount: UInt64 = 1, inCell cell: UInt32) { core.value.stats.add(amount, to: Int(cell)) }
}

extension Connection {
    /// From here on what is sent on the connection is sent for the owner of this cell; 0 for nobody.
    @inline(__always)
    package func charge(to cell: UInt32) { state.costCell = cell }
}
