import Testing

@testable import HTTP

@Suite struct PathNormalizerTests {
    @Test(arguments: [
        // RFC 3986 §5.2.4 and §6.2.2.
        ("/", "/"), ("/a/b/c", "/a/b/c"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/c/./../../g", "/a/g"),
        ("/.", "/"), ("/..", "/"), ("/./", "/"), ("/../", "/"), ("/a/.", "/a/"), ("/a/..", "/"), ("/a/b/..", "/a/"),
        ("/../../../x", "/x"), ("/a/../../x", "/x"), ("/...", "/..."), ("/a/...", "/a/..."), ("/a./b", "/a./b"),
        ("/a../b", "/a../b"), ("/.a/..b", "/.a/..b"), ("/a/..b/..", "/a/"), ("/.well-known/x", "/.well-known/x"),
        ("/%61%2D%5f%7E%30", "/a-_~0"), ("/%2e/x", "/x"), ("/a/%2E%2e/x", "/x"), ("/a/.%2e", "/"),
        ("/%2e%2e%2fx", "/..%2Fx"),
        ("/%c3%a9", "/%C3%A9"), ("/%20", "/%20"), ("/%3f%23", "/%3F%23"), ("/%25%32%65", "/%252e"),
        ("/%252e", "/%252e"),
        ("/a//b", "/a//b"), ("//", "//"), ("//..", "/"), ("/a//../b", "/a/b"), ("/a/b//..", "/a/b/"),
        ("/a%2fb", "/a%2Fb"), ("/a%5Cb", "/a%5Cb"), ("/a%2f../b", "/a%2F../b"), ("/a%2f/../b", "/b"),
        ("/;a=b/c;d", "/;a=b/c;d"), ("/a/..;/b", "/a/..;/b"),
    ])
    func normalizes(path: String, result: String) { #expect(normalized(path, PathNormalizer()) == .success(result)) }

    @Test(arguments: [
        ("//", "/"), ("/a//b", "/a/b"), ("///a///b///", "/a/b/"), ("/a//../b", "/b"), ("//..//..//x", "/x"),
        ("/a/.//b", "/a/b"), ("/a//.", "/a/"), ("/a/b//..", "/a/"), ("/%2f//", "/%2F/"),
    ])
    func mergesSlashes(path: String, result: String) {
        #expect(normalized(path, PathNormalizer(mergesSlashes: true)) == .success(result))
    }

    @Test(arguments: [
        ("/a%2fb", "/a/b"), ("/a%5cb", "/a/b"), ("/a%2F..%2fb", "/b"), ("/a%2f%2e%2e", "/"), ("/a%2f/b", "/a//b"),
        ("/%2F", "//"), ("/a%5C..%5Cb", "/b"),
    ])
    func unescapesSlashes(path: String, result: String) {
        #expect(normalized(path, PathNormalizer(escapedSlashes: .unescape)) == .success(result))
    }

    @Test(arguments: ["/a%2fb", "/a%2Fb", "/a%5cb", "/%5C"])
    func rejectsEscapedSlashes(path: String) {
        #expect(normalized(path, PathNormalizer(escapedSlashes: .reject)) == .failure(.escapedSlash))
    }

    @Test(arguments: ["/%", "/%2", "/%zz", "/%2g", "/%g2", "/a%", "/%%32%65", "/% 2", "/%+2"])
    func refusesMalformedEscapes(path: String) {
        #expect(normalized(path, PathNormalizer()) == .failure(.malformedEscape))
    }

    @Test(arguments: ["/%00", "/a%00.html", "/..%00/"])
    func refusesNUL(path: String) { #expect(normalized(path, PathNormalizer()) == .failure(.escapedNUL)) }

    @Test(arguments: [false, true], [PathNormalizer.EscapedSlashes.keep, .unescape])
    func isIdempotentAndLeavesNoDotSegments(mergesSlashes: Bool, escapedSlashes: PathNormalizer.EscapedSlashes) {
        let normalizer = PathNormalizer(mergesSlashes: mergesSlashes, escapedSlashes: escapedSlashes)
        let pieces = ["/", "//", ".", "..", "a", "%2e", "%2E", "%2f", "%5c", "%41", "%20", "..a", "b"]
        var random = SplitMix(seed: 0x1CE4_E5B9)
        for _ in 0..<5_000 {
            var path = "/"
            for _ in 0..<random.next() % 9 { path += pieces[Int(random.next() % UInt64(pieces.count))] }
            guard case .success(let once) = normalized(path, normalizer) else {
                Issue.record("refused \(path)")
                continue
            }
            #expect(normalized(once, normalizer) == .success(once), "\(path)")
            #expect(once.hasPrefix("/") && once.utf8.count <= path.utf8.count, "\(path)")
            let segments = once.split(separator: "/")
            #expect(!segments.contains(".") && !segments.contains(".."), "\(path) became \(once)")
            if mergesSlashes { #expect(!once.contains("//"), "\(path) became \(once)") }
        }
    }

    @Test func replacesThePathOfARequest() {
        let text = Array("GET /a/%2e%2e/b?c=%2e HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
        ByteSlice.withBytes(of: text) { bytes in
            var parser = HTTP1RequestParser()
            var head = RequestHead(headersMax: 4)
            _ = parser.parse(bytes, limits: HTTP1Limits(), into: &head)
            let refusal = head.normalizePath(PathNormalizer())
            #expect(refusal == nil)
            #expect(head.path.text == "/b")
            #expect(head.query?.text == "c=%2e")
            let again = head.normalizePath(PathNormalizer())
            #expect(again == nil)
            #expect(head.path.text == "/b")
        }
    }

    @Test func leavesRequestsWithoutAPath() {
        let text = Array("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
        ByteSlice.withBytes(of: text) { bytes in
            var parser = HTTP1RequestParser()
            var head = RequestHead(headersMax: 4)
            _ = parser.parse(bytes, limits: HTTP1Limits(), into: &head)
            let refusal = head.normalizePath(PathNormalizer())
            #expect(refusal == nil)
            #expect(head.path.isEmpty)
        }
    }
}

/// Normalises with exactly the room that is asked for.
private func normalized(
    _ path: String, _ normalizer: PathNormalizer
) -> Result<String, PathNormalizer.Refusal> {
    let guarded = GuardedBytes(capacity: path.utf8.count)
    let slice = guarded.place(Array(path.utf8))
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: slice.count, alignment: 1)
    defer { unsafe buffer.deallocate() }
    var writer = unsafe ByteWriter(start: buffer, capacity: slice.count)
    switch normalizer.normalize(slice, to: &writer) {
    case .unchanged: return .success(path)
    case .changed: return .success(unsafe ByteSlice(start: buffer, count: writer.count).text)
    case .refused(let refusal): return .failure(refusal)
    }
}
