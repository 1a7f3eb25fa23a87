import Testing

@testable import HTTP

@Suite struct RequestParserTests {
    @Test func readsARequestOfABrowser() {
        let parsed = parse(
            """
            GET /a/b?x=1&y=%20 HTTP/1.1
            Host: www.example.com:8080
            User-Agent: Mozilla/5.0
            Accept: */*
            X-Custom:   padded\t
            Cookie: a=b; c=d
            Empty:

            """)
        #expect(
            parsed.digest == """
                GET origin HTTP/1.1
                authority www.example.com:8080
                path /a/b
                query x=1&y=%20
                body none
                Host: www.example.com:8080
                User-Agent: Mozilla/5.0
                Accept: */*
                X-Custom: padded
                Cookie: a=b; c=d
                Empty:\u{20}
                """)
        #expect(parsed.isPersistent)
        #expect(parsed.framing == HTTP1BodyFraming.none)
    }

    @Test(arguments: [
        ("GET", HTTPMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
        ("OPTIONS", .options), ("TRACE", .trace), ("PATCH", .patch), ("PROPFIND", .other), ("get", .other),
        ("GETS", .other), ("M-SEARCH", .other), ("!#$%&'*+-.^_`|~09azAZ", .other),
    ])
    func readsMethods(text: String, method: HTTPMethod) {
        let bytes = Array("\(text) / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 4)
        ByteSlice.withBytes(of: bytes) { slice in
            #expect(parser.parse(slice, limits: HTTP1Limits(), into: &head) == .complete(length: bytes.count))
            #expect(head.method == method)
            #expect(head.methodText.text == text)
        }
    }

    @Test func keepsTheBodyOutOfTheHead() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        let parsed = parseRaw(text)
        #expect(parsed.outcome == .complete(length: text.utf8.count - 5))
        #expect(parsed.framing == .length(5))
        #expect(parsed.digest.contains("body exactly(5)"))
    }

    @Test func forgivesOneEmptyLineBeforeTheRequest() {
        #expect(parseRaw("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").outcome == .complete(length: 29))
    }

    @Test func readsChunked() {
        let parsed = parse(
            """
            POST /upload HTTP/1.1
            Host: a
            Transfer-Encoding: Chunked
            Trailer: X-Sum

            """)
        #expect(parsed.framing == .chunked)
        #expect(parsed.digest.contains("body unknown"))
        #expect(parsed.digest.contains("-Transfer-Encoding: Chunked"))
        #expect(parsed.digest.contains("\nTrailer: X-Sum"))
    }

    @Test(
        arguments: [
            ("GET http://example.com/p?q HTTP/1.1", "example.com", "/p", "q", RequestHead.TargetForm.absolute),
            ("GET http://example.com HTTP/1.1", "example.com", "/", nil, .absolute),
            ("GET HTTP://EXAMPLE.com?q HTTP/1.1", "EXAMPLE.com", "/", "q", .absolute),
            ("GET https://example.com:443/ HTTP/1.1", "example.com:443", "/", nil, .absolute),
            ("OPTIONS http://example.com HTTP/1.1", "example.com", "", nil, .asterisk),
            ("OPTIONS * HTTP/1.1", "example.com", "", nil, .asterisk),
            ("GET /?? HTTP/1.1", "example.com", "/", "?", .origin),
            ("GET /? HTTP/1.1", "example.com", "/", "", .origin),
            ("GET //double/http://x?y HTTP/1.1", "example.com", "//double/http://x", "y", .origin),
            ("GET /~user/[a]@:!$&'()*+,;= HTTP/1.1", "example.com", "/~user/[a]@:!$&'()*+,;=", nil, .origin),
        ] as [(String, String, String, String?, RequestHead.TargetForm)])
    func readsTargets(
        line: String, authority: String, path: String, query: String?, form: RequestHead.TargetForm
    ) {
        let bytes = Array("\(line)\r\nHost: example.com\r\n\r\n".utf8)
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 4)
        ByteSlice.withBytes(of: bytes) { slice in
            #expect(parser.parse(slice, limits: HTTP1Limits(), into: &head) == .complete(length: bytes.count))
            #expect(head.authority.text == authority)
            #expect(head.path.text == path)
            #expect(head.query?.text == query)
            #expect(head.targetForm == form)
        }
    }

    @Test func readsConnect() {
        let parsed = parseRaw("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n")
        #expect(parsed.digest.hasPrefix("CONNECT authority HTTP/1.1\nauthority [::1]:443\nbody none\n"))
    }

    @Test(arguments: [
        ("HTTP/1.1", "", true), ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: Keep-Alive\r\n", true), ("HTTP/1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: x\r\nConnection: , ,close ,\r\n", false), ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: keep-alive\r\n", true), ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
    ])
    func decidesPersistence(version: String, field: String, isPersistent: Bool) {
        let parsed = parseRaw("GET / \(version)\r\nHost: a\r\n\(field)\r\n")
        #expect(parsed.isPersistent == isPersistent)
    }

    @Test func marksHopByHopFieldsAndThoseThatConnectionNames() {
        let parsed = parse(
            """
            GET / HTTP/1.1
            Host: a
            X-Secret: 1
            Connection: x-secret, Cache-Control, X-None, TE
            Connection: close
            Cache-Control: no-cache
            x-SECRET: 2
            TE: gzip, trailers
            Keep-Alive: timeout=5
            Proxy-Connection: keep-alive
            Upgrade: websocket
            HTTP2-Settings: AAMAAABk
            X-Public: 3

            """)
        #expect(
            parsed.digest == """
                GET origin HTTP/1.1
                authority a
                path /
                body none
                accepts trailers
                Host: a
                -X-Secret: 1
                -Connection: x-secret, Cache-Control, X-None, TE
                -Connection: close
                -Cache-Control: no-cache
                -x-SECRET: 2
                -TE: gzip, trailers
                -Keep-Alive: timeout=5
                -Proxy-Connection: keep-alive
                -Upgrade: websocket
                -HTTP2-Settings: AAMAAABk
                X-Public: 3
                """)
    }

    @Test(arguments: [
        ("HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
        ("HTTP/1.1", "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n", true),
        ("HTTP/1.1", "Upgrade: websocket\r\n", false), ("HTTP/1.1", "Connection: upgrade\r\n", false),
        ("HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false),
        ("HTTP/1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", false),
        ("HTTP/1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", false),
    ])
    func recognisesUpgrades(version: String, fields: String, offersUpgrade: Bool) {
        let parsed = parseRaw("GET / \(version)\r\nHost: a\r\n\(fields)\r\n")
        #expect(parsed.digest.contains("offers upgrade") == offersUpgrade)
    }

    @Test func recognisesExpectations() {
        #expect(
            parseRaw("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").digest.contains("expects continue"))
        let old = parseRaw("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        #expect(!old.digest.contains("expects continue"))
        #expect(old.digest.contains("\n-Expect: 100-continue"), "it would count in the HTTP/1.1 request that we send")
        let odd = parseRaw("GET / HTTP/1.0\r\nExpect:\r\n\r\n")
        #expect(odd.digest.contains("\n-Expect: "))
    }

    @Test func acceptsHTTP10WithoutHost() {
        let parsed = parseRaw("GET / HTTP/1.0\r\n\r\n")
        #expect(parsed.digest == "GET origin HTTP/1.0\nauthority \npath /\nbody none")
    }

    @Test func acceptsUnencodedTargetsWhereAllowed() {
        let text = "GET /{a}|b^c`d\"e<f>g\\?{~} HTTP/1.1\r\nHost: a\r\n\r\n"
        #expect(parseRaw(text).outcome == .malformed(.invalidTarget))
        let parsed = parseRaw(text, limits: HTTP1Limits(acceptsUnencodedTargets: true))
        #expect(parsed.digest.contains("path /{a}|b^c`d\"e<f>g\\\nquery {~}\n"))
    }

    @Test func judgesWhatDoesNotBeginLikeHTTPAtOnce() {
        #expect(parseRaw("\u{16}\u{03}\u{01}").outcome == .malformed(.invalidMethod))
        #expect(parseRaw("\r").outcome == .incomplete)
        #expect(parseRaw("\n").outcome == .malformed(.bareLineFeed))
    }

    @Test func forgetsEverythingOnReset() {
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 4)
        let first = Array(
            "POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".utf8)
        let second = Array("GET / HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
        ByteSlice.withBytes(of: first) { _ = parser.parse($0, limits: HTTP1Limits(), into: &head) }
        parser.reset()
        head.reset()
        ByteSlice.withBytes(of: second) {
            #expect(parser.parse($0, limits: HTTP1Limits(), into: &head) == .complete(length: second.count))
            #expect(head.digest == "GET origin HTTP/1.1\nauthority b\npath /\nbody none\nHost: b")
        }
        #expect(parser.isPersistent)
        #expect(parser.bodyFraming == .none)
    }

    @Test func followsBytesThatMove() {
        let text = Array("GET /path HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 4)
        ByteSlice.withBytes(of: text) { _ = parser.parse($0, limits: HTTP1Limits(), into: &head) }
        ByteSlice.withBytes(of: Array(text)) { copy in
            head.moveSource(to: copy)
            #expect(head.path.text == "/path")
            #expect(head.headers[.host]?.text == "a")
        }
    }
}

// MARK: Limits

extension RequestParserTests {
    @Test func limitsTheNumberOfHeaders() {
        let limits = HTTP1Limits(headersMax: 3)
        #expect(
            parseRaw("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", limits: limits).outcome
                == .complete(length: 39))
        let refused = parseRaw("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits: limits)
        #expect(refused.outcome == .malformed(.tooManyHeaders))
    }

    @Test func limitsTheBytesOfAHead() {
        let limits = HTTP1Limits(headerBytesMax: 256)
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let fits = start + String(repeating: "x", count: 256 - start.utf8.count - 4) + "\r\n\r\n"
        #expect(parseRaw(fits, limits: limits).outcome == .complete(length: 256))
        let tooLong = start + String(repeating: "x", count: 256 - start.utf8.count - 3) + "\r\n\r\n"
        #expect(parseRaw(tooLong, limits: limits).outcome == .malformed(.headersTooLarge))
        let noEnd = start + String(repeating: "x", count: 256 - start.utf8.count)
        #expect(parseRaw(noEnd, limits: limits).outcome == .malformed(.headersTooLarge))
    }

    @Test func limitsTheBytesOfATarget() {
        let limits = HTTP1Limits(targetBytesMax: 16)
        let fits = "GET /23456789abcdef0 HTTP/1.1\r\nHost: a\r\n\r\n".replacing("0 ", with: " ")
        #expect(parseRaw(fits, limits: limits).outcome == .complete(length: fits.utf8.count))
        let tooLong = "GET /23456789abcdef01 HTTP/1.1\r\nHost: a\r\n\r\n"
        #expect(parseRaw(tooLong, limits: limits).outcome == .malformed(.targetTooLong))
        let noEnd = "GET /" + String(repeating: "x", count: 80)
        #expect(parseRaw(noEnd, limits: limits).outcome == .malformed(.targetTooLong))
    }

    @Test func limitsTheBytesOfABody() {
        let text = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
        #expect(parseRaw(text, limits: HTTP1Limits(bodyBytesMax: 11)).outcome == .complete(length: text.utf8.count))
        #expect(parseRaw(text, limits: HTTP1Limits(bodyBytesMax: 10)).outcome == .malformed(.bodyTooLarge))
    }

    @Test func refusesHTTP10WhereItIsNotAccepted() {
        let limits = HTTP1Limits(acceptsHTTP10: false)
        #expect(parseRaw("GET / HTTP/1.0\r\n\r\n", limits: limits).outcome == .malformed(.http10NotAccepted))
    }
}

/// A request's outcome with everything that was understood.
struct ParsedRequest: Equatable {
    var outcome: HTTP1RequestParser.Outcome
    var digest = ""
    var isPersistent = true
    var framing = HTTP1BodyFraming.none
}

/// Parses lines that end with LF here and CRLF on the wire; the last line is the empty one.
func parse(_ lines: String, limits: HTTP1Limits = HTTP1Limits()) -> ParsedRequest {
    parseRaw(lines.replacing("\n", with: "\r\n") + "\r\n", limits: limits)
}

/// Parses exactly these bytes.
func parseRaw(_ text: String, limits: HTTP1Limits = HTTP1Limits()) -> ParsedRequest {
    ByteSlice.withBytes(of: Array(text.utf8)) { bytes in
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: limits.headersMax)
        let outcome = parser.parse(bytes, limits: limits, into: &head)
        guard case .complete = outcome else { return ParsedRequest(outcome: outcome) }
        return ParsedRequest(
            outcome: outcome, digest: head.digest, isPersistent: parser.isPersistent, framing: parser.bodyFraming)
    }
}
