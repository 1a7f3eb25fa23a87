import Testing

@testable import HTTP

@Suite struct ResponseParserTests {
    @Test func readsAResponse() {
        let parsed = parseResponse(
            "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nConnection: x-hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nhello"
        )
        #expect(
            parsed.digest == """
                200 HTTP/1.1
                body exactly(5)
                Server: x
                Content-Length: 5
                -Connection: x-hop
                -X-Hop: 1
                Set-Cookie: a
                set-cookie: b
                """)
        #expect(parsed.isPersistent)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.0 200 Fine, thanks\r\n\r\n",
        "HTTP/1.1 999 \t\u{00E9}\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
    ])
    func acceptsStatusLines(text: String) {
        #expect(parseResponse(text).outcome == .complete(length: text.utf8.count))
    }

    /// RFC 9112 §6.3 as a table.
    @Test(arguments: [
        ("200", "Content-Length: 5", HTTPMethod.get, HTTP1BodyFraming.length(5), true),
        ("200", "Content-Length: 0", .get, .length(0), true),
        ("200", "Transfer-Encoding: chunked", .get, .chunked, true),
        ("200", "X: y", .get, .untilClose, false),
        ("200", "Content-Length: 5", .head, .none, true),
        ("200", "Transfer-Encoding: chunked", .head, .none, true),
        ("200", "X: y", .head, .none, true),
        ("204", "Content-Length: 5", .get, .none, true),
        ("204", "Transfer-Encoding: chunked", .get, .none, true),
        ("304", "Content-Length: 5", .get, .none, true),
        ("100", "X: y", .post, .none, true),
        ("103", "Content-Length: 5", .get, .none, true),
        ("200", "Content-Length: 5", .connect, .none, true),
        ("299", "Transfer-Encoding: chunked", .connect, .none, true),
        ("407", "Content-Length: 5", .connect, .length(5), true),
        ("205", "X: y", .get, .untilClose, false),
        ("500", "X: y", .post, .untilClose, false),
    ])
    func decidesFraming(
        status: String, field: String, method: HTTPMethod, framing: HTTP1BodyFraming, isPersistent: Bool
    ) {
        let parsed = parseResponse("HTTP/1.1 \(status) x\r\n\(field)\r\n\r\n", method: method)
        #expect(parsed.framing == framing)
        #expect(parsed.isPersistent == isPersistent)
    }

    @Test(arguments: [
        ("HTTP/1.1", "Connection: close", false), ("HTTP/1.1", "Connection: keep-alive", true),
        ("HTTP/1.0", "X: y", false), ("HTTP/1.0", "Connection: keep-alive", true),
    ])
    func decidesPersistence(version: String, field: String, isPersistent: Bool) {
        let parsed = parseResponse("\(version) 200 OK\r\nContent-Length: 0\r\n\(field)\r\n\r\n")
        #expect(parsed.isPersistent == isPersistent)
    }

    @Test func switchesProtocolsOnlyWhenAsked() {
        let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        #expect(parseResponse(text, offersUpgrade: true).digest.contains("switches protocol"))
        #expect(parseResponse(text).outcome == .malformed(.unexpectedSwitch))
        #expect(
            parseResponse("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", offersUpgrade: true).outcome
                == .malformed(.unexpectedSwitch))
        #expect(
            parseResponse("HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", offersUpgrade: true).outcome
                == .malformed(.unexpectedSwitch))
        #expect(parseResponse("HTTP/1.1 200 OK\r\n\r\n", method: .connect).digest.contains("switches protocol"))
    }

    static let refused: [(String, HTTPMessageError)] = [
        ("XTTP/1.1 200 OK\r\n\r\n", .invalidStatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 200OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 +20 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1\r\n\r\n", .invalidStatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", .invalidStatus),
        ("HTTP/1.1 000 OK\r\n\r\n", .invalidStatus),
        ("HTTP/2.0 200 OK\r\n\r\n", .unsupportedVersion),
        ("HTTP/1.2 200 OK\r\n\r\n", .unsupportedVersion),
        ("HTTP/11 200 OK\r\n\r\n", .invalidVersion),
        ("Http/1.1 200 OK\r\n\r\n", .invalidVersion),
        ("HTTP/1.1 200 O\u{0}K\r\n\r\n", .controlByte),
        ("HTTP/1.1 200 O\u{7F}K\r\n\r\n", .controlByte),
        ("HTTP/1.1 200 OK\n\r\n", .bareLineFeed),
        ("HTTP/1.1 200 OK\r\r\n\r\n", .bareCarriageReturn),
        ("HTTP/1.1 200 OK\r\nX: y\n\r\n", .bareLineFeed),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .lineFolding),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .spaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .repeatedContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", .repeatedContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", .invalidContentLength),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            .contentLengthAndTransferEncoding
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .invalidTransferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedTransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        ("HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n", .invalidConnectionOption),
    ]

    @Test(arguments: refused)
    func refusesWithItsReason(text: String, error: HTTPMessageError) {
        #expect(parseResponse(text).outcome == .malformed(error))
    }

    static let wires =
        refused.map(\.0) + [
            "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404\r\nServer: x\r\nX:\r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nabc",
        ]

    @Test(arguments: wires)
    func comesToTheSameOutcomeHoweverItIsSplit(text: String) {
        let bytes = Array(text.utf8)
        let whole = parseResponse(text)
        #expect(parseResponseGrowing(bytes, by: Array(repeating: 1, count: bytes.count)) == whole)
        for split in 1..<bytes.count {
            #expect(parseResponseGrowing(bytes, by: [split, bytes.count - split]) == whole, "split at \(split)")
            let cut = parseResponseGrowing(bytes.prefix(split), by: [split]).outcome
            if case .complete(let length) = whole.outcome {
                #expect(split >= length || cut == .incomplete, "cut at \(split)")
            } else {
                #expect(cut == .incomplete || cut == whole.outcome, "cut at \(split)")
            }
        }
    }

    @Test func survivesRandomMutations() {
        var random = SplitMix(seed: 0x2B_99_2D_DF)
        let seeds = Self.wires.map { Array($0.utf8) }
        for round in 0..<2_000 {
            var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
            for _ in 0...Int(random.next() % 4) { mutate(&bytes, &random) }
            let whole = parseResponseGrowing(bytes, by: [bytes.count])
            let split = Int(random.next() % UInt64(bytes.count + 1))
            let pieces = parseResponseGrowing(bytes, by: [split, bytes.count - split])
            #expect(pieces == whole, "round \(round), split at \(split)")
        }
    }

    @Test func limitsTheBytesOfAHead() {
        let limits = HTTP1Limits(headerBytesMax: 256)
        let long = "HTTP/1.1 200 " + String(repeating: "x", count: 300)
        #expect(parseResponse(long, limits: limits).outcome == .malformed(.headersTooLarge))
        #expect(parseResponse(long + "\r\n\r\n", limits: limits).outcome == .malformed(.headersTooLarge))
    }

    @Test func readsInformationalHeadsOneAfterTheOther() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        let first = parseResponse(text)
        guard case .complete(let length) = first.outcome else {
            Issue.record("\(first.outcome)")
            return
        }
        #expect(first.digest.hasPrefix("103 "))
        let second = parseResponse(String(decoding: Array(text.utf8).dropFirst(length), as: UTF8.self))
        #expect(second.digest.hasPrefix("200 "))
    }
}

