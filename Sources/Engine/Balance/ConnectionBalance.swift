/// How much a worker has to do, as the others see it.
package struct WorkerLoad: Equatable, Sendable {
    /// Open connections of the listener in question, those included that are on their way to the worker.
    package var connections: UInt64
    /// The share of a CPU, in thousandths, that the worker uses.
    package var busyPermille: UInt64

    package init(connections: UInt64, busyPermille: UInt64) {
        self.connections = connections
        self.busyPermille = busyPermille
    }
}

/// Which worker gets a connection that one of them has accepted.
///
/// The one that accepted it keeps it unless another is clearly better off: a worker with fewer connections of the
/// listener, or, when the own CPU is at least half used, one that has a quarter of a CPU more to spare. "Fewer" leaves
/// room for an eighth, so that it is exact for the few connections of HTTP/2 and lets many fluctuate.
package struct ConnectionBalance {
    package static let busyPermilleMin: UInt64 = 500
    package static let gapPermille: UInt64 = 250

    private let own: WorkerLoad
    private let countsMatter: Bool
    private let reliefMatters: Bool
    private var best: WorkerLoad?
    private var isBestForRelief = false
    /// The worker to hand the connection to; nil to keep it.
    package private(set) var choice: Int?

    /// - Parameters:
    ///   - countsMatter: false where connections come and go so fast that their number says nothing
    ///   - mayRelieve: false when so many went to less busy workers that their load is not what it was
    package init(own: WorkerLoad, countsMatter: Bool, mayRelieve: Bool) {
        self.own = own
        self.countsMatter = countsMatter && own.connections > 0
        reliefMatters = mayRelieve && own.busyPermille >= Self.busyPermilleMin
    }

    /// Whether any worker could be better.
    package var isOpen: Bool { countsMatter || reliefMatters }

    /// The choice was made for the CPU that `choice` has to spare.
    package var isRelief: Bool { isBestForRelief }

    package mutating func consider(_ worker: Int, _ load: WorkerLoad) {
        let relieves = reliefMatters && load.busyPermille + Self.gapPermille <= own.busyPermille
        let isBusier =
            load.busyPermille >= Self.busyPermilleMin && load.busyPermille >= own.busyPermille + Self.gapPermille
        let hasFewer = countsMatter && !isBusier && own.connections > load.connections + load.connections / 8
        guard relieves || hasFewer else { return }
        if let best {
            if isBestForRelief, !relieves { return }
            if isBestForRelief == relieves {
                let isBetter =
                    relieves ? load.busyPermille < best.busyPermille : load.connections < best.connections
                guard isBetter else { return }
            }
        }
        best = load
        isBestForRelief = relieves
        choice = worker
    }
}

/// How fast connections of a listener come to a worker, by the intervals of its `LoadMeter`.
package struct AcceptRate: Equatable, Sendable {
    private var interval: UInt64 = 0
    private var count: UInt64 = 0
    private var before: UInt64 = 0

    package init() {}

    package mutating func note(interval now: UInt64) {
        if now != interval {
            before = interval &+ 1 == now ? count : 0
            count = 0
            interval = now
        }
        count += 1
    }

    /// Connections that live for a fraction of an interval only: who has how many of them at a given moment is chance,
    /// and where they are accepted spreads them already.
    package func isChurn(open: UInt64) -> Bool { max(count, before) > 4 * open + 32 }
}

/// Measures how busy a worker is, interval by interval.
package struct LoadMeter: Sendable {
    /// The shortest interval. One in which the worker sleeps ends when it wakes up.
    package static let intervalNs: UInt64 = 100_000_000
    /// Connections that one worker, which has `open` ones, hands to less busy ones in an interval: what they make of the
    /// others' load shows in the next one. Few connections are spread by their number: how busy the workers are may be
    /// the work of some that have just gone.
    package static func reliefsMax(open: UInt64) -> UInt64 { min(1 + open / 8, 8) }

    package private(set) var interval: UInt64 = 0
    private var startNs: UInt64
    private var cpuBeforeNs: UInt64 = 0
    package var reliefs: UInt64 = 0

    package init(nowNs: UInt64) { startNs = nowNs }

    @inline(__always)
    package func isOver(atNs nowNs: UInt64) -> Bool { nowNs >= startNs + Self.intervalNs }

    /// The interval by whether the worker used a CPU. Time in system calls counts by what they did: the one that waits
    /// also submits, and most of what a worker costs is sent there.
    package func time(atNs nowNs: UInt64, cpuNs: UInt64) -> (busyNs: UInt64, idleNs: UInt64) {
        let wholeNs = nowNs - startNs
        let busyNs = min(cpuNs - cpuBeforeNs, wholeNs)
        return (busyNs, wholeNs - busyNs)
    }

    /// - Parameter cpuNs: the CPU time that the worker has used in its life: what it waits for a CPU that others use is no
    ///   work that others could take over
    /// - Returns: thousandths of the interval that ends now
    package mutating func end(atNs nowNs: UInt64, cpuNs: UInt64) -> UInt64 {
        let busyPermille = min((cpuNs - cpuBeforeNs) * 1000 / max(nowNs - startNs, 1), 1000)
        interval &+= 1
        startNs = nowNs
        cpuBeforeNs = cpuNs
        reliefs = 0
        return busyPermille
    }

    /// What a worker has written down about itself, read by anybody. One that sleeps writes nothing.
    package static func busyPermille(of block: StatsBlock, nowNs: UInt64) -> UInt64 {
        let writtenNs = block.read(WorkerStat.loadMeasuredNs.rawValue)
        guard nowNs < writtenNs + 3 * intervalNs else { return 0 }
        return block.read(WorkerStat.busyPermille.rawValue)
    }
}
