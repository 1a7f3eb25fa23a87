import Engine
import HTTP
import Simulation
import Testing
import Upstream

private let second: UInt64 = 1_000_000_000
private let millisecond: UInt64 = 1_000_000

/// Requests through the connection manager, the router and the pool, on a kernel that behaves.
@Suite("HTTP proxy")
struct HTTPProxyTests {
    // MARK: Connections

    @Test func answersPipelinedRequestsInOrderOnOneConnection() throws {
        let world = try HTTPWorld()
        let targets = (0..<40).map { "/\($0)" }
        let client = world.client(targets.map { httpRequest($0) }.joined())
        world.run(untilAnswers: 40, of: client)
        #expect(client.answers.map { $0.body.prefix { $0 != "|" } } == targets.map { $0[...] })
        #expect(world.requests.map(\.target) == targets)
        #expect(world.upstreams.count == 1 && world.server.connectCount == 1)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func usesTheConnectionThatWasUsedLast() throws {
        let world = try HTTPWorld()
        let clients = (0..<3).map { world.client(httpRequest("/first/\($0)")) }
        world.simulation.run { clients.allSatisfy { $0.answers.count == 1 } }
        let connections = world.upstreams.count
        for _ in 0..<5 {
            let before = clients[0].answers.count
            clients[0].peer.say(httpRequest("/again"))
            world.simulation.run { clients[0].answers.count > before }
        }
        #expect(world.upstreams.count == connections)
        let served = world.upstreams.map { ($0.dialogue as? HTTPServer)?.requests.count ?? 0 }
        #expect(served.max() == 5 + 1 && served.reduce(0, +) == 8)
        for client in clients { client.peer.close() }
        #expect(world.problemsAtEnd() == [])
    }

