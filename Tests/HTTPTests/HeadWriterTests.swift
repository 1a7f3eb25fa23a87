import Testing

@testable import HTTP

@Suite struct HeadWriterTests {
    @Test func writesARequestInTheFormThatWasRouted() {
        let text = rewritten(
            "GET http://example.com:8080/a?b=c HTTP/1.1\r\nUser-Agent:  x \r\nHost: example.com:8080\r\naccept: */*\r\n\r\n"
        )
        #expect(
            text == "GET /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: x\r\naccept: */*\r\n\r\n")
    }

    @Test func leavesOutWhatIsForThisConnectionOnly() {
        let text = rewritten(
            "GET / HTTP/1.1\r\nA: 1\r\nHost: h\r\nB: 2\r\nConnection: keep-alive, c\r\nC: 3\r\nD: 4\r\nTE: trailers\r\n"
                + "Keep-Alive: 5\r\nUpgrade: x\r\nProxy-Connection: close\r\nHTTP2-Settings: y\r\nE: 5\r\nF:6\r\n\r\n")
        #expect(text == "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n")
    }

    @Test func aClientCannotTakeOutWhatIsSetHere() {
        let text = rewritten(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Forwarded-For, X-Request-Id, X-User, X-Other\r\n"
                + "X-Forwarded-For: 1.2.3.4\r\nX-Request-Id: a\r\nX-User: b\r\nX-Other: c\r\n\r\n"
        ) {
            head in
            head.headers.append(.xForwardedFor, ByteSlice("5.6.7.8"))
            head.headers.set(.xRequestId, ByteSlice("id"))
            if let key = HeaderKey("x-user") { head.headers.set(key, ByteSlice("me")) }
        }
        #expect(
            text == "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Request-Id: id\r\n"
                + "X-User: me\r\n\r\n")
    }

    @Test func makesTheFramingAnew() {
        let request = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\nX: y\r\n\r\n"
        #expect(
            rewritten(request, length: .contentLength(7))
                == "PUT / HTTP/1.1\r\nHost: h\r\nX: y\r\nContent-Length: 7\r\n\r\n")
        let chunked = "PUT / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: CHUNKED\r\nX: y\r\n\r\n"
        #expect(
            rewritten(chunked, length: .chunked)
                == "PUT / HTTP/1.1\r\nHost: h\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    @Test func handsOnAnUpgrade() {
        let request = "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n"
        #expect(
            rewritten(request, connection: .upgrade)
                == "GET /chat HTTP/1.1\r\nHost: h\r\nX: y\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        #expect(rewritten(request, connection: .close).hasSuffix("X: y\r\nConnection: close\r\n\r\n"))
        #expect(rewritten(request, connection: .keepAlive).hasSuffix("X: y\r\nConnection: keep-alive\r\n\r\n"))
    }

    @Test func aCopyOfAHeadDoesNotNeedTheBytesOfTheOriginal() {
        var copy = RequestHead(headersMax: 4)
        let text =
            "BREW /a?b HTTP/1.1\r\nHost: h:81\r\nX-A: 1\r\nConnection: x-b\r\nX-B: 2\r\nContent-Length: 3\r\n\r\n"
        var bytes = Array(text.utf8)
        ByteSlice.withBytes(of: bytes) { bytes in
            var head = RequestHead(headersMax: 4)
            var parser = HTTP1RequestParser()
            _ = parser.parse(bytes, limits: HTTP1Limits(), into: &head)
            let isSet = head.setPath(ByteSlice("/changed")) && head.copy(to: &copy)
            #expect(isSet)
        }
        bytes = []
        var written = [UInt8](repeating: 0, count: 1000)
        let count = unsafe written.withUnsafeMutableBytes { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            copy.writeHTTP1(to: &writer, length: .contentLength(3), connection: .none)
            return writer.count
        }
        #expect(
            String(decoding: written.prefix(count), as: UTF8.self)
                == "BREW /changed?b HTTP/1.1\r\nHost: h:81\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n")
        #expect(copy.bodyLength == .exactly(3))
        // And again over what it held.
        let isCopied = RequestHead(headersMax: 1).copy(to: &copy)
        #expect(isCopied && copy.path.isEmpty && copy.headers.indices.isEmpty)
    }

    @Test func writesTheOtherForms() {
        #expect(
            rewritten("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n") == "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(
            rewritten("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n") == "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(
            rewritten("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n") == "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")
        #expect(
            rewritten("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n") == "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n")
    }

    @Test func writesWhatFiltersChanged() {
        let text = rewritten(
            "GET /old?q HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nB: 4\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        ) {
            head in
            head.setPath(ByteSlice("/new"))
            head.setAuthority(ByteSlice("other:81"))
            head.headers.set(.xRequestId, ByteSlice("id"))
            head.headers.append(.xForwardedFor, ByteSlice("5.6.7.8"))
            head.headers.add(.connection, ByteSlice("close"))
            head.headers.add(.contentLength, ByteSlice("99"))
            head.headers.add(.host, ByteSlice("evil"))
            let key = HeaderKey("b")!
            head.headers.set(key, ByteSlice("two"))
        }
        #expect(
            text == "GET /new?q HTTP/1.1\r\nHost: other:81\r\nA: 1\r\nB: two\r\nC: 3\r\n"
                + "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nx-request-id: id\r\n\r\n")
    }

    @Test func writesAnEmptyHostWhereNoneIsKnown() {
        #expect(rewritten("GET / HTTP/1.0\r\n\r\n") == "GET / HTTP/1.1\r\nHost: \r\n\r\n")
    }

    @Test(arguments: RequestCase.accepted.filter { !$0.wire.contains("HTTP/1.0") })
    func writesWhatReadsBackTheSame(_ wire: RequestCase) {
        let first = parseRaw(wire.wire)
        let length: HTTP1LengthField =
            switch first.framing {
            case .chunked: .chunked
            case .length(let count): .contentLength(count)
            case .none, .untilClose: .none
            }
        let text = rewritten(wire.wire, length: length)
        let second = parseRaw(text)
        #expect(second.outcome == .complete(length: text.utf8.count))
        #expect(second.framing == first.framing)
        let again = rewritten(text, length: length)
        #expect(again == text, "writing is idempotent")
    }

    @Test func writesResponses() {
        var head = ResponseHead(headersMax: 4)
        #expect(written { head.writeHTTP1(to: &$0, length: .none) } == "HTTP/1.1 200 OK\r\n\r\n")
        head.status = .serviceUnavailable
        head.headers.add(.server, ByteSlice("ringway"))
        head.headers.add(.contentLength, ByteSlice("3"))
        #expect(
            written { head.writeHTTP1(to: &$0, length: .contentLength(0), connection: .close) }
                == "HTTP/1.1 503 Service Unavailable\r\nserver: ringway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        #expect(
            written { head.writeHTTP1(to: &$0, length: .asReceived) }
                == "HTTP/1.1 503 Service Unavailable\r\nserver: ringway\r\ncontent-length: 3\r\n\r\n")
        head.status = HTTPStatus(rawValue: 799)
        #expect(written { head.writeHTTP1(to: &$0, length: .chunked) }.hasPrefix("HTTP/1.1 799 \r\n"))
    }

    @Test(arguments: [
        (1, "1\r\n"), (15, "F\r\n"), (16, "10\r\n"), (4096, "1000\r\n"), (0xABCDEF, "ABCDEF\r\n"),
        (Int.max, "7FFFFFFFFFFFFFFF\r\n"),
    ])
    func writesChunkSizes(size: Int, text: String) {
        #expect(written { $0.appendChunkSize(size) } == text)
        #expect(text.utf8.count <= ByteWriter.chunkSizeBytesMax)
    }

    @Test(arguments: [
        (0, "0"), (9, "9"), (10, "10"), (1_234_567_890, "1234567890"), (UInt64.max, "18446744073709551615"),
    ])
    func writesDecimals(value: UInt64, text: String) {
        #expect(written { $0.append(decimal: value) } == text)
    }

    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
    ])
    func writesDates(epochSeconds: Int, text: String) {
        #expect(written { HTTPDate.write(epochSeconds: Int64(epochSeconds), to: &$0) } == text)
        #expect(text.utf8.count == HTTPDate.byteCount)
    }
}

/// Parses a request, lets `change` at it, and writes it.
private func rewritten(
    _ text: String, length: HTTP1LengthField = .none, connection: HTTP1ConnectionField = .none,
    _ change: (inout RequestHead) -> Void = { _ in }
) -> String {
    ByteSlice.withBytes(of: Array(text.utf8)) { bytes in
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 100)
        guard case .complete = parser.parse(bytes, limits: HTTP1Limits(), into: &head) else { return "refused" }
        change(&head)
        return written { head.writeHTTP1(to: &$0, length: length, connection: connection) }
    }
}
