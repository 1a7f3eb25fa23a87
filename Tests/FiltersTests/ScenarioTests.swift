import Engine
import Foundation
import Simulation
import Testing
import Upstream

/// Connections that do anything, on a kernel that does anything: whatever happens, nothing is lost, doubled,
/// leaked or left behind.
///
/// A failure names its seed; `RINGWAY_SEED=<seed> swift test --filter ScenarioTests` runs that one alone.
@Suite("Random scenarios")
struct ScenarioTests {
    private static let shares = 6

    /// `RINGWAY_SEEDS` seeds (300 by default), in shares that run side by side.
    @Test(arguments: 0..<shares) func holdForEverySeed(share: Int) throws {
        let environment = ProcessInfo.processInfo.environment
        let seeds: any Sequence<UInt64>
        if let text = environment["RINGWAY_SEED"], let seed = UInt64(text) {
            seeds = share == 0 ? CollectionOfOne(seed) : []
        } else {
            let count = environment["RINGWAY_SEEDS"].flatMap { UInt64($0) } ?? 300
            seeds = stride(from: UInt64(share + 1), through: count, by: Self.shares)
        }
        var reached: Set<String> = []
        var count = 0
        for seed in seeds {
            var scenario = Scenario(seed: seed)
            #expect(try scenario.run() == [], "RINGWAY_SEED=\(seed)")
            reached.formUnion(scenario.reached)
            count += 1
        }
        // Scenarios that no longer get to the difficult places would hold as well.
        if count >= 50 { #expect(Self.places.subtracting(reached) == []) }
    }

    private static let places: Set<String> = [
        "splice switches", "splice fallbacks", "sends copied", "buffer waits", "overflows", "stale completions",
        "read pauses", "retries", "no descriptors", "connection limit",
        "finished", "remote_reset", "other_side_reset", "other_side_closed", "connect_refused", "connect_timeout",
        "connect_unreachable", "idle_timeout", "no_upstream", "drained",
    ]
}

/// One world, drawn from a seed.
private struct Scenario {
    private let seed: UInt64
    private var random: SimulationRandom
    /// Few buffers, no pipes and many who do not read.
    private let isStarved: Bool
    /// What happened at least once.
    private(set) var reached: Set<String> = []

    init(seed: UInt64) {
        self.seed = seed
        random = SimulationRandom(seed: seed &* 0x9E37_79B9)
        isStarved = random.chance(200)
    }

    mutating func run() throws -> [String] {
        let options = drawOptions()
        let world = try ProxyWorld(options)
        world.simulation.allowsEarlyEnds = options.idleTimeoutNs > 0
        if ProcessInfo.processInfo.environment["RINGWAY_TRACE"] != nil {
            world.simulation.backend.trace = { print($0) }
        }
        for server in world.servers { draw(server) }
        let backend = world.simulation.backend
        let peerCount = random.number(1, 12)
        for _ in 0..<peerCount {
            let peerPlan = drawPlan(isClient: true)
            let socket = world.listener.socket
            world.network.at(world.network.nowNs + UInt64(random.number(0, 20_000_000))) {
                // Nobody is there when the listener was removed meanwhile.
                _ = backend.connectPeer(to: socket, plan: peerPlan, from: nil)
            }
        }
        drawInterruptions(of: world)
        let hasStopped = world.simulation.run(forNs: 10_000_000_000, turnsMax: 20_000)
        // Whatever is left (a reader that never reads, a peer that vanished) is what a drain closes.
        world.simulation.allowsEarlyEnds = true
        var problems = world.simulation.streamProblems()
        if hasStopped { problems += world.simulation.standstills() }
        world.simulation.worker.removeListener(world.listener.id)
        world.simulation.run(forNs: 20_000_000)
        world.simulation.worker.closeConnections(of: nil, .drained)
        problems += world.problemsAtEnd(turnsMax: 20_000)
        note(world)
        return problems
    }

    private mutating func note(_ world: ProxyWorld) {
        let counts: [(String, UInt64)] = [
            ("splice switches", world.simulation.read(.spliceSwitches)),
            ("splice fallbacks", world.simulation.read(.spliceFallbacks)),
            ("sends copied", world.simulation.read(.sendsCopied)),
            ("buffer waits", world.simulation.read(.bufferWaits)),
            ("overflows", world.simulation.read(.overflows)),
            ("stale completions", world.simulation.read(.staleCompletions)),
            ("read pauses", world.cluster.read(ConnectionStat.readPauses)),
            ("retries", world.cluster.read(ClusterStat.retries)),
            ("no descriptors", world.listener.counters.read(ListenerStat.rejectedDescriptors)),
            ("connection limit", world.listener.counters.read(ListenerStat.rejectedLimit)),
        ]
        for (name, count) in counts where count > 0 { reached.insert(name) }
        for reason in CloseReason.allCases where world.closes(reason) + world.upstreamCloses(reason) > 0 {
            reached.insert(reason.label)
        }
    }

