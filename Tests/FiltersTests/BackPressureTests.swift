import Engine
import Filters
import Simulation
import Testing
import Upstream

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000

/// A filter that sees what passes and passes it on.
final class ObservingFilter: NetworkFilter {
    final class Log {
        var names: [String] = []
        var dataBytes = 0
        var writeBytes = 0
        init() {}
    }

    private let name: String
    private let log: Log
    private let seesData: Bool
    private let seesWrites: Bool

    init(connection: Connection, name: String, log: Log, seesData: Bool, seesWrites: Bool) {
        self.name = name
        self.log = log
        self.seesData = seesData
        self.seesWrites = seesWrites
        super.init(connection: connection)
    }

    override var observesData: Bool { seesData }
    override var observesWrites: Bool { seesWrites }

    override func onConnected(_ connection: Connection) {
        log.names.append("\(name) connected")
        super.onConnected(connection)
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        log.dataBytes += data.count
        forward(data)
    }

    override func onWrite(_ data: consuming Lease) {
        log.writeBytes += data.count
        forwardWrite(data)
    }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        log.names.append("\(name) closed")
        super.onClose(connection, reason)
    }
}

final class ObservingFactory: NetworkFilterFactory {
    private let name: String
    private let log: ObservingFilter.Log
    private let seesData: Bool
    private let seesWrites: Bool

    init(_ name: String = "observer", log: ObservingFilter.Log, seesData: Bool = true, seesWrites: Bool = true) {
        self.name = name
        self.log = log
        self.seesData = seesData
        self.seesWrites = seesWrites
        super.init()
    }

    override func makeFilter(for connection: Connection) -> NetworkFilter {
        ObservingFilter(connection: connection, name: name, log: log, seesData: seesData, seesWrites: seesWrites)
    }
}

@Suite("Back-pressure")
struct BackPressureTests {
    /// The largest value that `sample` had after any turn of `durationNs`.
    private func maximum(_ world: ProxyWorld, forNs durationNs: UInt64, _ sample: () -> Int) -> Int {
        var most = 0
        let endNs = world.network.nowNs + durationNs
        world.simulation.backend.horizonNs = endNs
        defer { world.simulation.backend.horizonNs = .max }
        world.simulation.run(turnsMax: 20_000) {
            most = max(most, sample())
            return world.network.nowNs >= endNs
        }
        return most
    }

