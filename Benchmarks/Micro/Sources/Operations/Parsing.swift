internal import HTTP

extension Operation {
    static var parsing: [Operation] {
        [
            Operation("parser-request-curl") { parseRequest(Messages.curl) },
            Operation("parser-request-browser") { parseRequest(Messages.browser) },
            Operation("parser-response") { parseResponse() },
            Operation("parser-chunked-4x1KiB") { decodeChunks() },
            Operation("writer-request-browser") { writeRequest() },
        ]
    }

    private static func parseRequest(_ message: ByteSlice) -> (Int) -> Void {
        let limits = HTTP1Limits()
        return { times in
            var head = RequestHead(headersMax: 100)
            var parser = HTTP1RequestParser()
            for _ in 0..<times {
                head.reset()
                parser.reset()
                guard case .complete(let length) = parser.parse(message, limits: limits, into: &head) else { continue }
                keep(length)
            }
        }
    }

    private static func parseResponse() -> (Int) -> Void {
        let limits = HTTP1Limits()
        let message = Messages.response
        return { times in
            var head = ResponseHead(headersMax: 100)
            var parser = HTTP1ResponseParser()
            for _ in 0..<times {
                head.reset()
                parser.reset()
                let outcome = parser.parse(
                    message, answering: HTTP1ResponseParser.Request(method: .get), limits: limits, into: &head)
                guard case .complete(let length) = outcome else { continue }
                keep(length)
            }
        }
    }

    private static func decodeChunks() -> (Int) -> Void {
        let chunk = "400\r\n" + String(repeating: "x", count: 1024) + "\r\n"
        let body = Array((String(repeating: chunk, count: 4) + "0\r\n\r\n").utf8)
        let limits = HTTP1Limits()
        return { times in
            ByteSlice.withBytes(of: body) { bytes in
                for _ in 0..<times {
                    var decoder = HTTP1ChunkedDecoder()
                    var position = 0
                    while !decoder.isComplete {
                        guard case .event = decoder.next(bytes, at: &position, limits: limits) else { return }
                    }
                    keep(position)
                }
            }
        }
    }

    private static func writeRequest() -> (Int) -> Void {
        { times in
            let head = RequestHead.of(Messages.browser)
            let capacity = 4096
            let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
            defer { unsafe memory.deallocate() }
            for _ in 0..<times {
                var writer = unsafe ByteWriter(start: memory, capacity: capacity)
                head.writeHTTP1(to: &writer, length: .none)
                keep(writer.count)
            }
        }
    }
}
