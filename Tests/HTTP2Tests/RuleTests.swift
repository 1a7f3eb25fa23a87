import HTTP
import Testing

@testable import HTTP2

/// What a message may say (RFC 9113 §8): the rules that keep a request the same when it goes on in HTTP/1.1.
@Suite struct RuleTests {
    private static let accepted: [[(String, String)]] = [
        Frame.get,
        [(":method", "OPTIONS"), (":scheme", "https"), (":path", "*"), (":authority", "a")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a")],
        [(":method", "CONNECT"), (":authority", "a:443")],
        Frame.get + [("host", "A:80")],
        Frame.get + [("te", "trailers"), ("empty", ""), ("tab", "a\tb")],
    ]

    @Test(arguments: accepted)
    func accepts(fields: [(String, String)]) {
        let server = serve(Frame.headers(1, fields))
        #expect(!server.log.contains { $0.contains("refused") || $0.contains("malformed") }, "\(server.log)")
        #expect(server.log.contains { $0.hasSuffix("end") })
    }

    private static let refused: [([(String, String)], HTTPMessageError)] = [
        ([], .missingPseudoHeader),
        ([(":scheme", "http"), (":path", "/"), (":authority", "a")], .missingPseudoHeader),
        ([(":method", "GET"), (":path", "/"), (":authority", "a")], .missingPseudoHeader),
        ([(":method", "GET"), (":scheme", "http"), (":authority", "a")], .missingPseudoHeader),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/")], .missingHost),
        ([(":method", "CONNECT")], .missingPseudoHeader),
        ([(":method", "CONNECT"), (":authority", "a")], .invalidConnectTarget),
        ([(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")], .invalidPseudoHeader),
        (Frame.get + [(":method", "GET")], .invalidPseudoHeader),
        (Frame.get + [(":unknown", "x")], .invalidPseudoHeader),
        (Frame.get + [(":status", "200")], .invalidPseudoHeader),
        (Frame.get + [(":protocol", "websocket")], .invalidPseudoHeader),
        ([("a", "b")] + Frame.get, .latePseudoHeader),
        (Frame.get + [("Name", "x")], .uppercaseName),
        (Frame.get + [("Content-Type", "x")], .uppercaseName),
        (Frame.get + [("", "x")], .emptyName),
        (Frame.get + [("a b", "x")], .invalidName),
        (Frame.get + [("a:b", "x")], .invalidName),
        (Frame.get + [("a\r\nb", "x")], .invalidName),
        (Frame.get + [("a", "x\r\nb: y")], .controlByte),
        (Frame.get + [("a", "x\ny")], .controlByte),
        (Frame.get + [("a", "x\0")], .controlByte),
        (Frame.get + [("a", " x")], .spaceAroundValue),
        (Frame.get + [("a", "x\t")], .spaceAroundValue),
        (Frame.get + [("connection", "close")], .connectionField),
        (Frame.get + [("keep-alive", "1")], .connectionField),
        (Frame.get + [("proxy-connection", "x")], .connectionField),
        (Frame.get + [("transfer-encoding", "chunked")], .connectionField),
        (Frame.get + [("upgrade", "h2c")], .connectionField),
        (Frame.get + [("te", "gzip")], .connectionField),
        (Frame.get + [("te", "trailers, gzip")], .connectionField),
        (Frame.get + [("host", "b")], .hostMismatch),
        (Frame.get + [("host", "a"), ("host", "a")], .repeatedHost),
        (Frame.get + [("content-length", "1")], .contentLengthMismatch),
        (Frame.get + [("content-length", "+0")], .invalidContentLength),
        (Frame.get + [("content-length", "0"), ("content-length", "0")], .repeatedContentLength),
        (Frame.get + [("expect", "something")], .unsupportedExpectation),
        ([(":method", "G T"), (":scheme", "http"), (":path", "/"), (":authority", "a")], .invalidMethod),
        ([(":method", ""), (":scheme", "http"), (":path", "/"), (":authority", "a")], .invalidMethod),
        ([(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a")], .unsupportedScheme),
        ([(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")], .invalidTarget),
        ([(":method", "GET"), (":scheme", "http"), (":path", "x"), (":authority", "a")], .invalidTarget),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1"), (":authority", "a")], .invalidTarget),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/#a"), (":authority", "a")], .fragmentInTarget),
        ([(":method", "GET"), (":scheme", "http"), (":path", "*"), (":authority", "a")], .asteriskTarget),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "")], .invalidAuthority),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a")], .invalidAuthority),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/\r\n"), (":authority", "a")], .controlByte),
    ]

    @Test(arguments: refused.indices)
    func refusesWithItsReason(index: Int) {
        let (fields, error) = Self.refused[index]
        let whole = serve(Frame.headers(1, fields))
        #expect(whole.log.contains("0 refused \(error)"), "\(fields): \(whole.log)")
        #expect(!whole.log.contains { $0.contains(" GET ") || $0.hasSuffix(" end") })
        #expect(Frame.lastCode(whole.write(), type: 3) == 1)
        let pieces = serve(Frame.headers(1, fields), pieceBytes: 1)
        _ = pieces.write()
        #expect(pieces.log == whole.log)
    }

    @Test func joinsCookiesThatComeInCrumbs() {
        let fields = Frame.get + [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("cookie", "c=3")]
        #expect(serve(Frame.headers(1, fields)).log.contains("0 GET a/ none [cookie: a=1; b=2; c=3, x: y]"))
    }

    @Test func aBodyIsAsLongAsItsLength() {
        let post = Frame.post + [("content-length", "5")]
        let head = Frame.headers(1, post, end: false)
        let exact = serve(head + Frame.data(1, "hello", flags: Frame.endStream))
        #expect(exact.log.suffix(2) == ["0 body hello", "0 end"])
        let short = serve(head + Frame.data(1, "hell", flags: Frame.endStream))
        #expect(short.log.contains("0 malformed contentLengthMismatch"))
        let long = serve(head + Frame.data(1, "hello!"))
        #expect(long.log.contains("0 malformed contentLengthMismatch"))
        #expect(!long.log.contains { $0.contains("body hello") })
    }

    @Test func aBodyEndsAtTheLimit() {
        var settings = HTTP2Settings()
        settings.limits.bodyBytesMax = 5
        let head = Frame.headers(1, Frame.post, end: false)
        let server = serve(head + Frame.data(1, "123456"), settings: settings)
        #expect(server.log.contains("0 malformed bodyTooLarge"))
    }

    @Test func trailersEndAMessageAndNameNoPseudoHeader() {
        let head = Frame.headers(1, Frame.post, end: false) + Frame.data(1, "x")
        #expect(serve(head + Frame.headers(1, [("a", "b")])).log.suffix(2) == ["0 trailers [a: b]", "0 end"])
        #expect(
            serve(head + Frame.headers(1, [(":path", "/")])).log.contains("0 refused invalidPseudoHeader"))
        #expect(
            serve(head + Frame.headers(1, [("a", "b")], end: false)).log.contains("0 malformed misplacedFrame"))
    }

    @Test func aHeadThatIsTooLargeIsRefusedAndTheNextOneIsRead() {
        var settings = HTTP2Settings()
        settings.limits.headerBytesMax = 1_000
        settings.limits.headersMax = 10
        let many = (0..<20).map { ("name\($0)", "value") }
        let large = [("large", String(repeating: "x", count: 1_200))]
        let server = serve(
            Frame.headers(1, Frame.get + many) + Frame.headers(3, Frame.get + large) + Frame.headers(5, Frame.get),
            settings: settings)
        #expect(server.log.contains("0 refused tooManyHeaders"))
        #expect(server.log.contains("1 refused headersTooLarge"))
        #expect(server.log.contains("2 GET a/ none []"))
    }

    @Test(arguments: [
        ([(":status", "200"), (":path", "/")], HTTPMessageError.invalidPseudoHeader),
        ([("a", "b")], .missingPseudoHeader),
        ([(":status", "20")], .invalidStatus),
        ([(":status", "099")], .invalidStatus),
        ([(":status", "2x0")], .invalidStatus),
        ([(":status", "101")], .unexpectedSwitch),
        ([(":status", "200"), ("connection", "close")], .connectionField),
        ([(":status", "200"), ("a", "b\n")], .controlByte),
    ])
    func refusesResponses(fields: [(String, String)], error: HTTPMessageError) {
        let client = Endpoint(server: false)
        client.request()
        _ = client.write()
        client.receive(Frame.settings + Frame.headers(1, fields))
        #expect(client.log.contains("0 refused \(error)"), "\(client.log)")
    }

    private func serve(
        _ frames: [UInt8], pieceBytes: Int = .max, settings: HTTP2Settings = HTTP2Settings()
    ) -> Endpoint {
        let server = Endpoint(server: true, settings: settings)
        server.receive(Frame.preface + Frame.settings + frames, pieceBytes: pieceBytes)
        return server
    }
}
