import Engine
import Simulation
import Testing

func plan(_ change: (inout SimulatedPeer.Plan) -> Void) -> SimulatedPeer.Plan {
    var plan = SimulatedPeer.Plan()
    change(&plan)
    return plan
}

extension Connection {
    /// Queues `count` bytes of memory of their own.
    func writeBytes(_ count: Int) {
        write(
            unsafe worker.make(capacity: max(count, 1)) { memory in
                unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
                return count
            })
    }
}

/// A worker with one listener whose connections follow a script.
private struct World {
    let simulation: SimulatedWorker
    let script = ScriptedFilter.Script()
    let listener: SimulatedWorker.Listener

    init(
        limits: WorkerLimits = SimulatedWorker.smallLimits, socketBufferBytes: Int = 4096, seed: UInt64 = 1,
        perturbation: Perturbation = Perturbation()
    ) throws {
        simulation = try SimulatedWorker(seed: seed, perturbation: perturbation, limits: limits)
        simulation.network.socketBufferBytes = socketBufferBytes
        // What the proxy makes itself has no stream number.
        simulation.checksStreams = false
        listener = simulation.listen([ScriptedFactory(script)])
    }

    func connect(_ change: (inout SimulatedPeer.Plan) -> Void = { _ in }) -> SimulatedPeer {
        simulation.connectPeer(to: listener, plan: plan(change))
    }

    func finish() -> [String] {
        simulation.run(forNs: 1_000_000)
        simulation.run { simulation.worker.connectionCount == 0 }
        return simulation.problemsAtEnd()
    }
}

private let second: UInt64 = 1_000_000_000

@Suite("Connection")
struct ConnectionTests {
    // MARK: Ends

    @Test func closesWhenBothStreamsHaveEnded() throws {
        let world = try World()
        world.script.onEnd = { $0.finishWriting() }
        let peer = world.connect {
            $0.sendBytes = 100; $0.finish = .afterSending
        }
        #expect(world.finish() == [])
        #expect(peer.sawEnd && !peer.sawReset)
        #expect(world.script.filters.map(\.closeReason) == [.finished])
        #expect(world.script.filters[0].events == ["end", "close"])
    }

