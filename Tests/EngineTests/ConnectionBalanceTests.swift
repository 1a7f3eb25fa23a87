import Engine
import Testing

@Suite("Connection balance")
struct ConnectionBalanceTests {
    /// Whom a worker with `own` hands a connection to, among others that are numbered from 1.
    private func choice(
        own: (connections: UInt64, busy: UInt64), _ others: [(connections: UInt64, busy: UInt64)],
        countsMatter: Bool = true, mayRelieve: Bool = true
    ) -> Int? {
        var balance = ConnectionBalance(
            own: WorkerLoad(connections: own.connections, busyPermille: own.busy), countsMatter: countsMatter,
            mayRelieve: mayRelieve)
        guard balance.isOpen else { return nil }
        for (index, other) in others.enumerated() {
            balance.consider(
                index + 1, WorkerLoad(connections: other.connections, busyPermille: other.busy))
        }
        return balance.choice
    }

    @Test func keepsTheFirstConnection() {
        #expect(choice(own: (0, 0), [(0, 0)]) == nil)
    }

    @Test func isExactForFewConnections() {
        #expect(choice(own: (1, 0), [(0, 0)]) == 1)
        #expect(choice(own: (1, 0), [(1, 0)]) == nil)
        #expect(choice(own: (4, 0), [(3, 0)]) == 1)
        #expect(choice(own: (2, 0), [(1, 0), (0, 0), (1, 0)]) == 2)
    }

    @Test func toleratesAnEighthOfMany() {
        #expect(choice(own: (112, 0), [(100, 0)]) == nil)
        #expect(choice(own: (113, 0), [(100, 0)]) == 1)
    }

    @Test func sendsNothingToAWorkerThatIsMuchBusier() {
        #expect(choice(own: (4, 100), [(1, 900)]) == nil)
        #expect(choice(own: (4, 700), [(1, 900)]) == 1)
        #expect(choice(own: (4, 100), [(1, 400)]) == 1)
    }

    @Test func relievesABusyWorkerWhateverTheCounts() {
        #expect(choice(own: (1, 900), [(5, 100)]) == 1)
        #expect(choice(own: (1, 900), [(5, 300), (9, 100)]) == 2)
        // The one with fewer connections comes second to the one with time to spare.
        #expect(choice(own: (8, 900), [(2, 800), (8, 100)]) == 2)
        #expect(choice(own: (8, 900), [(8, 100), (2, 800)]) == 1)
        #expect(choice(own: (1, 900), [(5, 700)]) == nil)
        #expect(choice(own: (1, 400), [(5, 0)]) == nil)
        #expect(choice(own: (1, 900), [(5, 100)], mayRelieve: false) == nil)
    }

    @Test func countsOfShortConnectionsSayNothing() {
        #expect(choice(own: (9, 100), [(1, 100)], countsMatter: false) == nil)
        #expect(choice(own: (9, 900), [(1, 100)], countsMatter: false) == 1)
    }

    @Test func knowsChurnFromABurst() {
        var burst = AcceptRate()
        for open in 0..<10_000 as Range<UInt64> {
            burst.note(interval: 1)
            #expect(!burst.isChurn(open: open))
        }
        var churn = AcceptRate()
        for _ in 0..<100 { churn.note(interval: 1) }
        #expect(churn.isChurn(open: 4))
        // It was churn a moment ago.
        churn.note(interval: 2)
        #expect(churn.isChurn(open: 4))
        churn.note(interval: 4)
        #expect(!churn.isChurn(open: 4))
    }

    @Test func measuresTheBusyShareOfAnInterval() {
        var meter = LoadMeter(nowNs: 0)
        #expect(!meter.isOver(atNs: LoadMeter.intervalNs - 1))
        #expect(meter.isOver(atNs: LoadMeter.intervalNs))
        #expect(meter.time(atNs: 100_000_000, cpuNs: 75_000_000) == (75_000_000, 25_000_000))
        #expect(meter.end(atNs: 100_000_000, cpuNs: 75_000_000) == 750)
        #expect(meter.time(atNs: 1_100_000_000, cpuNs: 175_000_000) == (100_000_000, 900_000_000))
        #expect(meter.end(atNs: 1_100_000_000, cpuNs: 175_000_000) == 100)
        #expect(meter.interval == 2)
    }

    @Test func aWorkerThatSleepsIsNotBusy() {
        let block = StatsBlock()
        block.set(900, in: WorkerStat.busyPermille.rawValue)
        block.set(1_000_000_000, in: WorkerStat.loadMeasuredNs.rawValue)
        #expect(LoadMeter.busyPermille(of: block, nowNs: 1_100_000_000) == 900)
        #expect(LoadMeter.busyPermille(of: block, nowNs: 1_300_000_000) == 0)
    }
}

@Suite("Worker peers")
struct WorkerPeersTests {
    private func makePeers(_ count: Int) throws -> WorkerPeers {
        WorkerPeers(
            blocks: (0..<count).map { _ in StatsBlock() }, mailboxes: try (0..<count).map { _ in try Mailbox() })
    }

    @Test func handsOverInOrderAndByPair() throws {
        let peers = try makePeers(3)
        for socket in 0..<5 as Range<Int32> {
            #expect(peers.hand(Handover(socket: socket, group: 7), from: 0, to: 1))
            #expect(peers.hand(Handover(socket: socket + 10, group: .max), from: 2, to: 1))
        }
        #expect(peers.waiting(from: 0, to: 1) == 5)
        #expect(peers.inFlight == 10)
        #expect(peers.first(from: 0, to: 2) == nil)
        for socket in 0..<5 as Range<Int32> {
            #expect(peers.first(from: 0, to: 1) == Handover(socket: socket, group: 7))
            peers.removeFirst(from: 0, to: 1)
            #expect(peers.first(from: 2, to: 1) == Handover(socket: socket + 10, group: .max))
            peers.removeFirst(from: 2, to: 1)
        }
        #expect(peers.first(from: 0, to: 1) == nil)
        #expect(peers.inFlight == 0)
    }

    @Test func takesNothingWhenARingIsFull() throws {
        let peers = try makePeers(2)
        for round in 0..<3 as Range<Int32> {
            for socket in 0..<Int32(WorkerPeers.ringCapacity) {
                #expect(peers.hand(Handover(socket: round * 100 + socket, group: 1), from: 1, to: 0))
            }
            #expect(!peers.hand(Handover(socket: -1, group: 1), from: 1, to: 0))
            for socket in 0..<Int32(WorkerPeers.ringCapacity) {
                #expect(peers.first(from: 1, to: 0)?.socket == round * 100 + socket)
                peers.removeFirst(from: 1, to: 0)
            }
        }
    }
}
