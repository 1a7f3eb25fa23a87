import Config
import Engine
@testable import Filters
import Simulation
import Testing

private let second: UInt64 = 1_000_000_000

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

private func cidrs(_ texts: [String]) throws -> [CIDR] {
    try texts.map { try CIDR(parsing: $0) }
}

/// Makes filters with fixed settings.
private final class Factory<Filter: ConfigurableNetworkFilter>: NetworkFilterFactory {
    private let settings: Filter.Settings

    init(_ filter: Filter.Type, _ settings: Filter.Settings) {
        self.settings = settings
        super.init()
    }

    override func makeFilter(for connection: Connection) -> NetworkFilter {
        Filter(connection: connection, settings: settings)
    }
}

@Suite("IPAccessFilter")
struct IPAccessTests {
    @Test func deniesBeforeItAllows() throws {
        let settings = IPAccessFilter.Settings(
            allow: try cidrs(["10.0.0.0/8", "2001:db8::/32"]), deny: try cidrs(["10.1.0.0/16"]))
        #expect(settings.admits(try address("10.2.3.4")))
        #expect(!settings.admits(try address("10.1.2.3")))
        #expect(!settings.admits(try address("192.0.2.1")))
        #expect(settings.admits(try address("2001:db8::7")))
        #expect(!settings.admits(try address("2001:db9::7")))
    }

    @Test func admitsAllThatIsNotDeniedWithoutAnAllowList() throws {
        let settings = IPAccessFilter.Settings(allow: [], deny: try cidrs(["192.0.2.0/24"]))
        #expect(settings.admits(try address("10.2.3.4")))
        #expect(!settings.admits(try address("192.0.2.77")))
    }

    /// What becomes of a connection from `peer` when 10.0.0.0/8 is allowed.
    private func isAdmitted(_ peer: NetworkAddress?) throws -> Bool {
        let settings = IPAccessFilter.Settings(allow: try cidrs(["10.0.0.0/8"]), deny: [])
        let simulation = try SimulatedWorker(seed: 1)
        let listener = simulation.listen([
            Factory(IPAccessFilter.self, settings), Factory(EchoFilter.self, EchoFilter.Settings()),
        ])
        var plan = SimulatedPeer.Plan()
        plan.sendBytes = 100
        plan.finish = .afterSending
        let client = simulation.connectPeer(to: listener, plan: plan, from: peer)
        simulation.run { client.sawEnd || client.sawReset }
        #expect(simulation.problemsAtEnd() == [])
        #expect(client.sawReset == (client.receivedBytes == 0))
        if client.sawReset, peer != nil { #expect(simulation.closes(listener.counters, .denied) == 1) }
        return client.receivedBytes == 100
    }

    @Test func resetsWhoIsNotAdmitted() throws {
        #expect(try isAdmitted(NetworkAddress(ipv4Bits: 0x0A01_0203, port: 4000)))
        #expect(try !isAdmitted(NetworkAddress(ipv4Bits: 0x0B01_0203, port: 4000)))
    }

    @Test func takesAnIPv4PeerOfADualStackListenerForWhatItIs() throws {
        #expect(try isAdmitted(NetworkAddress(ipv6Bits: 0xFFFF_0A01_0203, port: 4000)))
        #expect(try !isAdmitted(NetworkAddress(ipv6Bits: 0xFFFF_0B01_0203, port: 4000)))
    }

    @Test func admitsPeersOfUnixSockets() throws {
        let path = try #require(UnixPath("/run/peer"))
        #expect(try isAdmitted(NetworkAddress(unixPath: path)))
    }

    @Test func closesAPeerThatIsGoneAlready() throws {
        #expect(try !isAdmitted(nil))
    }
}

@Suite("ConnectionRateLimitFilter")
struct ConnectionRateLimitTests {
    @Test func letsABurstThroughAndThenTheRate() {
        let bucket = TokenBucket(perSecond: 10, burst: 5)
        #expect((0..<8).map { _ in bucket.take(nowNs: second) } == [true, true, true, true, true, false, false, false])
        #expect(!bucket.take(nowNs: second + second / 10 - 1))
        #expect(bucket.take(nowNs: second + second / 10))
        #expect(!bucket.take(nowNs: second + second / 10))
        // Full again, and no fuller than full.
        #expect((0..<8).filter { _ in bucket.take(nowNs: 100 * second) }.count == 5)
    }

