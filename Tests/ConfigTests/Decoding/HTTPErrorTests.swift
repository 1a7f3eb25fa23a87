import Testing

@testable import Config

private func errors(inHTTP text: String) -> [String] {
    errors(inListener: "address: :1\nhttp:\n\(text.indented(by: 2))")
}

private func errors(inRoute text: String) -> [String] {
    errors(inHTTP: "routes:\n  - \(text)")
}

@Test(
    arguments: [
        ("idle_timeout: 1s", ["5:7: missing key \"routes\" in http; expected a list, each item an object"]),
        ("routes: []", ["5:15: \"routes\" has 0 items; expected at least 1"]),
        (
            "host: []\nroutes: [{ match: {}, respond: { status: 200 } }]",
            [
                "5:7: unknown key \"host\" in http; expected one of idle_timeout, request_timeout, limits, routes"
            ]
        ),
        (
            "idle_timeout: 5\nrequest_timeout: 25h\nroutes: [{ match: {}, respond: { status: 200 } }]",
            [
                "5:21: \"idle_timeout\" is \"5\", a number without a unit; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
                "6:24: \"request_timeout\" is \"25h\", which is out of range; expected 0 for off, or a duration from 1ms to 1d, such as 250ms, 5s or 1m",
            ]
        ),
        (
            "limits: { header_bytes: 1, headers: 0, body: 1 }\nroutes: [{ match: {}, respond: { status: 200 } }]",
            [
                "5:31: \"header_bytes\" is \"1\", which is out of range; expected a size from 1KiB to 1MiB, such as 512B, 16KiB or 1MiB",
                "5:43: \"headers\" is \"0\"; expected a whole number from 1 to 10000",
                "5:46: unknown key \"body\" in limits; expected one of header_bytes, headers",
            ]
        ),
    ] as [(String, [String])])
func wrongHTTPIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inHTTP: text) == expected)
}

@Test(
    arguments: [
        (
            "respond: { status: 200 }",
            ["6:11: missing key \"match\" in route; expected an object, {} to match every request"]
        ),
        ("match: {}", ["6:11: missing key \"respond\" in route; expected an object"]),
        (
            "{ match: , respond: { status: 200 } }",
            ["6:20: \"match\" is empty; expected an object, {} to match every request"]
        ),
        (
            "{ match: {}, cluster: web, respond: { status: 200 } }",
            [
                "6:24: unknown key \"cluster\" in route; expected one of match, respond"
            ]
        ),
        (
            "{ match: { path: /a, path_prefix: /b }, respond: { status: 200 } }",
            [
                "6:32: both \"path\" and \"path_prefix\" in match; expected one of them"
            ]
        ),
        (
            "{ match: { path: a }, respond: { status: 200 } }",
            [
                "6:28: \"path\" is \"a\", which does not start with /; expected a path such as /index.html"
            ]
        ),
        (
            "{ match: { path_prefix: \"/a?b\" }, respond: { status: 200 } }",
            [
                "6:35: \"path_prefix\" is \"/a?b\", which has a query or a fragment; expected a path such as /index.html"
            ]
        ),
        (
            "{ match: { path: \"/a b\" }, respond: { status: 200 } }",
            [
                "6:28: \"path\" is \"/a b\", which has characters that a request must percent-encode; expected a path such as /index.html"
            ]
        ),
        (
            "{ match: { prefix: /a }, respond: { status: 200 } }",
            [
                "6:22: unknown key \"prefix\" in match; expected one of path, path_prefix"
            ]
        ),
        (
            "{ match: {}, respond: {} }",
            [
                "6:33: missing key \"status\" in respond; expected a whole number from 200 to 599"
            ]
        ),
        (
            "{ match: {}, respond: { status: 199 } }",
            ["6:43: \"status\" is \"199\"; expected a whole number from 200 to 599"]
        ),
        (
            "{ match: {}, respond: { status: 204, body: x } }",
            [
                "6:54: \"body\" is not empty, but responses with status 204 have none; expected no body"
            ]
        ),
        (
            "{ match: {}, respond: { status: 200, body: } }",
            [
                "6:54: \"body\" is empty; expected text of at most 65536 bytes"
            ]
        ),
        (
            "{ match: {}, respond: { status: 200, headers: [] } }",
            [
                "6:57: \"headers\" is a list; expected an object of header names and values"
            ]
        ),
        (
            "{ match: {}, respond: { status: 200, headers: { \"a b\": x, \"\": x, é: x } } }",
            [
                "6:59: \"a b\" is not a header name; expected letters, digits and -",
                "6:69: \"\" is not a header name; expected letters, digits and -",
                "6:76: \"é\" is not a header name; expected letters, digits and -",
            ]
        ),
        (
            "{ match: {}, respond: { status: 200, headers: { Content-Length: 5 } } }",
            [
                "6:59: the proxy sets \"Content-Length\" itself; expected another header"
            ]
        ),
        (
            "{ match: {}, respond: { status: 200, headers: { a: \"x\\r\\ny: z\", b: \" x\", c: [], d: \"\" } } }",
            [
                "6:62: \"a\" is \"x\\r\\ny: z\"; expected a header value: text without line breaks and other control characters",
                "6:78: \"b\" is \" x\", which starts or ends with white space; expected a header value: text without line breaks and other control characters",
                "6:87: \"c\" is a list; expected a header value: text without line breaks and other control characters",
            ]
        ),
    ] as [(String, [String])])
func aWrongRouteIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inRoute: text) == expected)
}

@Test func responsesAreBounded() {
    let bytesMax = ConfigLimits.responseBodyBytesMax
    let body = String(repeating: "x", count: bytesMax)
    #expect(errors(inRoute: "{ match: {}, respond: { status: 200, body: \(body) } }") == [])
    #expect(
        errors(inRoute: "{ match: {}, respond: { status: 200, body: \(body)x } }")
            == ["6:54: \"body\" has 65537 bytes; expected text of at most 65536 bytes"])
    let headers = (0...ConfigLimits.responseHeadersMax).map { "h\($0): x" }.joined(separator: ", ")
    #expect(
        errors(inRoute: "{ match: {}, respond: { status: 200, headers: { \(headers) } } }")
            == ["6:57: \"headers\" has 65 keys; expected at most 64"])
    let path = "/" + String(repeating: "x", count: ConfigLimits.pathBytesMax)
    #expect(
        errors(inRoute: "{ match: { path: \(path) }, respond: { status: 200 } }").first?
            .contains("which is longer than 8192 bytes") == true)
}
