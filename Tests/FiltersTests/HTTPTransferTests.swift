import Engine
import Filters
import HTTP
import Simulation
import Testing
import Upstream

/// Large bodies that go from socket to socket: what is before and behind them, and how they end early.
@Suite("Transfers of bodies")
struct HTTPTransferTests {
    private func world(_ change: (inout HTTPWorld.Options) -> Void = { _ in }) throws -> HTTPWorld {
        var options = HTTPWorld.Options()
        options.limits.transferBytesMin = 2000
        change(&options)
        let world = try HTTPWorld(options)
        for server in world.servers { server.plan = { _ in Self.paced } }
        return world
    }

    /// Says a little at a time: whoever says everything at once may have it received before that can be stopped.
    private static var paced: SimulatedPeer.Plan {
        var plan = SimulatedPeer.Plan()
        plan.chunkBytes = 3000
        plan.stepNs = 50_000
        return plan
    }

    private let large = String(repeating: "0123456789abcdef", count: 4000)

    private func spliced(_ world: HTTPWorld) -> UInt64 { world.cluster.read(ConnectionStat.bytesSpliced) }

    // MARK: Responses

    @Test func aLargeResponseIsTransferredAndTheConnectionUsedAgain() throws {
        let world = try world()
        let body = large
        world.serve { server, request in
            let text = request.target == "/large" ? body : "small"
            server.say("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        }
        let text = ["/large", "/small", "/large", "/large"].map { httpRequest($0) }.joined()
        let client = world.client(text + httpRequest("/small", "Connection: close\r\n"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers.map(\.body) == [body, "small", body, body, "small"])
        #expect(world.upstreams.count == 1)
        #expect(world.simulation.read(.spliceSwitches) == 3)
        // The second of two large ones in a row has hardly more than its head received.
        #expect(spliced(world) > UInt64(body.utf8.count) * 2)
    }

    @Test func anEndpointThatPausesAnywhereLosesNothing() throws {
        let body = large
        let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
        for seed in 1...40 as ClosedRange<UInt64> {
            let world = try world {
                $0.seed = seed
                $0.perturbation = .all
                $0.perturbation.noDescriptor = 0
                $0.perturbation.abortedAccept = 0
                $0.socketBufferBytes = 4096
                $0.limits.pipeBytes = 8192
            }
            world.serve { server, _ in server.say(head + body) }
            for server in world.servers {
                server.plan = { _ in
                    var plan = SimulatedPeer.Plan()
                    plan.chunkBytes = [1500, 777, 4096, 60_000][Int(seed) % 4]
                    plan.stepNs = seed % 3 == 0 ? 0 : 300_000
                    return plan
                }
            }
            let client = world.client(httpRequest("/a") + httpRequest("/b", "Connection: close\r\n"))
            #expect(world.problemsAtEnd() == [], "seed \(seed)")
            #expect(client.answers.map(\.body) == [body, body], "seed \(seed)")
        }
    }

    @Test(arguments: [1, 1000, 20_000, 63_999]) func aTruncatedResponseIsSeenToBe(missing: Int) throws {
        let world = try world()
        let body = large
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        world.serve { server, _ in server.say(whole.firstBytes(whole.utf8.count - missing), then: nil) }
        let client = world.client(httpRequest("/"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers == [])
        #expect(client.unfinished?.isUnfinished == true)
        // What came was passed on all the same.
        #expect(client.unfinished?.body.utf8.count == body.utf8.count - missing)
    }

    @Test func aBodyThatEndsWithTheConnectionIsTransferredToAnOldClient() throws {
        let world = try world()
        let body = large
        world.serve { server, _ in server.say("HTTP/1.1 200 OK\r\n\r\n\(body)", then: nil) }
        let client = world.client("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers.map(\.body) == [body])
        #expect(spliced(world) > 0)
    }

    @Test func aBodyThatBreaksOffWithAResetDoesNotLookComplete() throws {
        let world = try world()
        let body = large
        world.serve { server, _ in server.say("HTTP/1.1 200 OK\r\n\r\n\(body)", then: .reset) }
        let client = world.client("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers == [] && client.peer.sawReset)
    }

    @Test func aLargeChunkIsTransferred() throws {
        let world = try world()
        let body = large
        let size = String(body.utf8.count, radix: 16)
        world.serve { server, _ in
            server.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            server.say("3\r\nabc\r\n\(size)\r\n\(body)\r\n\(size)\r\n\(body)\r\n2\r\nde\r\n0\r\n\r\n")
        }
        let client = world.client(httpRequest("/") + httpRequest("/", "Connection: close\r\n"))
        #expect(world.problemsAtEnd() == [])
        let whole = "abc" + body + body + "de"
        #expect(client.answers.map(\.body) == [whole, whole])
        #expect(world.upstreams.count == 1 && spliced(world) > UInt64(body.utf8.count) * 3)
    }

    @Test func aChunkOfAnImpossibleSizeIsAnEndlessOne() throws {
        let world = try world()
        let body = large
        world.serve { server, _ in
            server.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF0\r\n\(body)", then: nil)
        }
        let client = world.client(httpRequest("/"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers == [] && client.unfinished?.isUnfinished == true)
    }

    @Test func aClientThatGoesAwayEndsTheTransfer() throws {
        for received in [100, 5000, 30_000] {
            let world = try world { $0.socketBufferBytes = 4096 }
            let body = large
            world.serve { server, _ in
                server.say("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
            var plan = Self.paced
            plan.endsAfterReceived = received
            plan.ending = .reset
            _ = world.client(httpRequest("/"), plan: plan)
            #expect(world.problemsAtEnd() == [])
            #expect(world.upstreams[0].sawReset || world.upstreams[0].sawEnd)
        }
    }

    @Test func withoutPipesTheBodyPassesThroughBuffers() throws {
        let world = try world { $0.limits.pipesMax = 0 }
        let body = large
        world.serve { server, _ in
            server.say("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
        let client = world.client(httpRequest("/") + httpRequest("/", "Connection: close\r\n"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers.map(\.body) == [body, body] && spliced(world) == 0)
    }

    @Test func aFilterThatWantsBodiesKeepsThemInBuffers() throws {
        let filter = ScriptedHTTPFilter([.responseBody])
        let world = try world { $0.filters = [filter] }
        let body = large
        world.serve { server, _ in
            server.say("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
        let client = world.client(httpRequest("/", "Connection: close\r\n"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers.map(\.body) == [body] && spliced(world) == 0)
    }

    @Test func whatComesInBuffersMeanwhileIsNotWaitedFor() throws {
        // The whole body is received before the receive can be stopped, and the client does not read: the connection to
        // the endpoint serves others all the same.
        let world = try world { $0.socketBufferBytes = 4096 }
        let body = large.prefix(12_000)
        world.server.plan = { _ in SimulatedPeer.Plan() }
        world.serve { server, request in
            let text = request.target == "/large" ? body : "small"
            server.say("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        }
        var plan = SimulatedPeer.Plan()
        plan.readLimit = 0
        let slow = world.client(httpRequest("/large"), plan: plan)
        world.simulation.run(forNs: 10_000_000)
        let fast = world.client(httpRequest("/small", "Connection: close\r\n"))
        #expect(world.simulation.run { fast.answers.count == 1 })
        slow.peer.readOn()
        slow.peer.plan.finish = .afterSending
        #expect(world.problemsAtEnd() == [])
        #expect(slow.answers.map(\.body) == [String(body)])
    }

    @Test func slowReadersLeaveBuffersToOthers() throws {
        let world = try world {
            $0.filters = [ScriptedHTTPFilter([.responseBody])]
            $0.limits.bufferBytesMax = 32 * 1024
            $0.socketBufferBytes = 8192
        }
        let body = large
        world.serve { server, request in
            let text = request.target == "/large" ? body : "small"
            server.say("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        }
        var plan = SimulatedPeer.Plan()
        plan.readLimit = 0
        let slow = (0..<8).map { _ in world.client(httpRequest("/large"), plan: plan) }
        world.simulation.run(forNs: 1_000_000_000)
        #expect((1..<32).contains(world.simulation.read(.buffersInUse)))
        let waits = world.simulation.read(.bufferWaits)
        let requests = String(repeating: httpRequest("/small"), count: 50)
        let fast = world.client(requests + httpRequest("/small", "Connection: close\r\n"))
        #expect(world.simulation.run { fast.answers.count == 51 })
        #expect(world.simulation.read(.bufferWaits) == waits)
        for client in slow { client.peer.reset() }
        #expect(world.problemsAtEnd() == [])
    }

    // MARK: Requests

    @Test(arguments: [false, true]) func aLargeRequestIsTransferred(isChunked: Bool) throws {
        let world = try world()
        let put = httpRequest("/a", method: "PUT", body: large, chunked: isChunked)
        let client = world.client(
            put + httpRequest("/b") + put + httpRequest("/c", "Connection: close\r\n"), plan: Self.paced)
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [200, 200, 200, 200])
        #expect(world.requests.map(\.body) == [large, "", large, ""])
        #expect(world.listener.counters.read(ConnectionStat.bytesSpliced) > UInt64(large.utf8.count))
    }

    @Test func aRequestThatBreaksOffDoesNotLookComplete() throws {
        for missing in [1, 10_000, 60_000] {
            let world = try world()
            let put = httpRequest("/a", method: "PUT", body: large)
            var plan = Self.paced
            plan.finish = .afterSending
            let client = world.client(put.firstBytes(put.utf8.count - missing), plan: plan)
            #expect(world.problemsAtEnd() == [])
            #expect(client.statuses == [400])
            #expect(world.requests == [])
        }
    }

    @Test func anEndpointThatAnswersEarlyEndsTheTransfer() throws {
        let world = try world { $0.socketBufferBytes = 4096 }
        for server in world.servers {
            server.dialogue = { peer in
                let server = HTTPServer(on: peer)
                server.onHead = { server, _ in
                    server.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
                    return true
                }
                return server
            }
        }
        let client = world.client(httpRequest("/a", method: "PUT", body: large), plan: Self.paced)
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [413])
        #expect(world.listener.counters.read(ConnectionStat.bytesSpliced) > 0)
    }

    @Test func anEndpointThatGoesAwayEndsTheTransfer() throws {
        let world = try world { $0.socketBufferBytes = 4096 }
        world.server.plan = { _ in
            var plan = Self.paced
            plan.endsAfterReceived = 9000
            plan.ending = .reset
            return plan
        }
        let client = world.client(httpRequest("/a", method: "PUT", body: large), plan: Self.paced)
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [502])
    }

    @Test func aClientThatIsTooSlowIsToldAlsoDuringATransfer() throws {
        let world = try world { $0.http = "request_body_timeout: 2s, request_body_min_rate: 1KiB" }
        var plan = SimulatedPeer.Plan()
        plan.chunkBytes = 100
        plan.stepNs = 200_000_000
        let client = world.client(httpRequest("/a", method: "PUT", body: large), plan: plan)
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [408])
        #expect(world.listener.counters.read(ConnectionStat.bytesSpliced) > 0)
    }

    @Test func aClientIsNotToBlameForASlowEndpoint() throws {
        let world = try world {
            $0.http = "request_body_timeout: 2s, request_body_min_rate: 100KiB"
            $0.socketBufferBytes = 4096
        }
        world.server.plan = { _ in
            var plan = SimulatedPeer.Plan()
            plan.chunkBytes = 1000
            plan.stepNs = 200_000_000
            return plan
        }
        let put = httpRequest("/a", method: "PUT", body: large, "Connection: close\r\n")
        let client = world.client(put, plan: Self.paced)
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [200])
        #expect(world.listener.counters.read(ConnectionStat.bytesSpliced) > 0)
    }
}