    @Test func holdsASlowReadersSenderBackWithinABound() throws {
        let log = ObservingFilter.Log()
        // Through filters, or joined by the engine; the observer keeps both from splicing.
        for seesWrites in [true, false] {
            var options = ProxyWorld.Options()
            options.socketBufferBytes = 16 * 1024
            options.limits.bufferBytesMax = 1 << 20
            options.filters = [ObservingFactory(log: log, seesData: false, seesWrites: seesWrites)]
            options.limits.pipesMax = 0
            let world = try ProxyWorld(options)
            let (client, upstream) = world.connectThrough(client: plan { $0.readLimit = 0 })
            upstream.send(10_000_000)
            let most = maximum(world, forNs: 2 * second) {
                Int(world.simulation.read(.buffersInUse)) * options.limits.bufferSize
                    + Int(world.simulation.read(.heapBytes))
            }
            // The high watermark, and what the kernel may hand out in the turn that reached it.
            let bound = Int(Connection.highWaterSegments) * options.limits.bufferSize + 2 * options.socketBufferBytes
            #expect(most > 0 && most <= bound)
            #expect(world.cluster.read(ConnectionStat.readPauses) >= 1)
            #expect(upstream.sentBytes <= bound + 4 * options.socketBufferBytes)
            client.readOn()
            upstream.plan.sendBytes = upstream.sentBytes + 100_000
            upstream.finish()
            client.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.receivedBytes == upstream.sentBytes)
        }
    }

    @Test func holdsASlowReadersSenderBackWhileSplicing() throws {
        var options = ProxyWorld.Options()
        options.socketBufferBytes = 16 * 1024
        let world = try ProxyWorld(options)
        let (client, upstream) = world.connectThrough(upstream: plan { $0.sendBytes = 200_000 })
        world.simulation.run { client.receivedBytes == 200_000 }
        #expect(world.cluster.read(ConnectionStat.bytesSpliced) > 0)
        client.stopReading()
        upstream.send(10_000_000)
        world.simulation.run(forNs: 2 * second)
        #expect(upstream.sentBytes <= 200_000 + options.limits.pipeBytes + 4 * options.socketBufferBytes)
        client.readOn()
        upstream.plan.sendBytes = upstream.sentBytes + 100_000
        upstream.finish()
        client.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func keepsAnObservedDirectionInBuffersAndTheOtherOneFree() throws {
        for (seesData, seesWrites) in [(true, false), (false, true), (true, true), (false, false)] {
            let log = ObservingFilter.Log()
            var options = ProxyWorld.Options()
            options.filters = [ObservingFactory(log: log, seesData: seesData, seesWrites: seesWrites)]
            let world = try ProxyWorld(options)
            let (client, upstream) = world.connectThrough(
                client: plan {
                    $0.sendBytes = 300_000; $0.finish = .afterSending
                },
                upstream: plan {
                    $0.sendBytes = 300_000; $0.finish = .afterSending
                })
            #expect(world.problemsAtEnd() == [])
            #expect(client.receivedBytes == 300_000 && upstream.receivedBytes == 300_000)
            #expect(log.dataBytes == (seesData ? 300_000 : 0))
            #expect(log.writeBytes == (seesWrites ? 300_000 : 0))
            #expect((world.listener.counters.read(ConnectionStat.bytesSpliced) == 0) == seesData)
            #expect((world.cluster.read(ConnectionStat.bytesSpliced) == 0) == seesWrites)
        }
    }

    @Test func runsAChainInOrder() throws {
        let log = ObservingFilter.Log()
        var options = ProxyWorld.Options()
        options.filters = ["a", "b", "c"].map { ObservingFactory($0, log: log) }
        let world = try ProxyWorld(options)
        _ = world.connectThrough(
            client: plan {
                $0.sendBytes = 10; $0.finish = .afterSending
            }, upstream: plan { $0.finish = .afterEnd })
        #expect(world.problemsAtEnd() == [])
        #expect(log.names == ["a connected", "b connected", "c connected", "a closed", "b closed", "c closed"])
        #expect(log.dataBytes == 30)
    }

    // MARK: Buffers run out

    @Test(arguments: [8, 24]) func letsFastConnectionsGoOnWhenSlowReadersTakeWhatTheyCanGet(slowReaders: Int) throws {
        var options = ProxyWorld.Options()
        options.limits.bufferSize = 1024
        options.limits.bufferBytesMax = 32 * 1024
        options.limits.pipesMax = 0
        options.socketBufferBytes = 8 * 1024
        let world = try ProxyWorld(options)
        var slow: [SimulatedPeer] = []
        world.server.plan = { _ in
            plan {
                $0.sendBytes = 1_000_000; $0.chunkBytes = 700; $0.stepNs = 100_000
            }
        }
        for _ in 0..<slowReaders { slow.append(world.connect(plan { $0.readLimit = 0 })) }
        world.simulation.run(forNs: second)
        // As long as there are enough for each to have a few, they leave some. Beyond that they give back what they have.
        #expect((world.simulation.read(.sendsCopied) > 0) == (slowReaders > 8))
        let held = world.simulation.read(.buffersInUse)
        #expect(held > 0 || slowReaders > 8)
        #expect(held < 32)
        // The slow readers' upstreams stand still by now; an echo goes through as if they were not there.
        world.server.plan = { _ in
            plan {
                $0.echoes = true; $0.finish = .afterEnd
            }
        }
        let fast = world.connect(
            plan {
                $0.sendBytes = 200_000; $0.finish = .afterSending
            })
        #expect(world.simulation.run { fast.sawEnd })
        #expect(fast.receivedBytes == 200_000)
        let bound = slowReaders * (Connection.highWaterBytes + 2 * options.socketBufferBytes)
        #expect(world.simulation.read(.heapBytes) <= UInt64(bound))
        for peer in slow { peer.reset() }
        #expect(world.problemsAtEnd() == [])
    }

    @Test func takesTheBuffersOfAReaderThatStandsStillASecondTime() throws {
        var options = ProxyWorld.Options()
        options.limits.bufferSize = 1024
        options.limits.bufferBytesMax = 16 * 1024
        options.limits.pipesMax = 0
        options.socketBufferBytes = 2 * 1024
        let world = try ProxyWorld(options)
        world.server.plan = { _ in
            plan {
                $0.sendBytes = 30_000; $0.chunkBytes = 700; $0.stepNs = 100_000
            }
        }
        let slow = world.connect(plan { $0.readLimit = 0 })
        for round in 1...3 {
            world.simulation.run(forNs: second)
            #expect(world.simulation.read(.buffersInUse) < 16, "round \(round)")
            slow.readOn()
            world.simulation.run(forNs: second)
            slow.stopReading()
            world.server.peers[0].send(30_000)
        }
        world.server.plan = { _ in
            plan {
                $0.echoes = true; $0.finish = .afterEnd
            }
        }
        let fast = world.connect(
            plan {
                $0.sendBytes = 20_000; $0.finish = .afterSending
            })
        #expect(world.simulation.run { fast.sawEnd })
        slow.reset()
        #expect(world.problemsAtEnd() == [])
    }

    // MARK: Splicing

    @Test func switchesToSpliceAndBackWithoutLosingOrReordering() throws {
        for seed in 1...12 as ClosedRange<UInt64> {
            var options = ProxyWorld.Options()
            options.seed = seed
            options.perturbation = seed == 1 ? .none : .all
            options.socketBufferBytes = 32 * 1024
            options.limits.pipesMax = 4
            options.limits.pipeBytes = 16 * 1024
            options.perturbation.noDescriptor = 0
            options.perturbation.abortedAccept = 0
            let world = try ProxyWorld(options)
            let (client, upstream) = world.connectThrough(upstream: plan { $0.chunkBytes = 64 * 1024 })
            var expected = 0
            for _ in 0..<3 {
                // A stream, then single messages, each of which is waited for.
                expected += 150_000
                upstream.send(150_000)
                #expect(world.simulation.run { client.receivedBytes == expected }, "seed \(seed)")
                for _ in 0..<20 {
                    expected += 60
                    upstream.send(60)
                    #expect(world.simulation.run { client.receivedBytes == expected }, "seed \(seed)")
                }
            }
            upstream.finish()
            client.finish()
            #expect(world.problemsAtEnd() == [], "seed \(seed)")
            let spliced = world.cluster.read(ConnectionStat.bytesSpliced)
            #expect(
                world.simulation.read(.spliceSwitches) >= 2 && spliced > 0 && spliced < UInt64(expected), "seed \(seed)"
            )
        }
    }

    @Test func goesOnInBuffersWithoutPipes() throws {
        var options = ProxyWorld.Options()
        options.limits.pipesMax = 0
        let world = try ProxyWorld(options)
        let (client, _) = world.connectThrough(
            client: plan { $0.finish = .afterEnd },
            upstream: plan {
                $0.sendBytes = 500_000; $0.finish = .afterSending
            })
        #expect(world.problemsAtEnd() == [])
        #expect(client.receivedBytes == 500_000 && world.simulation.read(.spliceFallbacks) > 0)
    }
}
