import Engine
import Filters
import Simulation
import Testing

/// One worker of two on a simulated kernel; the other one is written by the test.
private final class HalfOfTwo {
    let simulation: SimulatedWorker
    let peers: WorkerPeers
    let group = ListenerGroup(workers: 2)
    let socket: Int32
    let range: StatsRegistry.Range
    private(set) var id: ListenerID

    init(isBalanced: Bool = true, connectionsMax: UInt64? = nil) throws {
        simulation = try SimulatedWorker(seed: 1, workerCount: 2)
        peers = WorkerPeers(blocks: simulation.registry.blocks, mailboxes: [try Mailbox(), try Mailbox()])
        simulation.worker.join(peers)
        socket = simulation.backend.makeListener()
        let (counters, range) = simulation.makeScope(.listener, "edge", cells: ListenerStat.cellCount)
        self.range = range
        let scopes = simulation.registry.scopes(range)
        let limit = connectionsMax.map { ConnectionLimit(max: $0, scopes: scopes) }
        id = simulation.worker.addListener(
            socket: socket, isShared: false, counters: counters,
            limit: limit, chain: NetworkFilterChain([EchoFactory()]), group: group, isBalanced: isBalanced)
    }

    var own: StatsScope { simulation.registry.scope(range, worker: 0) }
    var other: StatsScope { simulation.registry.scope(range, worker: 1) }

    func connect() -> SimulatedPeer {
        guard
            let peer = simulation.backend.connectPeer(
                to: socket,
                plan: plan {
                    $0.sendBytes = 10; $0.finish = .afterEnd
                }, from: nil)
        else { preconditionFailure("the listener is closed") }
        return peer
    }

    /// Lets the worker do what there is to do.
    func settle() { simulation.run(forNs: 10_000_000) }

    /// A connection that the other worker has accepted, on its way to this one.
    func handFromOther() -> SimulatedPeer {
        let otherSocket = simulation.backend.makeListener()
        guard
            let peer = simulation.backend.connectPeer(
                to: otherSocket,
                plan: plan {
                    $0.sendBytes = 10; $0.finish = .afterSending
                }, from: nil)
        else { preconditionFailure("the listener was just made") }
        let accepted = simulation.backend.acceptNow(otherSocket)
        precondition(accepted >= 0)
        #expect(peers.hand(Handover(socket: accepted, group: group.id), from: 1, to: 0))
        simulation.backend.close(otherSocket)
        return peer
    }

    func remove() {
        simulation.worker.removeListener(id)
        settle()
    }
}

@Suite("Connection hand-over")
struct ConnectionHandoverTests {
    @Test func givesEverySecondConnectionToAnIdlePeer() throws {
        let world = try HalfOfTwo()
        world.group.opened(on: 1)
        let clients = (0..<8).map { _ in world.connect() }
        world.settle()
        // Those on their way count, although the other worker has not said anything yet.
        #expect(world.own.read(ConnectionStat.active) == 4)
        #expect(world.peers.waiting(from: 0, to: 1) == 4)
        #expect(world.simulation.read(.connectionsGiven) == 4)
        #expect(world.own.read(ConnectionStat.opened) == 4)
        withExtendedLifetime(clients) {}
    }

    @Test func keepsAllWhereTheOtherHasAsMany() throws {
        let world = try HalfOfTwo()
        world.group.opened(on: 1)
        world.other.set(8, in: ConnectionStat.active)
        let clients = (0..<8).map { _ in world.connect() }
        world.settle()
        #expect(world.own.read(ConnectionStat.active) == 8)
        #expect(world.peers.inFlight == 0)
        withExtendedLifetime(clients) {}
    }

    @Test func keepsAllWhenTurnedOffOrBeforeTheOtherAccepts() throws {
        for isBalanced in [false, true] {
            let world = try HalfOfTwo(isBalanced: isBalanced)
            if !isBalanced { world.group.opened(on: 1) }
            let clients = (0..<8).map { _ in world.connect() }
            world.settle()
            #expect(world.own.read(ConnectionStat.active) == 8)
            withExtendedLifetime(clients) {}
        }
    }

    @Test func refusesAtTheLimitItself() throws {
        let world = try HalfOfTwo(connectionsMax: 2)
        world.group.opened(on: 1)
        world.other.set(1, in: ConnectionStat.active)
        let clients = (0..<3).map { _ in world.connect() }
        world.settle()
        #expect(world.own.read(ConnectionStat.active) == 1)
        #expect(world.own.read(ListenerStat.rejectedLimit) >= 1)
        #expect(world.peers.inFlight == 0)
        withExtendedLifetime(clients) {}
    }

    @Test func servesWhatItIsHanded() throws {
        let world = try HalfOfTwo()
        world.group.opened(on: 1)
        let client = world.handFromOther()
        world.simulation.worker.adoptConnections()
        #expect(world.peers.inFlight == 0)
        #expect(world.simulation.run { client.receivedBytes == 10 })
        #expect(world.own.read(ConnectionStat.opened) == 1)
        #expect(world.simulation.read(.connectionsTaken) == 1)
    }

    @Test func countsHandedConnectionsAgainstTheLimit() throws {
        let world = try HalfOfTwo(connectionsMax: 1)
        world.group.opened(on: 1)
        world.other.set(1, in: ConnectionStat.active)
        let client = world.handFromOther()
        world.simulation.worker.adoptConnections()
        #expect(world.simulation.run { client.sawEnd || client.sawReset })
        #expect(world.own.read(ListenerStat.rejectedLimit) == 1)
        #expect(world.own.read(ConnectionStat.opened) == 0)
    }

    @Test func servesWhatComesAfterItsListenerClosed() throws {
        let world = try HalfOfTwo()
        world.group.opened(on: 1)
        world.remove()
        #expect(!world.group.isAccepting(on: 0))
        let client = world.handFromOther()
        world.simulation.worker.adoptConnections()
        // As those that were there when it closed: it is told to finish, in order.
        #expect(world.simulation.run { client.sawEnd })
        #expect(world.simulation.run { world.simulation.closes(world.own, .drained) == 1 })
        // Nothing more can come once the other end is closed as well.
        world.group.closed(on: 1)
        #expect(world.group.isOver)
        let last = world.handFromOther()
        world.simulation.worker.forgetClosedListeners()
        #expect(world.peers.inFlight == 0)
        #expect(world.simulation.run { last.sawEnd })
        #expect(world.own.read(ConnectionStat.opened) == 2)
        #expect(world.simulation.worker.closedListenerCount == 0)
    }

    @Test func handsOverNothingWhileItDrains() throws {
        let world = try HalfOfTwo()
        world.group.opened(on: 1)
        let clients = (0..<4).map { _ in world.connect() }
        world.remove()
        #expect(world.peers.inFlight == 0)
        #expect(world.own.read(ConnectionStat.opened) == 4)
        withExtendedLifetime(clients) {}
    }
}