    @Test func staysHalfOpenUntilItsOwnStreamEnds() throws {
        let world = try World()
        let peer = world.connect { $0.finish = .afterSending }
        world.simulation.run(forNs: 10 * second)
        #expect(world.simulation.worker.connectionCount == 1 && !peer.sawEnd)
        world.script.filters[0].connection.writeBytes(50)
        world.script.filters[0].connection.finishWriting()
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == 50 && peer.sawEnd)
    }

    @Test func tellsAResetApartFromAnEnd() throws {
        let world = try World()
        _ = world.connect {
            $0.sendBytes = 10; $0.ending = .reset; $0.endsAfterSent = 10
        }
        #expect(world.finish() == [])
        #expect(world.script.filters.map(\.closeReason) == [.remoteReset])
    }

    /// Whichever the worker hears of first: that its send failed, or what came before the reset.
    @Test(arguments: 1...40)
    func hearsWhatThePeerSaidBeforeItsReset(seed: UInt64) throws {
        var perturbation = Perturbation()
        perturbation.shufflesCompletions = true
        let world = try World(seed: seed, perturbation: perturbation)
        world.script.onConnected = nil
        let peer = world.connect { $0.sendBytes = 10 }
        world.simulation.run(forNs: 1_000_000)
        peer.reset()
        world.simulation.run(forNs: 1_000_000)
        world.script.filters[0].connection.startReading()
        world.script.filters[0].connection.writeBytes(100)
        #expect(world.finish() == [])
        #expect(world.script.filters.map(\.received) == [10])
        #expect(world.script.filters.map(\.closeReason) == [.remoteReset])
    }

    @Test func resetsThePeerWhenAskedTo() throws {
        let world = try World()
        world.script.onConnected = { $0.close(.denied, reset: true) }
        let peer = world.connect()
        #expect(world.finish() == [])
        #expect(peer.sawReset && world.simulation.closes(world.listener.counters, .denied) == 1)
    }

    @Test func closeDropsWhatIsQueued() throws {
        let world = try World(socketBufferBytes: 512)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(100_000)
        }
        let peer = world.connect { $0.readLimit = 0 }
        world.simulation.run(forNs: second)
        world.script.filters[0].connection.close(.localClose)
        #expect(world.finish() == [])
        peer.readOn()
        world.simulation.run(forNs: second)
        #expect(peer.receivedBytes < 2_000)
    }

    // MARK: Ends with something left to say

    @Test func sendsWhatIsQueuedBeforeItCloses() throws {
        let world = try World(socketBufferBytes: 512)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(20_000)
            connection.closeWhenSent(.localClose)
        }
        let peer = world.connect { $0.finish = .afterEnd }
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == 20_000 && peer.sawEnd && !peer.sawReset)
        #expect(world.script.filters.map(\.closeReason) == [.localClose])
    }

    @Test func sendsWhatIsQueuedAlsoWhenThePeerEndsMeanwhile() throws {
        let world = try World(socketBufferBytes: 512)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(20_000)
            connection.closeWhenSent(.localClose)
        }
        let peer = world.connect {
            $0.chunkBytes = 256; $0.stepNs = 1_000_000; $0.finish = .afterSending
        }
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == 20_000 && peer.sawEnd && !peer.sawReset)
        #expect(world.script.filters.map(\.closeReason) == [.localClose])
    }

    @Test func resetsOnlyAfterThePeerHasEverything() throws {
        let world = try World(socketBufferBytes: 512)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(20_000)
            connection.closeWhenSent(.otherSideReset, reset: true)
        }
        // The peer ends its stream while it still reads: that does not cut off what it is owed.
        let peer = world.connect {
            $0.chunkBytes = 256; $0.stepNs = 1_000_000; $0.finish = .afterSending
        }
        #expect(world.finish() == [])
        world.simulation.run(forNs: second)
        #expect(peer.receivedBytes == 20_000 && peer.sawReset)
    }

    @Test func lingersForTheEndOfThePeerButNotForLong() throws {
        let world = try World()
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(10)
            connection.closeWhenSent(.localClose)
        }
        _ = world.connect()
        let startNs = world.simulation.network.nowNs
        #expect(world.finish() == [])
        let tookNs = world.simulation.network.nowNs - startNs
        #expect(tookNs >= Connection.lingerNs && tookNs < Connection.lingerNs + 2 * second)
    }

    @Test func givesUpOnAPeerThatReadsNothingButGoesOnSending() throws {
        let world = try World(socketBufferBytes: 512)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(20_000)
            connection.closeWhenSent(.localClose)
        }
        let peer = world.connect { plan in
            plan.readLimit = 0
            plan.sendBytes = .max / 2
            plan.chunkBytes = 1
            plan.stepNs = second
        }
        let isClosed =
            world.simulation.run(forNs: 2 * Connection.flushNs) && world.simulation.worker.connectionCount == 0
        #expect(isClosed, "the bound of a flush counts progress of the flush")
        peer.reset()
        #expect(world.finish() == [])
    }

    @Test(arguments: [true, false]) func aReaderOfAFewBytesNowAndThenIsNotWaitedForForEver(isTooSlow: Bool) throws {
        let world = try World(socketBufferBytes: 4096)
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(100_000)
            connection.closeWhenSent(.localClose)
        }
        // It never stands still for the time that a flush may do so.
        let peer = world.connect { plan in
            plan.chunkBytes = isTooSlow ? 300 : 1500
            plan.stepNs = second
        }
        let slowest = UInt64(100_000) / Connection.flushBytesPerSecondMin * second + Connection.flushNs
        world.simulation.run(forNs: slowest + 2 * second)
        #expect(world.simulation.worker.connectionCount == 0)
        #expect(world.script.filters.map(\.closeReason) == [isTooSlow ? .flushTimeout : .localClose])
        #expect(world.finish() == [])
        // It still reads what its own socket held.
        world.simulation.run(forNs: 60 * second)
        #expect((peer.receivedBytes == 100_000) == !isTooSlow && peer.sawReset == isTooSlow)
    }

    // MARK: Writing

    @Test func discardsALeaseOfNothing() throws {
        let world = try World()
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(0)
        }
        world.script.onEnd = { $0.finishWriting() }
        let peer = world.connect { $0.finish = .afterSending }
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == 0 && peer.sawEnd)
    }

    @Test func gathersMoreSlicesThanOneSendTakes() throws {
        let world = try World()
        world.script.onConnected = { connection in
            for _ in 0..<200 { connection.writeBytes(3) }
            connection.finishWriting()
            connection.startReading()
        }
        let peer = world.connect { $0.finish = .afterEnd }
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == 600)
    }

    @Test func saysWhenItTakesNoMoreAndWhenItDoesAgain() throws {
        let world = try World()
        world.script.onConnected = { connection in
            connection.startReading()
            connection.writeBytes(Connection.highWaterBytes + 1)
        }
        let peer = world.connect { $0.readLimit = 0 }
        world.simulation.run(forNs: second)
        #expect(world.script.filters[0].events == ["above"])
        peer.readOn()
        world.simulation.run(forNs: second)
        #expect(world.script.filters[0].events == ["above", "below"])
        peer.reset()
        #expect(world.finish() == [])
    }

    @Test func refusesWhatTheSegmentTableCannotHold() throws {
        var limits = SimulatedWorker.smallLimits
        limits.segmentsMax = 4
        let world = try World(limits: limits)
        world.script.onConnected = { connection in
            // Too large to be joined with the one before.
            for _ in 0..<5 { connection.writeBytes(3_000) }
        }
        _ = world.connect()
        #expect(world.finish() == [])
        #expect(world.script.filters.map(\.closeReason) == [.limit])
    }

    @Test func joinsSmallSlicesWithTheOneBefore() throws {
        var limits = SimulatedWorker.smallLimits
        limits.segmentsMax = 4
        let world = try World(limits: limits)
        let sizes = [10, 2_048, 1, 3_000, 20, 2_000, 100]
        world.script.onConnected = { connection in
            connection.startReading()
            for size in sizes { connection.writeBytes(size) }
            connection.finishWriting()
        }
        let peer = world.connect { $0.finish = .afterEnd }
        #expect(world.finish() == [])
        #expect(peer.receivedBytes == sizes.reduce(0, +))
    }

    // MARK: Reading

    @Test func readsNothingWhilePaused() throws {
        let world = try World(socketBufferBytes: 1024)
        world.script.onData = { data, filter in
            filter.connection.worker.discard(data)
            filter.connection.pauseReading()
        }
        world.script.onEnd = { $0.finishWriting() }
        let peer = world.connect {
            $0.sendBytes = 50_000; $0.finish = .afterSending
        }
        var rounds = 0
        while world.simulation.worker.connectionCount > 0 || rounds == 0, rounds < 1_000 {
            world.simulation.run(forNs: 1_000_000)
            let before = world.script.filters[0].received
            world.simulation.run(forNs: 1_000_000)
            #expect(world.script.filters[0].received == before)
            world.script.filters[0].connection.resumeReading()
            rounds += 1
        }
        #expect(world.finish() == [])
        #expect(world.script.filters[0].received == 50_000 && peer.sentBytes == 50_000)
    }

    @Test func closesAfterTheIdleTimeoutButNotWhileBytesCome() throws {
        let world = try World()
        world.script.onConnected = { connection in
            connection.setIdleTimeout(ns: 5 * second)
            connection.startReading()
        }
        _ = world.connect {
            $0.sendBytes = 10; $0.chunkBytes = 1; $0.stepNs = 3 * second
        }
        let startNs = world.simulation.network.nowNs
        world.simulation.run { world.script.filters.first?.closeReason != nil }
        let tookNs = world.simulation.network.nowNs - startNs
        #expect(world.finish() == [])
        #expect(world.script.filters.map(\.closeReason) == [.idleTimeout])
        #expect(tookNs / second == 35)
    }

    // MARK: Connecting

    @Test func endsItsStreamAlsoWhenToldBeforeItIsConnected() throws {
        let world = try World()
        let address = NetworkAddress(ipv4Bits: 0x0A00_0001, port: 80)
        let server = SimulatedServer()
        server.connectNs = { _ in second / 10 }
        server.plan = { _ in plan { $0.finish = .afterEnd } }
        world.simulation.network.servers["\(address)"] = server
        let (scope, _) = world.simulation.makeScope(.cluster, "c", cells: ConnectionStat.cellCount)
        let handler = ScriptedHandler()
        handler.whenConnected = { $0.startReading() }
        let connection = world.simulation.worker.connect(
            to: address, handler: handler, counters: scope, timeoutNs: second)
        connection?.finishWriting()
        #expect(world.finish() == [])
        #expect(server.peers.count == 1 && server.peers[0].sawEnd)
        #expect(handler.events == ["connected", "close finished"])
    }

    @Test func sendsWhatWasWrittenBeforeItIsConnected() throws {
        let world = try World()
        let address = NetworkAddress(ipv4Bits: 0x0A00_0001, port: 80)
        let server = SimulatedServer()
        server.connectNs = { _ in second / 10 }
        server.plan = { _ in plan { $0.finish = .afterEnd } }
        world.simulation.network.servers["\(address)"] = server
        let (scope, _) = world.simulation.makeScope(.cluster, "c", cells: ConnectionStat.cellCount)
        let handler = ScriptedHandler()
        handler.whenConnected = { $0.startReading() }
        let connection = world.simulation.worker.connect(
            to: address, handler: handler, counters: scope, timeoutNs: second)
        connection?.writeBytes(77)
        connection?.finishWriting()
        #expect(world.finish() == [])
        #expect(server.peers.map(\.receivedBytes) == [77])
    }

    @Test func ignoresHandlesOfConnectionsThatAreGone() throws {
        let world = try World()
        _ = world.connect {
            $0.ending = .reset; $0.endsAfterNs = 1_000_000
        }
        #expect(world.finish() == [])
        let old = world.script.filters[0].connection
        // The slot is somebody else's now.
        let peer = world.connect()
        world.simulation.run(forNs: second)
        #expect(!old.isOpen && old.peerAddress == nil)
        old.writeBytes(10)
        old.pauseReading()
        old.setIdleTimeout(ns: 1)
        old.finishWriting()
        old.close(.denied)
        world.simulation.run(forNs: second)
        #expect(world.simulation.worker.connectionCount == 1 && peer.receivedBytes == 0)
        peer.reset()
        #expect(world.finish() == [])
    }
}