    @Test func neverLetsMoreThroughThanRateAndBurst() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SimulationRandom(seed: seed)
            let rate = random.number(1, 2_000)
            let burst = random.number(1, 50)
            let bucket = TokenBucket(perSecond: rate, burst: burst)
            var nowNs = second
            var taken = 0
            for _ in 0..<2_000 {
                nowNs += UInt64(random.magnitude(3_000_000))
                if bucket.take(nowNs: nowNs) { taken += 1 }
                let granted = Double(burst) + Double(rate) * Double(nowNs - second) / Double(second)
                // The interval is a whole number of nanoseconds, so the rate may be exceeded by its rounding.
                #expect(Double(taken) <= granted * (1 + Double(rate) / 1e9) + 1, "seed \(seed)")
            }
        }
    }

    @Test func resetsConnectionsBeyondTheRate() throws {
        let simulation = try SimulatedWorker(seed: 1)
        let settings = ConnectionRateLimitFilter.Settings(bucket: TokenBucket(perSecond: 1, burst: 2))
        let listener = simulation.listen([
            Factory(ConnectionRateLimitFilter.self, settings), Factory(EchoFilter.self, EchoFilter.Settings()),
        ])
        var plan = SimulatedPeer.Plan()
        plan.sendBytes = 10
        plan.finish = .afterSending
        let clients = (0..<5).map { _ in simulation.connectPeer(to: listener, plan: plan) }
        simulation.run { clients.allSatisfy { $0.sawEnd || $0.sawReset } }
        #expect(clients.filter(\.sawReset).count == 3)
        #expect(simulation.closes(listener.counters, .limit) == 3)
        simulation.run(forNs: second)
        let late = simulation.connectPeer(to: listener, plan: plan)
        simulation.run { late.sawEnd || late.sawReset }
        #expect(late.receivedBytes == 10)
        #expect(simulation.problemsAtEnd() == [])
    }
}

@Suite("EchoFilter")
struct EchoFilterTests {
    @Test func sendsBackWhatItReadsUnderEveryPerturbation() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var perturbation = Perturbation.all
            perturbation.noDescriptor = 0
            perturbation.abortedAccept = 0
            let simulation = try SimulatedWorker(seed: seed, perturbation: perturbation)
            simulation.network.socketBufferBytes = 4096
            let listener = simulation.listen([Factory(EchoFilter.self, EchoFilter.Settings())])
            var plan = SimulatedPeer.Plan()
            plan.sendBytes = 100_000
            plan.finish = .afterSending
            let clients = (0..<3).map { _ in simulation.connectPeer(to: listener, plan: plan) }
            #expect(simulation.run { clients.allSatisfy(\.sawEnd) }, "seed \(seed)")
            #expect(clients.allSatisfy { $0.receivedBytes == 100_000 }, "seed \(seed)")
            #expect(simulation.problemsAtEnd() == [], "seed \(seed)")
        }
    }

    @Test func sendsTheRestBeforeItDrains() throws {
        let simulation = try SimulatedWorker(seed: 1)
        simulation.network.socketBufferBytes = 1024
        simulation.allowsEarlyEnds = true
        let listener = simulation.listen([Factory(EchoFilter.self, EchoFilter.Settings())])
        var plan = SimulatedPeer.Plan()
        plan.sendBytes = 5_000
        plan.finish = .afterEnd
        plan.readLimit = 0
        let client = simulation.connectPeer(to: listener, plan: plan)
        simulation.run(forNs: second)
        let received = Int(listener.counters.read(ConnectionStat.bytesReceived))
        #expect(received > 0)
        simulation.worker.removeListener(listener.id)
        simulation.run(forNs: second)
        client.readOn()
        simulation.run { client.sawEnd || client.sawReset }
        #expect(client.sawEnd && client.receivedBytes >= received)
        simulation.run(forNs: 2 * second)
        #expect(simulation.problemsAtEnd() == [])
        #expect(simulation.closes(listener.counters, .drained) == 1)
    }
}
