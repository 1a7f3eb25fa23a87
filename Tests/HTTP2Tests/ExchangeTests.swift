import HTTP
import Testing

@testable import HTTP2

/// Whole exchanges between the two sides, in one piece and byte by byte.
@Suite struct ExchangeTests {
    @Test(arguments: [Int.max, 1, 2, 7, 100])
    func carriesARequestAndItsAnswer(pieceBytes: Int) throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request("POST", "/path?query", body: "hello", fields: [("X-Name", "value"), ("TE", "trailers")])
        client.exchange(with: server, pieceBytes: pieceBytes)
        #expect(
            server.log == [
                "settings",
                "0 POST example.com/path?query exactly(5) te [x-name: value, te: trailers, content-length: 5]",
                "0 body hello", "0 end",
            ])
        server.respond(try #require(server.last), 103, fields: [(.link, "</style.css>")])
        server.respond(
            try #require(server.last), body: "answer", fields: [(.contentType, "text/plain")],
            trailers: [(.grpcStatus, "0")])
        client.clearLog()
        client.exchange(with: server, pieceBytes: pieceBytes)
        #expect(
            client.log == [
                "0 103 none [link: </style.css>]", "0 200 unknown [content-type: text/plain]", "0 body answer",
                "0 trailers [grpc-status: 0]", "0 end", "0 closed 0",
            ])
        #expect(server.log.last == "0 closed 0")
        #expect(client.session.streamCount == 0)
        #expect(server.session.streamCount == 0)
    }

    @Test func answersWithoutABodyInOneFrame() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request("HEAD")
        client.exchange(with: server)
        var head = ResponseHead(headersMax: 4)
        head.setBodyLength(.exactly(12))
        server.session.sendResponse(try #require(server.last), head, hasBody: false)
        #expect(Frame.types(server.write()) == [1])
    }

    @Test func keepsTheLengthOfAnAnswerToHead() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request("HEAD")
        client.exchange(with: server)
        var head = ResponseHead(headersMax: 4)
        head.setBodyLength(.exactly(12))
        server.session.sendResponse(try #require(server.last), head, hasBody: false)
        client.clearLog()
        client.exchange(with: server)
        #expect(client.log == ["0 200 none [content-length: 12]", "0 end", "0 closed 0"])
    }

    @Test func aSlowStreamStopsAloneWhileOthersGoOn() throws {
        let settings = HTTP2Settings(streamWindowBytes: 1_000)
        let client = Endpoint(server: false)
        let server = Endpoint(server: true, settings: settings)
        client.exchange(with: server)
        server.isReading = false
        let slow = try #require(client.request("POST", "/slow", body: String(repeating: "s", count: 5_000)))
        client.exchange(with: server)
        #expect(server.received[0] == 1_000)
        server.isReading = true
        client.request("POST", "/fast", body: String(repeating: "f", count: 5_000))
        client.exchange(with: server)
        #expect(server.received[1] == 5_000)
        #expect(server.received[0] == 1_000)
        server.session.consume(HTTP2Stream(slot: 0), 1_000)
        client.exchange(with: server)
        #expect(server.received[0] == 5_000)
        #expect(slow.slot == 0)
    }

    @Test func tellsWhenAQueueIsLongAndWhenItIsShortAgain() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request()
        client.exchange(with: server)
        let stream = try #require(server.last)
        var head = ResponseHead(headersMax: 4)
        head.setBodyLength(.unknown)
        server.session.sendResponse(stream, head, hasBody: true)
        server.send(stream, String(repeating: "x", count: 100_000))
        #expect(!server.session.isAboveHighMark(stream))
        server.send(stream, String(repeating: "x", count: 100_000))
        #expect(server.session.isAboveHighMark(stream))
        // The client's window, 256 KiB, lets all of it through.
        client.exchange(with: server)
        #expect(server.log.last == "0 drained")
    }

    @Test func writesNoMoreBodyThanAsked() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request()
        client.exchange(with: server)
        server.respond(try #require(server.last), body: String(repeating: "x", count: 100_000))
        let first = server.write(bodyBytesMax: 16_384)
        #expect(first.count < 20_000)
        #expect(server.session.wantsToWrite)
    }

    @Test func aResetReachesTheOtherSideWithItsReason() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        let stream = try #require(client.request("POST", body: nil))
        client.exchange(with: server)
        client.session.reset(stream, .cancel)
        client.exchange(with: server)
        #expect(server.log.last == "0 closed 8")
        #expect(client.log.last == "0 closed 8")
    }

    @Test func aRequestThatIsResetBeforeItWasSentIsNeverSeen() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.exchange(with: server)
        let stream = try #require(client.request())
        client.session.reset(stream, .cancel)
        client.exchange(with: server)
        #expect(client.log.last == "0 closed 7")
        #expect(server.log == ["settings"])
    }

    @Test func anAnswerBeforeTheRequestsEndStopsTheRequest() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        server.isReading = false
        client.request("POST", body: String(repeating: "x", count: 400_000))
        client.exchange(with: server)
        server.respond(try #require(server.last), 413, body: "too much")
        client.exchange(with: server)
        #expect(client.log.suffix(3) == ["0 body too much", "0 end", "0 closed 0"])
        #expect(server.log.last == "0 closed 0")
    }

    @Test func goingAwayLosesNoRequestThatWasSent() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request("GET", "/before")
        client.exchange(with: server)
        server.session.announceGoAway()
        // Sent before the client has heard.
        client.request("GET", "/crossing")
        let crossing = client.write()
        server.receive(crossing)
        client.exchange(with: server)
        #expect(!client.session.takesRequests)
        server.session.goAway()
        client.exchange(with: server)
        #expect(server.log.contains { $0.contains("/crossing") })
        server.respond(HTTP2Stream(slot: 0), body: "one")
        server.respond(HTTP2Stream(slot: 1), body: "two")
        client.exchange(with: server)
        #expect(client.log.contains("0 body one") && client.log.contains("1 body two"))
        #expect(server.session.isFinished)
    }

    @Test func whatThePeerDidNotProcessIsRefused() throws {
        let client = Endpoint(server: false)
        client.request()
        client.request()
        _ = client.write()
        // Only the first stream was taken.
        client.receive(Frame.settings + Frame.raw(7, stream: 0, Frame.bytes(1) + Frame.bytes(0)))
        #expect(client.log == ["settings", "go away 0", "1 closed 7"])
    }

    @Test func streamsBeyondTheLimitAreRefusedUnharmed() throws {
        let server = Endpoint(server: true, settings: HTTP2Settings(concurrentStreamsMax: 2))
        server.receive(Frame.preface + Frame.settings)
        for stream in [1, 3, 5] as [UInt32] { server.receive(Frame.headers(stream, Frame.get)) }
        #expect(server.log.filter { $0.contains("GET") }.count == 2)
        #expect(Frame.lastCode(server.write(), type: 3) == 7)
        #expect(server.session.streamsRefused == 1)
    }

    @Test func pingsAreAnswered() {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.exchange(with: server)
        client.session.ping(.roundTrip)
        client.exchange(with: server)
        #expect(client.log.last == "pong roundTrip")
    }
}
