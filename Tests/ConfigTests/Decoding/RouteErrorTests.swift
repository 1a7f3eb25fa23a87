import Testing

@testable import Config

private func errors(inRoute text: String) -> [String] {
    errors(
        inListener: "address: :1\nhttp:\n  routes:\n    - \(text)",
        clusters: "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]\n")
}

private let forwardingOnly = "it beside \"cluster\", \"weighted\" or \"cluster_header\""
private let condition =
    "the exact value, present, or an object with one of present, exact, prefix, suffix, contains, regex"
private let name = "a header name: letters, digits and -"

@Test(
    arguments: [
        (
            "respond: { status: 200 }",
            ["6:11: missing key \"match\" in route; expected an object, {} to match every request"]
        ),
        (
            "match: {}",
            [
                "6:11: missing key \"cluster\", \"weighted\", \"cluster_header\", \"redirect\" or \"respond\" in route; expected one of them"
            ]
        ),
        (
            "{ match: , respond: { status: 200 } }",
            ["6:20: \"match\" is empty; expected an object, {} to match every request"]
        ),
        (
            "{ match: {}, cluster: web, respond: { status: 200 }, redirect: { path: / } }",
            [
                "6:38: both \"cluster\" and \"respond\" in route; expected one of them",
                "6:64: both \"cluster\" and \"redirect\" in route; expected one of them",
            ]
        ),
        (
            "{ match: {}, cluster: web, weighted: [{ cluster: web, weight: 1 }] }",
            ["6:38: both \"cluster\" and \"weighted\" in route; expected one of them"]
        ),
        (
            "{ match: {}, cluster: wed }",
            ["6:33: unknown cluster \"wed\"; expected the name of a cluster (did you mean \"web\"?)"]
        ),
        (
            "{ match: {}, weighted: [{ cluster: wed, weight: 0 }, { cluster: web }] }",
            [
                "6:46: unknown cluster \"wed\"; expected the name of a cluster (did you mean \"web\"?)",
                "6:59: \"weight\" is \"0\"; expected a whole number from 1 to 1000000",
                "6:64: missing key \"weight\" in weighted cluster; expected a whole number from 1 to 1000000",
            ]
        ),
        (
            "{ match: {}, respond: { status: 200 }, rewrite: { path: /x }, timeout: 1s, idle_timeout: 1s, upgrade: true, retry: { on: [5xx] }, request_headers: { remove: [a] } }",
            [
                "6:50: \"rewrite\" in a route that does not forward; expected \(forwardingOnly)",
                "6:73: \"timeout\" in a route that does not forward; expected \(forwardingOnly)",
                "6:86: \"idle_timeout\" in a route that does not forward; expected \(forwardingOnly)",
                "6:104: \"upgrade\" in a route that does not forward; expected \(forwardingOnly)",
                "6:119: \"retry\" in a route that does not forward; expected \(forwardingOnly)",
                "6:141: \"request_headers\" in a route that does not forward; expected \(forwardingOnly)",
            ]
        ),
        (
            "{ match: {}, cluster: web, name: \"a b\", mirrors: {} }",
            [
                "6:44: \"name\" is \"a b\"; expected 1 to 64 letters, digits, _, . or -",
                "6:51: unknown key \"mirrors\" in route; expected one of name, match, cluster, weighted, cluster_header, redirect, respond, rewrite, timeout, idle_timeout, upgrade, retry, mirror, request_headers, response_headers, filters, tracing (did you mean \"mirror\"?)",
            ]
        ),
        (
            "{ match: {}, cluster: web, timeout: 25h, idle_timeout: 5, upgrade: yes }",
            [
                "6:47: \"timeout\" is \"25h\", which is out of range; expected 0 for off, or a duration from 1ms to 1d, such as 250ms, 5s or 1m",
                "6:66: \"idle_timeout\" is \"5\", a number without a unit; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
                "6:78: \"upgrade\" is \"yes\"; expected true, false or a list of protocols such as [websocket] (did you mean \"true\"?)",
            ]
        ),
        (
            "{ match: {}, cluster: web, upgrade: [\"web socket\", foo/2] }",
            [
                "6:48: an item of \"upgrade\" is \"web socket\"; expected a protocol such as websocket",
                "6:62: an item of \"upgrade\" is \"foo/2\"; expected a protocol such as websocket",
            ]
        ),
        ("{ match: {}, cluster: web, upgrade: [] }", ["6:47: \"upgrade\" has 0 items; expected at least 1"]),
    ] as [(String, [String])])
func aWrongRouteIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inRoute: text) == expected)
}

@Test(
    arguments: [
        ("{ path: /a, path_prefix: /b }", ["6:32: both \"path\" and \"path_prefix\" in match; expected one of them"]),
        (
            "{ path: a }",
            ["6:28: \"path\" is \"a\", which does not start with /; expected a path such as /index.html"]
        ),
        (
            "{ path_prefix: \"/a?b\" }",
            ["6:35: \"path_prefix\" is \"/a?b\", which has a query or a fragment; expected a path such as /index.html"]
        ),
        (
            "{ path: \"/a b\" }",
            [
                "6:28: \"path\" is \"/a b\", which has characters that a request must percent-encode; expected a path such as /index.html"
            ]
        ),
        (
            "{ path_glob: /a }",
            [
                "6:22: unknown key \"path_glob\" in match; expected one of path, path_prefix, path_regex, path_template, methods, headers, query, cookies"
            ]
        ),
        ("{ methods: [] }", ["6:31: \"methods\" has 0 items; expected at least 1"]),
        (
            "{ methods: [get, \"A B\", []] }",
            [
                "6:32: an item of \"methods\" is \"get\"; expected a method such as GET (did you mean \"GET\"?)",
                "6:37: an item of \"methods\" is \"A B\"; expected a method such as GET",
                "6:44: an item of \"methods\" is a list; expected a method such as GET",
            ]
        ),
        (
            "{ headers: [], query: x, cookies: {} }",
            [
                "6:31: \"headers\" is a list; expected an object of names and what their values must be",
                "6:42: \"query\" is \"x\"; expected an object of names and what their values must be",
                "6:54: \"cookies\" has 0 keys; expected 1 to 64",
            ]
        ),
        (
            "{ headers: { \"a b\": x, a: [] } }",
            ["6:33: a key is \"a b\"; expected \(name)", "6:46: \"a\" is a list; expected \(condition)"]
        ),
        (
            "{ headers: { a: \"x\\n\", b: } }",
            ["6:36: \"a\" is \"x\\n\"; expected \(condition)", "6:46: \"b\" is empty; expected \(condition)"]
        ),
        (
            "{ query: { \"a=b\": x }, cookies: { \"a;b\": x } }",
            [
                "6:31: a key is \"a=b\"; expected the name of a query parameter as it stands in a URL",
                "6:54: a key is \"a;b\"; expected the name of a cookie: letters, digits, - and _",
            ]
        ),
        (
            "{ headers: { a: {} } }",
            [
                "6:36: missing key \"present\", \"exact\", \"prefix\", \"suffix\", \"contains\" or \"regex\" in the condition; expected one of them"
            ]
        ),
        (
            "{ headers: { a: { exact: x, prefix: y, regex: z } } }",
            [
                "6:48: both \"exact\" and \"prefix\" in the condition; expected one of them",
                "6:59: both \"exact\" and \"regex\" in the condition; expected one of them",
            ]
        ),
        (
            "{ headers: { a: { present: 1 }, b: { prefix: \"\" }, c: { exact: x, invert: no } } }",
            [
                "6:47: \"present\" is \"1\"; expected true or false",
                "6:65: \"prefix\" is \"\", which has 0 bytes; expected text of 1 to 1024 bytes without control characters",
                "6:94: \"invert\" is \"no\"; expected true or false (did you mean \"false\"?)",
            ]
        ),
    ] as [(String, [String])])
func aWrongMatchIsExplained(_ match: String, _ expected: [String]) {
    #expect(errors(inRoute: "{ match: \(match), cluster: web }") == expected)
}