private func parseResponse(
    _ text: String, method: HTTPMethod = .get, offersUpgrade: Bool = false, limits: HTTP1Limits = HTTP1Limits()
) -> ParsedRequest {
    let bytes = Array(text.utf8)
    return parseResponseGrowing(bytes, by: [bytes.count], method: method, offersUpgrade: offersUpgrade, limits: limits)
}

private func parseResponseGrowing(
    _ bytes: some Collection<UInt8>, by steps: [Int], method: HTTPMethod = .get, offersUpgrade: Bool = false,
    limits: HTTP1Limits = HTTP1Limits()
) -> ParsedRequest {
    let guarded = GuardedBytes(capacity: bytes.count)
    let request = HTTP1ResponseParser.Request(method: method, offersUpgrade: offersUpgrade)
    var parser = HTTP1ResponseParser()
    var head = ResponseHead(headersMax: limits.headersMax)
    var outcome = HTTP1ResponseParser.Outcome.incomplete
    var count = 0
    for step in steps {
        count += step
        outcome = parser.parse(guarded.place(bytes.prefix(count)), answering: request, limits: limits, into: &head)
        if outcome != .incomplete { break }
    }
    guard case .complete = outcome else { return ParsedRequest(outcome: outcome) }
    return ParsedRequest(
        outcome: outcome, digest: head.digest, isPersistent: parser.isPersistent, framing: parser.bodyFraming)
}
