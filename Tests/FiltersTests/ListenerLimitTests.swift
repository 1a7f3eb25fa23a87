import Engine
import Filters
import Simulation
import Testing
import Upstream

private let second: UInt64 = 1_000_000_000

@Suite("Listener limits")
struct ListenerLimitTests {
    private func options(_ change: (inout ProxyWorld.Options) -> Void) -> ProxyWorld.Options {
        var options = ProxyWorld.Options()
        change(&options)
        return options
    }

    @Test func pausesAtTheConnectionLimitAndResumesBelowIt() throws {
        for isShared in [false, true] {
            let world = try ProxyWorld(
                options {
                    $0.connectionsMax = 2; $0.isShared = isShared
                })
            let first = (0..<2).map { _ in world.connect() }
            world.simulation.run(forNs: second)
            #expect(world.listener.counters.read(ConnectionStat.active) == 2)
            // Beyond the limit: refused at once, or left in the queue while the listener pauses.
            let late = (0..<3).map { _ in world.connect() }
            world.simulation.run(forNs: second)
            #expect(world.listener.counters.read(ConnectionStat.active) == 2)
            #expect(world.listener.counters.read(ListenerStat.rejectedLimit) >= 1)
            for peer in first { peer.reset() }
            world.simulation.run(forNs: second)
            world.server.plan = { _ in
                plan {
                    $0.echoes = true; $0.finish = .afterEnd
                }
            }
            for peer in late { peer.reset() }
            world.simulation.run(forNs: second)
            let next = world.connect(
                plan {
                    $0.sendBytes = 100; $0.finish = .afterSending
                })
            #expect(world.simulation.run { next.receivedBytes == 100 })
            #expect(world.problemsAtEnd() == [])
        }
    }

    @Test func pausesWithoutDescriptorsAndServesTheQueueLater() throws {
        let world = try ProxyWorld()
        world.server.plan = { _ in
            plan {
                $0.echoes = true; $0.finish = .afterEnd
            }
        }
        // The listener and one proxied connection.
        world.simulation.backend.descriptorsMax = 3
        let first = world.connect()
        world.simulation.run(forNs: second)
        let turnsBefore = world.simulation.turns
        let second2 = world.connect(
            plan {
                $0.sendBytes = 100; $0.finish = .afterSending
            })
        world.simulation.run(forNs: 2 * second)
        #expect(world.listener.counters.read(ListenerStat.rejectedDescriptors) >= 1)
        #expect(second2.receivedBytes == 0 && !second2.sawReset)
        // It tries again a few times a second and does not spin.
        #expect(world.simulation.turns - turnsBefore < 200)
        first.reset()
        #expect(world.simulation.run { second2.receivedBytes == 100 })
        #expect(world.problemsAtEnd() == [])
    }

    @Test func refusesAClientWhenNoDescriptorIsLeftForItsUpstream() throws {
        let world = try ProxyWorld()
        world.simulation.backend.descriptorsMax = 2
        let client = world.connect()
        #expect(world.simulation.run { client.sawReset })
        #expect(world.problemsAtEnd() == [])
        #expect(world.closes(.limit) == 1)
    }

    @Test func refusesBeyondTheConnectionTable() throws {
        let world = try ProxyWorld(options { $0.limits.connectionsMax = 2 })
        let first = world.connect()
        world.simulation.run(forNs: second)
        let late = world.connect()
        world.simulation.run(forNs: second)
        #expect(world.listener.counters.read(ListenerStat.rejectedTable) >= 1)
        #expect(late.sawEnd || late.sawReset)
        first.reset()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func acceptsAgainAfterAConnectionDiedInTheQueue() throws {
        let world = try ProxyWorld(options { $0.perturbation = perturbed { $0.abortedAccept = 500 } })
        world.server.plan = { _ in
            plan {
                $0.echoes = true; $0.finish = .afterEnd
            }
        }
        let clients = (0..<40).map { _ in
            world.connect(
                plan {
                    $0.sendBytes = 10; $0.finish = .afterSending
                })
        }
        #expect(world.simulation.run { clients.allSatisfy { $0.sawEnd || $0.sawReset } })
        #expect(world.problemsAtEnd() == [])
        #expect(world.listener.counters.read(ListenerStat.acceptErrors) == UInt64(clients.filter(\.sawReset).count))
        #expect(clients.contains { $0.sawEnd })
    }
}