@Test(
    arguments: [
        (
            "rewrite: {}",
            [
                "6:49: missing key \"path_prefix\", \"path\", \"path_regex\", \"path_template\" or \"host\" in rewrite; expected at least one of them"
            ]
        ),
        (
            "rewrite: { path: /a, path_prefix: /b }",
            ["6:61: both \"path\" and \"path_prefix\" in rewrite; expected one of them"]
        ),
        (
            "rewrite: { path: \"/a?b\", host: \"a b:0\" }",
            [
                "6:57: \"path\" is \"/a?b\", which has a query or a fragment; expected a path such as /index.html",
                "6:71: \"host\" is \"a b:0\", which has no port from 1 to 65535; expected a host such as www.example.com, with or without a port",
            ]
        ),
        ("rewrite: { host: \"[::1]:8080\" }", []), ("rewrite: { host: \"[::1]\" }", []),
        (
            "retry: { attempts: 0, per_try_timeout: 0, back_off: 2m, budget: 2, tries: 1 }",
            [
                "6:47: missing key \"on\" in retry; expected a list, each item one of connect-failure, refused-stream, reset, 5xx, gateway-error, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable, or a status from 400 to 599",
                "6:59: \"attempts\" is \"0\"; expected a whole number from 1 to 10",
                "6:79: \"per_try_timeout\" is \"0\", which is out of range; expected a duration from 1ms to 1d, such as 250ms, 5s or 1m",
                "6:92: \"back_off\" is \"2m\", which is out of range; expected a duration from 1ms to 1m, such as 250ms, 5s or 1m",
                "6:104: \"budget\" is \"2\", a number without %; expected a share from 0% to 100%, such as 1% or 0.5%",
                "6:107: unknown key \"tries\" in retry; expected one of on, attempts, per_try_timeout, back_off, budget",
            ]
        ),
        (
            "retry: { on: [connect_failure, 200, 5x] }",
            [
                "6:54: an item of \"on\" is \"connect_failure\"; expected one of connect-failure, refused-stream, reset, 5xx, gateway-error, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable, or a status from 400 to 599 (did you mean \"connect-failure\"?)",
                "6:71: an item of \"on\" is \"200\"; expected one of connect-failure, refused-stream, reset, 5xx, gateway-error, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable, or a status from 400 to 599",
                "6:76: an item of \"on\" is \"5x\"; expected one of connect-failure, refused-stream, reset, 5xx, gateway-error, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable, or a status from 400 to 599 (did you mean \"5xx\"?)",
            ]
        ),
        (
            "request_headers: {}",
            ["6:57: missing key \"set\", \"add\" or \"remove\" in request_headers; expected at least one of them"]
        ),
        (
            "request_headers: { set: { Host: x }, add: { Content-Length: 1 }, remove: [te, \"a b\", host] }",
            [
                "6:66: the proxy sets \"Host\" itself; expected \"host\" in \"rewrite\"",
                "6:84: the proxy sets \"Content-Length\" itself; expected another header",
                "6:114: the proxy sets \"te\" itself; expected another header",
                "6:118: an item of \"remove\" is \"a b\"; expected \(name)",
                "6:125: the proxy sets \"host\" itself; expected \"host\" in \"rewrite\"",
            ]
        ),
        (
            "response_headers: { set: { a: \"x\\r\\ny: z\" }, remove: [], append: {} }",
            [
                "6:70: \"a\" is \"x\\r\\ny: z\"; expected a header value: text without line breaks and other control characters",
                "6:93: \"remove\" has 0 items; expected at least 1",
                "6:97: unknown key \"append\" in response_headers; expected one of set, add, remove",
            ]
        ),
    ] as [(String, [String])])
func wrongForwardingIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inRoute: "{ match: { path_prefix: / }, \(text), cluster: web }") == expected)
}

@Test func prefixesAreReplacedOnlyWhereOneMatches() {
    #expect(
        errors(inRoute: "{ match: { path: /a }, rewrite: { path_prefix: /b }, cluster: web }") == [
            "6:45: \"path_prefix\" in a route whose match has no \"path_prefix\"; expected \"path\", or a match with \"path_prefix\""
        ])
    #expect(
        errors(inRoute: "{ match: {}, redirect: { prefix_rewrite: /b } }") == [
            "6:36: \"prefix_rewrite\" in a route whose match has no \"path_prefix\"; expected \"path\", or a match with \"path_prefix\""
        ])
    // A match with an error of its own may well have been meant to have one.
    #expect(errors(inRoute: "{ match: { path_prefix: a }, redirect: { prefix_rewrite: /b } }").count == 1)
}

