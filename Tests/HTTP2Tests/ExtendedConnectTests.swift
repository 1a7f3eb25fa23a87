import HTTP
import Testing

@testable import HTTP2

/// RFC 8441: WebSocket and other protocols in a stream.
@Suite struct ExtendedConnectTests {
    private static let fields = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
        (":authority", "a"), ("sec-websocket-version", "13"),
    ]

    private func server(_ fields: [(String, String)], end: Bool = false) -> Endpoint {
        let server = Endpoint(server: true, settings: HTTP2Settings(allowsExtendedConnect: true))
        server.receive(Frame.preface + Frame.settings + Frame.headers(1, fields, end: end))
        return server
    }

    @Test func readsAsTheUpgradeThatItStandsFor() {
        let server = server(Self.fields)
        #expect(server.log.last == "0 GET a/chat none [sec-websocket-version: 13, upgrade: websocket]")
    }

    @Test func whatFollowsIsHandedOn() {
        let server = server(Self.fields)
        server.receive(Frame.data(1, "abc"))
        server.receive(Frame.data(1, "def", flags: Frame.endStream))
        #expect(server.log.suffix(2) == ["0 body abcdef", "0 end"])
    }

    private static let connect = (":method", "CONNECT")
    private static let refused: [([(String, String)], HTTPMessageError)] = [
        (Frame.get + [(":protocol", "websocket")], .invalidPseudoHeader),
        ([connect, (":protocol", "x"), (":path", "/"), (":authority", "a")], .missingPseudoHeader),
        ([connect, (":protocol", "x"), (":scheme", "http"), (":authority", "a")], .missingPseudoHeader),
        ([connect, (":protocol", "x"), (":scheme", "http"), (":path", "/")], .missingHost),
        (
            [connect, (":protocol", "a b"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
            .invalidPseudoHeader
        ),
        (fields + [("content-length", "1")], .bodyInConnect),
        (fields + [("upgrade", "websocket")], .connectionField),
    ]

    @Test(arguments: refused.indices)
    func refusesWhatIsNone(index: Int) {
        let (fields, error) = Self.refused[index]
        #expect(server(fields).log.last == "0 refused \(error)")
    }

    @Test func isRefusedWhereItWasNotOffered() {
        let server = Endpoint(server: true)
        server.receive(Frame.preface + Frame.settings + Frame.headers(1, Self.fields, end: false))
        #expect(server.log.last == "0 refused invalidPseudoHeader")
    }

    @Test func goesOutInThePlaceOfAnUpgrade() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true, settings: HTTP2Settings(allowsExtendedConnect: true))
        #expect(!client.session.peerAllowsExtendedConnect)
        client.exchange(with: server)
        #expect(client.session.peerAllowsExtendedConnect)
        let fields = [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("Sec-WebSocket-Version", "13"),
        ]
        let stream = try #require(client.request("GET", "/chat", fields: fields, connectProtocol: "websocket"))
        client.exchange(with: server)
        #expect(server.log.last == "0 GET example.com/chat none [sec-websocket-version: 13, upgrade: websocket]")
        server.respond(HTTP2Stream(slot: 0), body: "hello")
        client.send(stream, "there")
        client.exchange(with: server)
        #expect(client.log.contains("0 200 none []"))
        #expect(client.log.contains("0 body hello"))
        #expect(server.log.contains("0 body there"))
    }
}
