import Engine
import HTTP
import Simulation
import Testing

@testable import Filters

private let second: UInt64 = 1_000_000_000

@Suite("Slow bodies")
struct SlowBodyTests {
    // MARK: The clock

    private let limit = RequestBodyLimit(timeoutNs: 20 * second, bytesPerSecond: 500)

    private func clock() -> RequestBodyClock {
        var clock = RequestBodyClock()
        clock.start(limit)
        return clock
    }

    @Test func countsOnlyTimeInWhichWeWait() {
        var clock = clock()
        #expect(clock.leftNs(atNs: 100 * second) == 20 * second)
        clock.setWaiting(true, nowNs: 100 * second)
        #expect(clock.leftNs(atNs: 105 * second) == 15 * second)
        clock.setWaiting(false, nowNs: 105 * second)
        #expect(clock.leftNs(atNs: 900 * second) == 15 * second)
        clock.setWaiting(true, nowNs: 900 * second)
        clock.setWaiting(true, nowNs: 910 * second)
        #expect(clock.leftNs(atNs: 914 * second) == second)
        #expect(clock.leftNs(atNs: 915 * second) == 0 && clock.leftNs(atNs: 10_000 * second) == 0)
    }

    @Test func givesBackWhatBytesMakeUpForAndNoMore() {
        var clock = clock()
        clock.setWaiting(true, nowNs: 0)
        clock.received(500, limit, nowNs: 10 * second)
        #expect(clock.leftNs(atNs: 10 * second) == 11 * second)
        clock.received(1 << 30, limit, nowNs: 11 * second)
        #expect(clock.leftNs(atNs: 11 * second) == 20 * second)
        #expect(clock.leftNs(atNs: 12 * second) == 19 * second)
        // What was kept back and is handed on gives back too, and starts nothing.
        clock.setWaiting(false, nowNs: 12 * second)
        clock.received(500, limit, nowNs: 12 * second)
        #expect(clock.leftNs(atNs: 50 * second) == 20 * second)
    }

    // MARK: Requests

    /// A client that sends a body of `count` bytes, `bytesPerSecond` of them in a second.
    private func client(_ world: HTTPWorld, count: Int, bytesPerSecond: Int) -> HTTPClient {
        let body = String(repeating: "x", count: count)
        return world.client(
            httpRequest("/", method: "POST", body: body),
            plan: plan {
                $0.chunkBytes = bytesPerSecond
                $0.stepNs = second
            })
    }

    @Test func answers408WhenABodyDribbles() throws {
        let world = try HTTPWorld()
        let startNs = world.simulation.network.nowNs
        let client = client(world, count: 100_000, bytesPerSecond: 100)
        let isOver = world.simulation.run { world.listener.counters.read(HTTPStat.requestBodyTimeouts) == 1 }
        // 100 bytes make up for 0.2 s of each second.
        let seconds = (world.simulation.network.nowNs - startNs) / second
        #expect(isOver && (24...27).contains(seconds), "\(seconds)")
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [408])
        #expect(world.problemsAtEnd() == [])
        #expect(world.upstreams.allSatisfy { $0.sawReset })
    }

    @Test func letsABodyTakeItsTime() throws {
        let world = try HTTPWorld()
        let client = client(world, count: 60_000, bytesPerSecond: 520)
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [200] && world.requests.map(\.body.count) == [60_000])
        #expect(world.listener.counters.read(HTTPStat.requestBodyTimeouts) == 0)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func doesNotCountTheTimeOfFiltersAndEndpoints() throws {
        let filter = ScriptedHTTPFilter()
        filter.requestHeaders = { [unowned filter] stream in
            stream.startTimer(for: filter, afterNs: 60 * second)
            return .pause
        }
        filter.timer = { $0.resumeRequest() }
        var options = HTTPWorld.Options()
        options.filters = [filter]
        options.socketBufferBytes = 4096
        let world = try HTTPWorld(options)
        let client = client(world, count: 1_000_000, bytesPerSecond: 1_000_000)
        let startNs = world.simulation.network.nowNs
        world.simulation.run { !world.upstreams.isEmpty }
        #expect(world.simulation.network.nowNs - startNs >= 60 * second)
        let upstream = try #require(world.upstreams.first)
        upstream.plan.readLimit = 100_000
        world.simulation.run(forNs: 60 * second)
        #expect(client.statuses == [] && upstream.receivedBytes < 1_000_000)
        upstream.readOn()
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [200] && world.requests.map(\.body.count) == [1_000_000])
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func leavesExchangesAloneThatAreAnsweredAlready() throws {
        let world = try HTTPWorld()
        world.server.dialogue = { peer in
            let server = HTTPServer(on: peer) { server, _ in server.say("done") }
            var isAnswered = false
            server.onHead = { server, _ in
                if !isAnswered { server.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n") }
                isAnswered = true
                return false
            }
            return server
        }
        let client = client(world, count: 1000, bytesPerSecond: 10)
        world.run(untilAnswers: 1, of: client)
        #expect(client.statuses == [200] && client.answers[0].body == "done")
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
    }
}