    @Test func endsWhereOneSideSaysSo() throws {
        let world = try HTTPWorld()
        world.serve { server, request in
            server.answer(request, fields: request.target == "/2" ? "Connection: close\r\n" : "")
            if request.target == "/2" { server.peer.plan.finish = .afterSending }
        }
        let client = world.client(
            httpRequest("/1") + httpRequest("/2") + httpRequest("/3") + httpRequest("/4", "Connection: close\r\n")
                + httpRequest("/never"))
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [200, 200, 200, 200] && client.peer.sawEnd)
        #expect(client.answers.map { $0.fields["connection"] } == [nil, nil, nil, "close"])
        #expect(world.upstreams.count == 2)
        #expect(!world.requests.contains { $0.target == "/never" })
    }

    @Test func closesUpstreamConnectionsThatAreIdleOrOld() throws {
        var options = HTTPWorld.Options()
        options.pool = "idle_timeout: 10s, max_requests_per_connection: 3"
        let world = try HTTPWorld(options)
        let client = world.client((0..<7).map { httpRequest("/\($0)") }.joined())
        world.run(untilAnswers: 7, of: client)
        #expect(world.upstreams.map { ($0.dialogue as? HTTPServer)?.requests.count ?? 0 } == [3, 3, 1])
        world.simulation.run(forNs: 9 * second)
        #expect(!world.upstreams[2].sawEnd)
        world.simulation.run(forNs: 2 * second)
        #expect(world.upstreams[2].sawEnd)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func doesNotUseConnectionsBeyondTheirDuration() throws {
        var options = HTTPWorld.Options()
        options.pool = "max_connection_duration: 10s"
        options.http = "max_connection_duration: 25s"
        let world = try HTTPWorld(options)
        let client = world.client(httpRequest("/0"))
        for count in 1...4 {
            world.run(untilAnswers: count, of: client)
            world.simulation.run(forNs: 8 * second)
            client.peer.say(httpRequest("/\(count)"))
        }
        #expect(world.problemsAtEnd() == [])
        // Asked after 0, 8, 16 and 24 seconds, and after 32, which is the client's last.
        #expect(world.upstreams.map { ($0.dialogue as? HTTPServer)?.requests.count ?? 0 } == [2, 2, 1])
        #expect(client.answers.map { $0.fields["connection"] } == [nil, nil, nil, nil, "close"])
    }

    @Test func doesNotHearWhatAnIdleEndpointSays() throws {
        let world = try HTTPWorld()
        let client = world.client(httpRequest("/1"))
        world.run(untilAnswers: 1, of: client)
        world.upstreams[0].say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        world.simulation.run(forNs: second)
        client.peer.say(httpRequest("/2"))
        world.run(untilAnswers: 2, of: client)
        #expect(client.answers.last?.body.hasPrefix("/2|") == true && world.upstreams.count == 2)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func drainsAtTheEndOfTheAnswer() throws {
        let world = try HTTPWorld()
        var hold: HTTPServer?
        world.serve { server, _ in hold = server }
        let busy = world.client(httpRequest("/slow") + httpRequest("/next"))
        let idle = world.client("")
        world.simulation.run { hold != nil }
        world.simulation.worker.removeListener(world.listener.id)
        world.simulation.worker.drainConnections(of: world.listener.id)
        world.simulation.run { idle.isOver }
        #expect(idle.peer.sawEnd && !busy.isOver)
        hold?.answer(HTTPText(start: "GET /slow HTTP/1.1"))
        hold.map {
            world.simulation.network.at(world.simulation.network.nowNs + 1) { [peer = $0.peer] in peer.say("") }
        }
        #expect(world.problemsAtEnd() == [])
        #expect(busy.statuses == [200] && busy.answers[0].fields["connection"] == "close")
    }

    // MARK: Bodies

    @Test func streamsBodiesOfEveryFraming() throws {
        for inChunks in [false, true] {
            var options = HTTPWorld.Options()
            options.socketBufferBytes = 4096
            let world = try HTTPWorld(options)
            world.serve { server, request in
                if inChunks { server.answerInChunks(request) } else { server.answer(request) }
            }
            let body = String(repeating: "0123456789", count: 20_000)
            let client = world.client(
                httpRequest("/a", method: "POST", body: body)
                    + httpRequest("/b", method: "POST", body: body, chunked: true)
                    + httpRequest("/c", method: "HEAD") + httpRequest("/d", method: "POST", body: "", chunked: true)
                    + httpRequest("/e", "Connection: close\r\n"))
            #expect(world.problemsAtEnd() == [])
            #expect(client.statuses == Array(repeating: 200, count: 5))
            #expect(world.requests.map(\.body) == [body, body, "", "", ""])
            let expected = world.requests.map { $0.method == "HEAD" ? "" : HTTPServer.body(for: $0) }
            #expect(client.answers.map(\.body) == expected)
        }
    }

    @Test func answersBeforeTheEndOfTheRequest() throws {
        let world = try HTTPWorld()
        world.server.dialogue = { peer in
            let server = HTTPServer(on: peer)
            server.onHead = { server, _ in
                server.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                return true
            }
            return server
        }
        let client = world.client(
            "POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + String(repeating: "x", count: 5000))
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [413] && client.answers[0].fields["connection"] == "close")
        #expect(world.problemsAtEnd() == [])
        #expect(client.isOver && world.upstreams.allSatisfy { $0.sawReset || $0.sawEnd })
    }

    @Test func passesInformationalHeads() throws {
        let world = try HTTPWorld()
        world.server.dialogue = { peer in
            let server = HTTPServer(on: peer)
            server.onHead = { server, _ in
                if server.output.isEmpty { server.say("HTTP/1.1 100 Continue\r\n\r\n") }
                return false
            }
            return server
        }
        let client = world.client(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        world.simulation.run { client.informational == [100] }
        #expect(client.answers.isEmpty)
        client.peer.say("body")
        #expect(world.problemsAtEnd() == [])
        #expect(client.statuses == [200] && world.requests.map(\.body) == ["body"])
    }

    @Test func stopsReadingWhoIsFasterThanTheOtherSide() throws {
        var options = HTTPWorld.Options()
        options.socketBufferBytes = 8192
        let world = try HTTPWorld(options)
        world.serve { server, _ in
            server.say("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + String(repeating: "x", count: 4_000_000))
        }
        let client = world.client(httpRequest("/", "Connection: close\r\n"), plan: plan { $0.readLimit = 100 })
        world.simulation.run(forNs: 5 * second)
        #expect(world.upstreams[0].sentBytes < 600_000)
        client.peer.readOn()
        #expect(world.problemsAtEnd() == [])
        #expect(client.answers.first?.body.utf8.count == 4_000_000)
    }

    // MARK: Resets

    /// A response of 100 bytes that ends after each of its bytes, in order and by a reset: whatever the place, the
    /// client gets all of it, a 502, or something that is visibly not all.
    @Test(arguments: [SimulatedPeer.Plan.Ending.reset, nil])
    func neverMakesATruncatedResponseLookComplete(ending: SimulatedPeer.Plan.Ending?) throws {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\nX: 1\r\n\r\n",
        ] {
            for length in 0...response.utf8.count {
                let world = try HTTPWorld()
                world.serve { server, _ in server.say(response.firstBytes(length), then: ending) }
                let client = world.client(httpRequest("/", method: "POST") + httpRequest("/", method: "POST"))
                client.peer.plan.finish = .afterEnd
                #expect(world.problemsAtEnd() == [], "after \(length)")
                if length == response.utf8.count, ending == nil {
                    #expect(client.statuses.first == 200 && client.answers[0].body == "0123456789")
                } else if client.statuses.first != 200 {
                    #expect(client.statuses.allSatisfy { $0 == 502 }, "after \(length)")
                } else {
                    #expect(client.answers[0].body == "0123456789" && length == response.utf8.count)
                }
            }
        }
    }

    /// A request that ends after each of its bytes: the endpoint never takes it for complete.
    @Test(arguments: [SimulatedPeer.Plan.Ending.reset, nil])
    func neverMakesATruncatedRequestLookComplete(ending: SimulatedPeer.Plan.Ending?) throws {
        for request in [
            httpRequest("/", method: "POST", body: "0123456789"),
            httpRequest("/", method: "POST", body: "0123456789", chunked: true),
        ] {
            for length in 1..<request.utf8.count {
                let world = try HTTPWorld()
                let client = world.client(
                    request.firstBytes(length),
                    plan: plan {
                        $0.ending = ending
                        $0.endsAfterSent = length
                        if ending == nil { $0.finish = .afterSending }
                    })
                #expect(world.problemsAtEnd() == [], "after \(length)")
                #expect(world.requests.isEmpty, "after \(length)")
                #expect(!client.statuses.contains(200))
            }
        }
    }

    // MARK: Retries

    @Test func sendsARequestAgainThatMetAClosingConnection() throws {
        for (method, statuses) in [("GET", [200, 200]), ("PUT", [200, 200]), ("POST", [200, 502])] {
            let world = try HTTPWorld()
            world.serve { server, request in
                // The second request of a connection finds it closed.
                if server.requests.count == 1 { server.answer(request) } else { server.say("", then: .reset) }
            }
            let client = world.client(httpRequest("/1") + httpRequest("/2", method: method))
            world.run(untilAnswers: 2, of: client)
            #expect(client.statuses == statuses, "\(method)")
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
        }
    }

    @Test func triesAnotherEndpointAsTheRouteSays() throws {
        var options = HTTPWorld.Options()
        options.endpointCount = 2
        options.route = "retry: { on: [5xx, connect-failure], attempts: 2, back_off: 1ms }"
        let world = try HTTPWorld(options)
        world.servers[0].dialogue = { peer in
            HTTPServer(on: peer) { server, _ in server.say("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n") }
        }
        let client = world.client((0..<6).map { httpRequest("/\($0)") }.joined())
        world.run(untilAnswers: 6, of: client)
        #expect(client.statuses == Array(repeating: 200, count: 6))
        let refused = world.servers[0].peers.compactMap { $0.dialogue as? HTTPServer }.reduce(0) {
            $0 + $1.requests.count
        }
        #expect(refused > 0 && world.cluster.read(ClusterStat.retriesSucceeded) == UInt64(refused))
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func answers503WhenNoEndpointCanBeReached() throws {
        for answer in [SimulatedServer.Answer.refuse, .unreachable, .blackHole] {
            let world = try HTTPWorld()
            world.server.answer = { _ in answer }
            let client = world.client(httpRequest("/1") + httpRequest("/2"))
            world.run(untilAnswers: 2, of: client)
            #expect(client.statuses == [503, 503])
            #expect(client.answers.map { $0.fields["x-ringway-reason"] } == ["UF", "UF"])
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
        }
    }

    @Test func answers504WhenTimeIsOver() throws {
        var options = HTTPWorld.Options()
        options.route = "timeout: 2s"
        let world = try HTTPWorld(options)
        world.serve { _, _ in }
        let startNs = world.simulation.network.nowNs
        let client = world.client(httpRequest("/1"))
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [504] && (world.simulation.network.nowNs - startNs) / second == 2)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
        #expect(world.upstreams.allSatisfy { $0.sawReset })
    }

    // MARK: Limits

    @Test func letsRequestsWaitForAConnection() throws {
        var options = HTTPWorld.Options()
        options.pool = "max_connections: 2"
        let world = try HTTPWorld(options)
        let clients = (0..<20).map { world.client(httpRequest("/\($0)")) }
        world.simulation.run { clients.allSatisfy { $0.answers.count == 1 } }
        #expect(clients.allSatisfy { $0.statuses == [200] } && world.upstreams.count == 2)
        for client in clients { client.peer.finish() }
        #expect(world.problemsAtEnd() == [])
    }

    @Test func countsTheConnectionsOfOtherWorkers() throws {
        var options = HTTPWorld.Options()
        options.pool = "max_connections: 2, max_pending: 1"
        let world = try HTTPWorld(options)
        world.otherWorker.add(2, to: ConnectionStat.active)
        let first = world.client(httpRequest("/waits"))
        let second = world.client(httpRequest("/overflows"))
        world.simulation.run { second.answers.count + first.answers.count == 1 }
        #expect((first.statuses + second.statuses) == [503] && world.upstreams.isEmpty)
        #expect(world.cluster.read(ClusterStat.pendingRequests) == 1)
        // A place becomes free over there: who waits here has to find that out by itself.
        world.otherWorker.subtract(2, from: ConnectionStat.active)
        world.simulation.run { second.answers.count + first.answers.count == 2 }
        #expect(Set(first.statuses + second.statuses) == [200, 503])
        first.peer.finish()
        second.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func refusesRequestsBeyondTheLimits() throws {
        var options = HTTPWorld.Options()
        options.pool = "max_connections: 1, max_pending: 2, max_requests: 10"
        let world = try HTTPWorld(options)
        world.serve { _, _ in }
        let clients = (0..<5).map { world.client(httpRequest("/\($0)")) }
        world.simulation.run { clients.filter { !$0.answers.isEmpty }.count == 2 }
        #expect(clients.flatMap(\.statuses) == [503, 503])
        #expect(world.cluster.read(ClusterStat.pendingRequests) == 2)
        for client in clients { client.peer.reset() }
        #expect(world.problemsAtEnd() == [])
        #expect(world.requests.count == 1, "who is gone is not served")
    }

    // MARK: Tunnels

    @Test func becomesATunnel() throws {
        var options = HTTPWorld.Options()
        options.route = "upgrade: [websocket], idle_timeout: 1h"
        let world = try HTTPWorld(options)
        world.serve { server, _ in
            server.say("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        }
        let client = world.client(httpRequest("/", "Connection: upgrade\r\nUpgrade: websocket\r\n") + "early")
        world.simulation.run(forNs: second)
        #expect(client.informational == [101] && client.input == Array("hello".utf8))
        let server = try #require(world.upstreams.first?.dialogue as? HTTPServer)
        #expect(server.input == Array("early".utf8))
        world.upstreams[0].say(" again")
        client.peer.say(" and late")
        world.simulation.run(forNs: second)
        #expect(client.input == Array("hello again".utf8) && server.input == Array("early and late".utf8))
        client.peer.finish()
        world.simulation.run { world.upstreams[0].sawEnd }
        world.upstreams[0].finish()
        #expect(world.problemsAtEnd() == [])
    }
}