@Test(
    arguments: [
        (
            "{}",
            [
                "6:34: missing key \"path\", \"prefix_rewrite\", \"path_regex\", \"path_template\", \"host\", \"scheme\" or \"port\" in redirect; expected at least one of them"
            ]
        ),
        (
            "{ strip_query: true }",
            [
                "6:34: missing key \"path\", \"prefix_rewrite\", \"path_regex\", \"path_template\", \"host\", \"scheme\" or \"port\" in redirect; expected at least one of them"
            ]
        ),
        (
            "{ path: \"/a#b\", host: \"a.com:80\", scheme: ftp, port: 0, status: 304, to: x }",
            [
                "6:42: \"path\" is \"/a#b\", which has a fragment; expected a path such as /index.html, with or without a query",
                "6:56: \"host\" is \"a.com:80\", which has a port; expected a host such as www.example.com",
                "6:76: \"scheme\" is \"ftp\"; expected one of http, https",
                "6:87: \"port\" is \"0\"; expected a whole number from 1 to 65535",
                "6:98: \"status\" is \"304\"; expected one of 301, 302, 303, 307, 308",
                "6:103: unknown key \"to\" in redirect; expected one of prefix_rewrite, path, path_regex, path_template, host, scheme, port, status, strip_query",
            ]
        ),
        ("{ path: /a, status: 300 }", ["6:54: \"status\" is \"300\"; expected one of 301, 302, 303, 307, 308"]),
    ] as [(String, [String])])
func aWrongRedirectIsExplained(_ redirect: String, _ expected: [String]) {
    #expect(errors(inRoute: "{ match: {}, redirect: \(redirect) }") == expected)
}

@Test(
    arguments: [
        ("{}", ["6:33: missing key \"status\" in respond; expected a whole number from 200 to 599"]),
        ("{ status: 199 }", ["6:43: \"status\" is \"199\"; expected a whole number from 200 to 599"]),
        (
            "{ status: 204, body: x }",
            ["6:54: \"body\" is not empty, but responses with status 204 have none; expected no body"]
        ),
        ("{ status: 200, body: }", ["6:54: \"body\" is empty; expected text of at most 65536 bytes"]),
        (
            "{ status: 200, headers: [] }",
            ["6:57: \"headers\" is a list; expected an object of header names and values"]
        ),
        (
            "{ status: 200, headers: { \"a b\": x, \"\": x, é: x } }",
            [
                "6:59: a key is \"a b\"; expected \(name)", "6:69: a key is \"\"; expected \(name)",
                "6:76: a key is \"é\"; expected \(name)",
            ]
        ),
        (
            "{ status: 200, headers: { Content-Length: 5 } }",
            ["6:59: the proxy sets \"Content-Length\" itself; expected another header"]
        ),
        (
            "{ status: 200, headers: { a: \"x\\r\\ny: z\", b: \" x\", c: [], d: \"\" } }",
            [
                "6:62: \"a\" is \"x\\r\\ny: z\"; expected a header value: text without line breaks and other control characters",
                "6:78: \"b\" is \" x\", which starts or ends with white space; expected a header value: text without line breaks and other control characters",
                "6:87: \"c\" is a list; expected a header value: text without line breaks and other control characters",
            ]
        ),
    ] as [(String, [String])])
func aWrongResponseIsExplained(_ response: String, _ expected: [String]) {
    #expect(errors(inRoute: "{ match: {}, respond: \(response) }") == expected)
}

@Test func responsesAreBounded() {
    let bytesMax = ConfigLimits.responseBodyBytesMax
    let body = String(repeating: "x", count: bytesMax)
    #expect(errors(inRoute: "{ match: {}, respond: { status: 200, body: \(body) } }") == [])
    #expect(
        errors(inRoute: "{ match: {}, respond: { status: 200, body: \(body)x } }")
            == ["6:54: \"body\" has 65537 bytes; expected text of at most 65536 bytes"])
    let headers = (0...ConfigLimits.headerEditsMax).map { "h\($0): x" }.joined(separator: ", ")
    #expect(
        errors(inRoute: "{ match: {}, respond: { status: 200, headers: { \(headers) } } }")
            == ["6:57: \"headers\" has 65 keys; expected at most 64"])
    let path = "/" + String(repeating: "x", count: ConfigLimits.pathBytesMax)
    #expect(
        errors(inRoute: "{ match: { path: \(path) }, respond: { status: 200 } }").first?
            .contains("which is longer than 8192 bytes") == true)
    let header = String(repeating: "x", count: ConfigLimits.headerNameBytesMax)
    #expect(errors(inRoute: "{ match: { headers: { \(header): x } }, cluster: web }") == [])
    #expect(
        errors(inRoute: "{ match: { headers: { \(header)x: x } }, cluster: web }").first?
            .contains("which is longer than 256 bytes") == true)
    let matches = (0...ConfigLimits.fieldMatches.upperBound).map { "h\($0): x" }.joined(separator: ", ")
    #expect(
        errors(inRoute: "{ match: { query: { \(matches) } }, cluster: web }")
            == ["6:29: \"query\" has 65 keys; expected 1 to 64"])
}
