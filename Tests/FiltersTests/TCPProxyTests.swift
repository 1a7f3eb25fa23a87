import Engine
import Filters
import Simulation
import Testing
import Upstream

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000

@Suite("TCPProxyFilter")
struct TCPProxyTests {
    // MARK: Relaying

    @Test func relaysBothWaysAndEndsInOrder() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough(
            client: plan {
                $0.sendBytes = 10_000; $0.finish = .afterSending
            },
            upstream: plan {
                $0.sendBytes = 20_000; $0.finish = .afterEnd
            })
        #expect(world.problemsAtEnd() == [])
        #expect(upstream.receivedBytes == 10_000 && upstream.sawEnd)
        #expect(client.receivedBytes == 20_000 && client.sawEnd)
        #expect(world.closes(.finished) == 1 && world.upstreamCloses(.finished) == 1)
        #expect(world.cluster.read(ClusterStat.connects) == 1)
        #expect(world.listener.counters.read(ConnectionStat.bytesReceived) == 10_000)
        #expect(world.listener.counters.read(ConnectionStat.bytesSent) == 20_000)
    }

    @Test func carriesAHalfCloseOfTheClientAndLetsTheAnswerFollow() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough(
            client: plan {
                $0.sendBytes = 5; $0.finish = .afterSending
            })
        world.simulation.run(forNs: 10 * second)
        #expect(upstream.sawEnd && !client.sawEnd)
        upstream.send(70_000)
        upstream.finish()
        #expect(world.problemsAtEnd() == [])
        #expect(client.receivedBytes == 70_000 && client.sawEnd)
        #expect(world.closes(.finished) == 1)
    }

    @Test func carriesAHalfCloseOfTheUpstreamAndLetsTheRequestFollow() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough(
            upstream: plan {
                $0.sendBytes = 5; $0.finish = .afterSending
            })
        world.simulation.run(forNs: 10 * second)
        #expect(client.sawEnd && !upstream.sawEnd)
        client.send(70_000)
        client.finish()
        #expect(world.problemsAtEnd() == [])
        #expect(upstream.receivedBytes == 70_000 && upstream.sawEnd)
        #expect(world.upstreamCloses(.finished) == 1)
    }

    // MARK: Connecting

    @Test func triesAnotherEndpointWhenOneRefuses() throws {
        for answer in [SimulatedServer.Answer.refuse, .unreachable, .blackHole] {
            var options = ProxyWorld.Options()
            options.endpointCount = 2
            options.connectAttempts = 2
            options.connectTimeoutNs = 200 * millisecond
            let world = try ProxyWorld(options)
            // Whichever is picked first fails.
            var isFirst = true
            for server in world.servers {
                server.answer = { _ in
                    defer { isFirst = false }
                    return isFirst ? answer : .accept
                }
                server.plan = { _ in
                    plan {
                        $0.echoes = true; $0.finish = .afterEnd
                    }
                }
            }
            let client = world.connect(
                plan {
                    $0.sendBytes = 100; $0.finish = .afterSending
                })
            #expect(world.problemsAtEnd() == [])
            #expect(client.receivedBytes == 100 && client.sawEnd)
            #expect(world.cluster.read(ClusterStat.retries) == 1)
            #expect(world.servers.map(\.connectCount) == [1, 1])
            let reason: CloseReason =
                switch answer {
                case .refuse: .connectRefused
                case .unreachable: .connectUnreachable
                case .blackHole, .accept: .connectTimeout
                }
            #expect(world.upstreamCloses(reason) == 1 && world.upstreamCloses(.finished) == 1)
        }
    }

    @Test func resetsTheClientWhenEveryAttemptFails() throws {
        var options = ProxyWorld.Options()
        options.endpointCount = 3
        options.connectAttempts = 2
        let world = try ProxyWorld(options)
        for server in world.servers { server.answer = { _ in .refuse } }
        let client = world.connect()
        #expect(world.problemsAtEnd() == [])
        #expect(client.sawReset && !client.sawEnd)
        #expect(world.closes(.noUpstream) == 1 && world.upstreamCloses(.connectRefused) == 2)
        #expect(world.servers.reduce(0) { $0 + $1.connectCount } == 2)
    }

    @Test func triesEachEndpointOnce() throws {
        var options = ProxyWorld.Options()
        options.endpointCount = 2
        options.connectAttempts = 5
        let world = try ProxyWorld(options)
        for server in world.servers { server.answer = { _ in .refuse } }
        _ = world.connect()
        #expect(world.problemsAtEnd() == [])
        #expect(world.servers.map(\.connectCount) == [1, 1])
    }

    @Test func givesUpConnectingAfterTheTimeout() throws {
        var options = ProxyWorld.Options()
        options.connectTimeoutNs = 3 * second
        let world = try ProxyWorld(options)
        world.server.answer = { _ in .blackHole }
        let startNs = world.network.nowNs
        let client = world.connect()
        world.simulation.run { client.sawReset }
        #expect((world.network.nowNs - startNs) / second == 3)
        #expect(world.problemsAtEnd() == [])
        #expect(world.upstreamCloses(.connectTimeout) == 1)
    }

    @Test func doesNotReadTheClientBeforeTheUpstreamIsThere() throws {
        let world = try ProxyWorld()
        world.server.connectNs = { _ in second }
        world.server.plan = { _ in plan { $0.finish = .afterEnd } }
        _ = world.connect(
            plan {
                $0.sendBytes = 10_000; $0.finish = .afterSending
            })
        world.simulation.run(forNs: second / 2)
        #expect(world.listener.counters.read(ConnectionStat.bytesReceived) == 0)
        #expect(world.simulation.read(.buffersInUse) == 0)
        #expect(world.problemsAtEnd() == [])
        #expect(world.server.peers.map(\.receivedBytes) == [10_000])
    }

    @Test func refusesBeyondTheClustersConnectionLimit() throws {
        var options = ProxyWorld.Options()
        options.clusterConnectionsMax = 2
        let world = try ProxyWorld(options)
        let clients = (0..<3).map { _ in world.connect() }
        world.simulation.run(forNs: second)
        #expect(clients.filter(\.sawReset).count == 1)
        #expect(world.cluster.read(ClusterStat.overflowed) == 1)
        for client in clients { client.reset() }
        #expect(world.problemsAtEnd() == [])
        #expect(world.closes(.noUpstream) == 1)
    }

    // MARK: Ends out of order

    @Test func passesAResetOfTheClientOn() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough()
        client.send(1_000)
        world.simulation.run { upstream.receivedBytes == 1_000 }
        client.reset()
        #expect(world.problemsAtEnd() == [])
        #expect(upstream.sawReset && !upstream.sawEnd)
        #expect(world.closes(.remoteReset) == 1 && world.upstreamCloses(.otherSideReset) == 1)
    }

    @Test func passesAResetOfTheUpstreamOnAfterWhatItSent() throws {
        var options = ProxyWorld.Options()
        options.socketBufferBytes = 4096
        let world = try ProxyWorld(options)
        let (client, upstream) = world.connectThrough(
            client: plan {
                $0.chunkBytes = 100; $0.stepNs = millisecond
            })
        upstream.send(2_000)
        world.simulation.run { upstream.sentBytes == 2_000 }
        world.simulation.run(forNs: millisecond)
        upstream.reset()
        #expect(world.problemsAtEnd() == [])
        world.simulation.run(forNs: second)
        #expect(client.receivedBytes == 2_000 && client.sawReset && !client.sawEnd)
        #expect(world.upstreamCloses(.remoteReset) == 1 && world.closes(.otherSideReset) == 1)
    }

    @Test func tellsTheUpstreamThatAClientWhoVanishedDidNotFinish() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough()
        client.send(1_000)
        world.simulation.run { upstream.receivedBytes == 1_000 }
        client.vanish()
        upstream.send(10_000)
        #expect(world.problemsAtEnd() == [])
        #expect(upstream.sawReset && !upstream.sawEnd)
        #expect(world.closes(.transportTimeout) == 1 && world.upstreamCloses(.otherSideClosed) == 1)
    }

    @Test func closesBothSidesWhenNothingMoves() throws {
        var options = ProxyWorld.Options()
        options.idleTimeoutNs = 10 * second
        let world = try ProxyWorld(options)
        world.simulation.allowsEarlyEnds = true
        let (client, upstream) = world.connectThrough()
        client.send(10)
        world.simulation.run(forNs: 5 * second)
        upstream.send(10)
        world.simulation.run(forNs: 9 * second)
        #expect(world.simulation.worker.connectionCount == 2)
        #expect(world.problemsAtEnd() == [])
        #expect(client.sawEnd && upstream.sawEnd)
        #expect(world.closes(.idleTimeout) == 1 && world.upstreamCloses(.otherSideClosed) == 1)
    }

    @Test func doesNotKeepAnUpstreamThatNeverTakesTheRestOfARequest() throws {
        var options = ProxyWorld.Options()
        options.socketBufferBytes = 1024
        let world = try ProxyWorld(options)
        let (client, upstream) = world.connectThrough(
            upstream: plan {
                $0.readLimit = 0; $0.finish = .afterSending
            })
        client.send(5_000)
        client.finish()
        #expect(world.problemsAtEnd() == [])
        #expect(client.sawEnd && upstream.receivedBytes == 0)
    }

    // MARK: Drain

    @Test func servesWhatWaitsInTheQueueOfARemovedListener() throws {
        let world = try ProxyWorld()
        world.server.plan = { _ in
            plan {
                $0.echoes = true; $0.finish = .afterEnd
            }
        }
        let clients = (0..<5).map { _ in
            world.connect(
                plan {
                    $0.sendBytes = 100; $0.finish = .afterSending
                })
        }
        world.simulation.worker.removeListener(world.listener.id)
        #expect(world.simulation.run { clients.allSatisfy(\.sawEnd) })
        #expect(world.problemsAtEnd() == [])
        #expect(world.simulation.backend.openListeners == 0)
    }

    @Test func closesWhatIsLeftWhenTheDrainTimeIsOver() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough()
        world.simulation.worker.removeListener(world.listener.id)
        world.simulation.run(forNs: second)
        #expect(world.simulation.worker.acceptedConnectionCount(of: world.listener.id) == 1)
        world.simulation.worker.closeConnections(of: world.listener.id, .drained)
        #expect(world.problemsAtEnd() == [])
        #expect(client.isClosed || client.sawEnd)
        #expect(upstream.sawEnd)
        #expect(world.closes(.drained) == 1)
    }
}
