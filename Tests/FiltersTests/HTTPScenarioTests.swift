import Engine
import Foundation
import HTTP
import Simulation
import Testing
import Upstream

/// Clients and endpoints that do anything, over a kernel that does anything: every complete answer is the right one,
/// what broke off is seen to have, and nothing is left behind.
///
/// A failure names its seed; `RINGWAY_SEED=<seed> swift test --filter HTTPScenarioTests` runs that one alone.
@Suite("Random HTTP scenarios")
struct HTTPScenarioTests {
    private static let shares = 4

    /// `RINGWAY_SEEDS` seeds (100 by default), in shares that run side by side.
    @Test(arguments: 0..<shares) func holdForEverySeed(share: Int) throws {
        let environment = ProcessInfo.processInfo.environment
        let seeds: any Sequence<UInt64>
        if let text = environment["RINGWAY_SEED"], let seed = UInt64(text) {
            seeds = share == 0 ? CollectionOfOne(seed) : []
        } else {
            let count = environment["RINGWAY_SEEDS"].flatMap { UInt64($0) } ?? 100
            seeds = stride(from: UInt64(share + 1), through: count, by: Self.shares)
        }
        for seed in seeds {
            var scenario = HTTPScenario(seed: seed)
            let problems = try scenario.run()
            #expect(problems == [], "RINGWAY_SEED=\(seed)")
        }
    }
}

private struct HTTPScenario {
    private let seed: UInt64
    private var random: SimulationRandom
    /// Nobody resets, closes early or is out of descriptors: then every request is answered with 200.
    private let isOrderly: Bool

    init(seed: UInt64) {
        self.seed = seed
        random = SimulationRandom(seed: seed &* 0x9E37_79B9)
        isOrderly = random.chance(400)
    }

    mutating func run() throws -> [String] {
        let world = try makeWorld()
        let chance = Chance(seed: seed, isOrderly: isOrderly)
        for server in world.servers {
            server.dialogue = { peer in
                let server = HTTPServer(on: peer) { chance.answer($1, by: $0) }
                server.onHead = { chance.answerEarly($1, by: $0) }
                return server
            }
        }
        var clients: [(client: HTTPClient, requests: [HTTPText])] = []
        for number in 0..<random.number(1, 8) { clients.append(makeClient(number, in: world)) }
        var problems = world.problemsAtEnd()
        for (number, (client, requests)) in clients.enumerated() {
            problems += self.problems(of: client, requests).map { "client \(number): \($0)" }
        }
        return problems
    }

    private mutating func makeWorld() throws -> HTTPWorld {
        var options = HTTPWorld.Options()
        options.seed = seed
        options.perturbation = .drawn(from: &random)
        if isOrderly {
            options.perturbation.noDescriptor = 0
            options.perturbation.abortedAccept = 0
        }
        options.socketBufferBytes = random.pick([2048, 8192, 65_536])
        options.limits.transferBytesMin = random.pick([1, 100, 1000, 1 << 30])
        options.limits.pipesMax = random.pick([0, 1, 16, 16])
        options.limits.pipeBytes = random.pick([4096, 16 * 1024])
        options.endpointCount = random.number(1, 3)
        options.pool = random.pick(["", "max_connections: 2", "max_requests_per_connection: 2", "idle_timeout: 10ms"])
        var route: [String] = []
        if !isOrderly, random.chance(500) { route.append("retry: { on: [5xx, reset], attempts: 2, back_off: 1ms }") }
        // To the cluster itself, where copies are in the way of requests if they can be.
        if random.chance(300) { route.append("mirror: [{ cluster: web }, { cluster: web, fraction: 50% }]") }
        options.route = route.joined(separator: ", ")
        return try HTTPWorld(options)
    }

