internal import HTTP

extension Operation {
    static var headers: [Operation] {
        [
            Operation("header-known-last") { look(for: .cookie) },
            Operation("header-known-absent") { look(for: .authorization) },
            Operation("header-unknown") { lookForUnknown() },
            Operation("header-set-and-remove") { change() },
            Operation("path-normalize") { normalize() },
        ]
    }

    private static func look(for name: HeaderName) -> (Int) -> Void {
        { times in
            let head = RequestHead.of(Messages.browser)
            for _ in 0..<times { keep(head.headers[name]?.count ?? 0) }
        }
    }

    private static func lookForUnknown() -> (Int) -> Void {
        guard let key = HeaderKey("sec-fetch-mode") else { preconditionFailure("a name") }
        return { times in
            let head = RequestHead.of(Messages.browser)
            for _ in 0..<times { keep(head.headers[key]?.count ?? 0) }
        }
    }

    /// On a head that is parsed anew each time, as the arena for new values only grows until then.
    private static func change() -> (Int) -> Void {
        let limits = HTTP1Limits()
        let message = Messages.curl
        return { times in
            var head = RequestHead(headersMax: 100)
            var parser = HTTP1RequestParser()
            for _ in 0..<times {
                head.reset()
                parser.reset()
                _ = parser.parse(message, limits: limits, into: &head)
                head.headers.set(.xForwardedFor, ByteSlice("192.0.2.17"))
                head.headers.remove(.userAgent)
                keep(head.headers.indices.count)
            }
        }
    }

    private static func normalize() -> (Int) -> Void {
        let normalizer = PathNormalizer(mergesSlashes: true)
        let path = Array("/assets//app/./css/../js/main%2Djs/%7Euser".utf8)
        return { times in
            let capacity = 256
            let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
            defer { unsafe memory.deallocate() }
            ByteSlice.withBytes(of: path) { path in
                for _ in 0..<times {
                    var writer = unsafe ByteWriter(start: memory, capacity: capacity)
                    _ = normalizer.normalize(path, to: &writer)
                    keep(writer.count)
                }
            }
        }
    }
}