    /// What operators and limits do in the middle of traffic.
    private mutating func drawInterruptions(of world: ProxyWorld) {
        let simulation = world.simulation
        let listener = world.listener.id
        if random.chance(100) {
            world.network.at(world.network.nowNs + UInt64(random.number(0, 40_000_000))) {
                simulation.worker.removeListener(listener)
            }
        }
        if random.chance(100) {
            simulation.allowsEarlyEnds = true
            world.network.at(world.network.nowNs + UInt64(random.number(0, 60_000_000))) {
                simulation.worker.closeConnections(of: nil, .drained)
            }
        }
        if random.chance(100) {
            let descriptorsMax = random.number(4, 20)
            world.network.at(world.network.nowNs + UInt64(random.number(0, 20_000_000))) {
                simulation.backend.descriptorsMax = descriptorsMax
            }
        }
    }

    private mutating func drawOptions() -> ProxyWorld.Options {
        var options = ProxyWorld.Options()
        options.seed = seed
        options.perturbation = Perturbation.drawn(from: &random)
        options.socketBufferBytes = 1 << random.number(9, 16)
        options.endpointCount = random.number(1, 3)
        options.connectAttempts = random.number(1, 3)
        options.connectTimeoutNs = UInt64(random.number(1, 200)) * 1_000_000
        options.limits.bufferSize = 1 << random.number(7, 12)
        options.limits.bufferBytesMax = options.limits.bufferSize * (random.chance(300) ? 16 : 128)
        options.limits.pipeBytes = 4096 << random.number(0, 4)
        options.limits.pipesMax = random.pick([0, 1, 1, 8, 8, 8])
        if isStarved {
            options.limits.bufferBytesMax = options.limits.bufferSize * 16
            options.limits.pipesMax = 0
        }
        options.isShared = random.chance(200)
        if random.chance(100) { options.limits.segmentsMax = random.number(4, 64) }
        if random.chance(100) { options.limits.connectionsMax = random.number(4, 16) }
        if random.chance(150) { options.idleTimeoutNs = UInt64(random.number(1, 100)) * 1_000_000 }
        if random.chance(300) {
            let log = ObservingFilter.Log()
            options.filters = (0..<random.number(1, 2)).map { _ in
                ObservingFactory(log: log, seesData: random.chance(500), seesWrites: random.chance(500))
            }
        }
        if random.chance(200) { options.connectionsMax = UInt64(random.number(1, 8)) }
        if random.chance(200) { options.clusterConnectionsMax = UInt64(random.number(1, 8)) }
        return options
    }

    private mutating func draw(_ server: SimulatedServer) {
        let answers: [SimulatedServer.Answer] =
            random.chance(700) ? [.accept] : [.accept, .accept, .refuse, .unreachable, .blackHole]
        let picks = (0..<32).map { _ in random.pick(answers) }
        let plans = (0..<32).map { _ in drawPlan(isClient: false) }
        let delaysNs = (0..<32).map { _ in random.chance(500) ? 0 : UInt64(random.number(0, 20_000_000)) }
        server.answer = { picks[$0 % 32] }
        server.plan = { plans[$0 % 32] }
        server.connectNs = { delaysNs[$0 % 32] }
    }

    private mutating func drawPlan(isClient: Bool) -> SimulatedPeer.Plan {
        var plan = SimulatedPeer.Plan()
        plan.echoes = !isClient && random.chance(200)
        plan.sendBytes = random.chance(150) ? 0 : random.magnitude(random.chance(50) ? 2_000_000 : 200_000)
        plan.chunkBytes = random.magnitude(32_768)
        if random.chance(400) {
            plan.stepNs = UInt64(random.magnitude(2_000_000))
            plan.chunkBytes = max(plan.chunkBytes, 256)
        } else {
            plan.chunkBytes = max(plan.chunkBytes, 1_024)
        }
        if random.chance(300) { plan.startsAfterNs = UInt64(random.number(0, 30_000_000)) }
        if random.chance(isStarved ? 500 : 100) { plan.readLimit = random.magnitude(50_000) }
        plan.finish = random.pick([.afterSending, .afterSending, .afterEnd, .never])
        if random.chance(250) {
            plan.ending = random.pick([.reset, .close, .vanish])
            switch random.number(0, 2) {
            case 0: plan.endsAfterReceived = random.magnitude(100_000)
            case 1: plan.endsAfterSent = random.magnitude(100_000)
            default: plan.endsAfterNs = UInt64(random.number(0, 60_000_000))
            }
        }
        return plan
    }
}
