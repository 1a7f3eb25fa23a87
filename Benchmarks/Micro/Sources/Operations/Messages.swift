internal import HTTP

/// What clients and servers send.
enum Messages {
    static var curl: ByteSlice {
        permanent(
            """
            GET /index.html HTTP/1.1\r
            Host: www.example.com\r
            User-Agent: curl/8.5.0\r
            Accept: */*\r
            \r

            """)
    }

    static var browser: ByteSlice {
        permanent(
            """
            GET /assets/app/main.js?v=20261122 HTTP/1.1\r
            Host: www.example.com\r
            Connection: keep-alive\r
            sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"\r
            sec-ch-ua-mobile: ?0\r
            User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r
            Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r
            Sec-Fetch-Site: same-origin\r
            Sec-Fetch-Mode: no-cors\r
            Referer: https://www.example.com/index.html\r
            Accept-Encoding: gzip, deflate, br, zstd\r
            Accept-Language: en-GB,en;q=0.9,de;q=0.8\r
            Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1\r
            \r

            """)
    }

    static var response: ByteSlice {
        permanent(
            """
            HTTP/1.1 200 OK\r
            Server: backend\r
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r
            Content-Type: application/octet-stream\r
            Content-Length: 1024\r
            \r

            """)
    }

    /// Bytes that stay where they are for the life of the process.
    private static func permanent(_ text: String) -> ByteSlice {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        return unsafe ByteSlice(start: memory, count: bytes.count)
    }
}

extension RequestHead {
    /// The head of a message that is known to be one.
    static func of(_ message: ByteSlice) -> RequestHead {
        var head = RequestHead(headersMax: 100)
        var parser = HTTP1RequestParser()
        guard case .complete = parser.parse(message, limits: HTTP1Limits(), into: &head) else {
            preconditionFailure("not a request")
        }
        return head
    }
}
