import Testing

@testable import HTTP2

/// A tuner at an address of its own, for expectations that change it.
private final class Tuner {
    private var tuner: HTTP2WindowTuner

    init(streamWindow: Int, growthMax: Int) {
        tuner = HTTP2WindowTuner(streamWindow: streamWindow, growthMax: growthMax)
    }

    var streamWindow: Int { tuner.streamWindow }
    func received(_ count: Int, nowNs: UInt64) -> Bool { tuner.received(count, nowNs: nowNs) }
    func answered(nowNs: UInt64) -> Bool { tuner.answered(nowNs: nowNs) }
    func grow(_ window: Int) -> Int { tuner.grow(window) }
    func release(_ window: Int) { tuner.release(window) }
}

/// Windows as large as what is on its way in one round trip, within a bound.
@Suite struct WindowTests {
    @Test func growsWhileTheWindowIsWhatHoldsThePeerBack() {
        let tuner = Tuner(streamWindow: 100, growthMax: 1_000)
        #expect(tuner.received(60, nowNs: 0))
        #expect(!tuner.received(40, nowNs: 5))
        #expect(tuner.answered(nowNs: 10))
        #expect(tuner.streamWindow == 200)
        // Twice as much in the same time.
        #expect(tuner.received(200, nowNs: 10))
        #expect(tuner.answered(nowNs: 20))
        #expect(tuner.streamWindow == 400)
    }

    @Test func staysWhereLessComesThanTheWindowAllows() {
        let tuner = Tuner(streamWindow: 100, growthMax: 1_000)
        #expect(tuner.received(66, nowNs: 0))
        #expect(!tuner.answered(nowNs: 10))
        #expect(tuner.streamWindow == 100)
    }

    @Test func staysWhenOnlyTheRoundTripHasBecomeLonger() {
        let tuner = Tuner(streamWindow: 100, growthMax: 1_000)
        #expect(tuner.received(100, nowNs: 0))
        #expect(tuner.answered(nowNs: 10))
        #expect(tuner.received(200, nowNs: 10))
        #expect(!tuner.answered(nowNs: 40))
        #expect(tuner.streamWindow == 200)
    }

    @Test func staysWithinItsBound() {
        let tuner = Tuner(streamWindow: 100, growthMax: 50)
        #expect(tuner.received(100, nowNs: 0))
        #expect(tuner.answered(nowNs: 10))
        #expect(tuner.streamWindow == 150)
        #expect(tuner.grow(100) == 50)
        // Nothing is left for another stream, until the first has gone.
        #expect(tuner.grow(100) == 0)
        tuner.release(150)
        #expect(tuner.grow(100) == 50)
    }

    @Test func neverAsksWhereNothingMayGrow() {
        let tuner = Tuner(streamWindow: 100, growthMax: 0)
        #expect(!tuner.received(100, nowNs: 0))
    }

    @Test func asksLessAndLessOftenWhereNothingIsToBeGained() {
        let tuner = Tuner(streamWindow: 1_000, growthMax: 1_000)
        var asked = 0
        for ms in 0..<60_000 where tuner.received(10, nowNs: UInt64(ms) * 1_000_000) {
            asked += 1
            #expect(!tuner.answered(nowNs: UInt64(ms) * 1_000_000 + 500_000))
        }
        #expect(asked < 15)
    }

    @Test func anAnswerToNothingChangesNothing() {
        let tuner = Tuner(streamWindow: 100, growthMax: 1_000)
        #expect(!tuner.answered(nowNs: 10))
        #expect(tuner.streamWindow == 100)
    }

    // MARK: In a session

    /// Bytes of one round trip each, with the answers that PINGs get.
    private func upload(_ server: Endpoint, _ client: Endpoint) {
        client.exchange(with: server)
        server.nowNs += 1_000_000
    }

    @Test func aStreamThatUsesItsWindowGetsALargerOne() throws {
        let settings = HTTP2Settings(streamWindowBytes: 10_000, windowGrowthBytes: 30_000)
        let client = Endpoint(server: false)
        let server = Endpoint(server: true, settings: settings)
        client.exchange(with: server)
        let stream = try #require(client.request("POST", "/", body: String(repeating: "x", count: 10_000)))
        upload(server, client)
        #expect(!client.log.contains { $0.hasPrefix("pong") })
        // What it may send without being told that any of it was taken.
        server.isReading = false
        let next = try #require(client.request("POST", "/", body: String(repeating: "y", count: 100_000)))
        client.exchange(with: server)
        #expect(server.received[next.slot] == 10_000)
        server.isReading = true
        server.session.consume(HTTP2Stream(slot: next.slot), 10_000)
        for _ in 0..<20 { upload(server, client) }
        #expect(server.received[next.slot] == 100_000)
        #expect(stream.slot == 0)
    }

    @Test func aStreamThatStandsStillKeepsWhatItHas() throws {
        let settings = HTTP2Settings(streamWindowBytes: 10_000, windowGrowthBytes: 30_000)
        let client = Endpoint(server: false)
        let server = Endpoint(server: true, settings: settings)
        client.exchange(with: server)
        server.isReading = false
        let stream = try #require(client.request("POST", "/", body: String(repeating: "x", count: 100_000)))
        for _ in 0..<20 { upload(server, client) }
        #expect(server.received[stream.slot] == 10_000)
    }
}