    private mutating func makeClient(_ number: Int, in world: HTTPWorld) -> (HTTPClient, [HTTPText]) {
        var text = ""
        var requests: [HTTPText] = []
        let count = random.number(1, 6)
        for index in 0..<count {
            let target = "/\(number)/\(index)"
            let method = random.pick(["GET", "GET", "HEAD", "POST", "PUT"])
            let body =
                ["POST", "PUT"].contains(method) ? String(repeating: "\(index)", count: random.magnitude(4000)) : nil
            text += httpRequest(
                target, method: method, body: body, chunked: random.chance(500),
                index == count - 1 ? "Connection: close\r\n" : "")
            requests.append(HTTPText(start: "\(method) \(target) HTTP/1.1", body: body ?? ""))
        }
        var client = SimulatedPeer.Plan()
        client.chunkBytes = random.pick([1, 10, 1000, 65_536])
        // Byte by byte takes a step for each: only for what is short.
        if text.utf8.count > 1000 { client.chunkBytes = max(client.chunkBytes, 200) }
        client.stepNs = random.chance(500) ? 0 : UInt64(random.magnitude(1_000_000))
        client.startsAfterNs = UInt64(random.magnitude(50_000_000))
        if !isOrderly, random.chance(250) {
            client.ending = random.pick([.reset, .close])
            if random.chance(500) {
                client.endsAfterSent = random.number(0, text.utf8.count)
            } else {
                client.endsAfterReceived = random.magnitude(20_000)
            }
        }
        client.finish = random.chance(300) ? .afterSending : .afterEnd
        return (world.client(text, plan: client), requests)
    }

    private func problems(of client: HTTPClient, _ requests: [HTTPText]) -> [String] {
        var problems: [String] = []
        for (request, answer) in zip(requests, client.answers) {
            let expected = request.method == "HEAD" ? "" : HTTPServer.body(for: request)
            switch answer.status {
            case 200:
                if answer.body != expected { problems.append("\(request.start): wrong body \(answer.body.prefix(40))") }
            case 413, 400, 408, 502, 503, 504: if isOrderly { problems.append("\(request.start): \(answer.start)") }
            default: problems.append("\(request.start): \(answer.start)")
            }
        }
        if client.answers.count > requests.count { problems.append("\(client.answers.count) answers") }
        if isOrderly, client.answers.count != requests.count {
            problems.append("\(client.answers.count) answers to \(requests.count) requests")
        }
        if isOrderly, let rest = client.unfinished { problems.append("unfinished: \(rest.start)") }
        return problems
    }
}

/// What endpoints do, drawn one after the other from a seed.
private final class Chance {
    private var random: SimulationRandom
    private let isOrderly: Bool

    init(seed: UInt64, isOrderly: Bool) {
        random = SimulationRandom(seed: seed &+ 1)
        self.isOrderly = isOrderly
    }

    func answer(_ request: HTTPText, by server: HTTPServer) {
        if random.chance(100) { server.say("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n") }
        switch random.number(0, isOrderly ? 5 : 9) {
        case 0...2: server.answer(request)
        case 3: server.answerInChunks(request)
        case 4:
            server.answer(request, fields: "Connection: close\r\n")
            server.peer.plan.finish = .afterSending
        // Not to HEAD: such an answer ends with its head, and an endpoint that closes behind it would break off the
        // next request.
        case 5 where request.method != "HEAD":
            server.say("HTTP/1.1 200 OK\r\n\r\n" + HTTPServer.body(for: request), then: nil)
        case 5: server.answer(request)
        case 6: server.say("", then: .reset)
        case 7:
            let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + String(repeating: "y", count: 4999)
            server.say(
                whole.firstBytes(random.number(1, whole.utf8.count)), then: random.chance(500) ? .reset : nil)
        case 8: server.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        default: server.say("nonsense\r\n\r\n")
        }
    }

    /// An answer to the head alone, now and then.
    func answerEarly(_ request: HTTPText, by server: HTTPServer) -> Bool {
        guard !isOrderly, request.isUnfinished, random.chance(30) else { return false }
        server.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        return true
    }
}
