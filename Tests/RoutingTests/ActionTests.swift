import Config
import Filters
import HTTP
import Testing

@Test func clustersAreNumberedOnce() {
    let table = table(
        """
        hosts:
          - { domains: [one.com], routes: [{ match: {}, cluster: b }] }
          - domains: ["*"]
            routes:
              - { match: { path: /x }, weighted: [{ cluster: a, weight: 1 }, { cluster: b, weight: 2 }] }
              - { match: { path: /y }, weighted: [{ cluster: c, weight: 5 }] }
              - { match: {}, redirect: { path: /x } }
        """)
    #expect(table.clusterNames == ["b", "a", "c"])
    #expect(table.routes.map { table.clusterIndex(of: $0, random: 0) } == [0, 1, 2, nil])
}

@Test func requestsAreSharedByWeight() {
    let table = table(
        """
        routes:
          - match: {}
            weighted: [{ cluster: a, weight: 1 }, { cluster: b, weight: 90 }, { cluster: c, weight: 9 }]
        """)
    let route = table.routes[0]
    #expect(table.clusterIndex(of: route, random: 0) == 0)
    #expect(table.clusterIndex(of: route, random: .max) == 2)
    // Even steps over all numbers meet each cluster exactly as often as its weight says.
    let steps: UInt64 = 1000
    var counts = [0, 0, 0]
    for step in 0..<steps {
        counts[table.clusterIndex(of: route, random: UInt64.max / steps * step + .max / steps / 2) ?? 0] += 1
    }
    #expect(counts == [10, 900, 90])
}

@Test func clustersOfMirrorsAreNumberedToo() {
    let table = table("routes: [{ match: {}, cluster: b, mirror: [{ cluster: c }, { cluster: b }] }]")
    #expect(table.clusterNames == ["b", "c"])
}

@Test func routesHaveTheirTimeouts() {
    let table = table(
        """
        stream_idle_timeout: 1m
        routes:
          - { match: { path: /default }, cluster: a }
          - { match: { path: /own }, cluster: a, timeout: 2s, idle_timeout: 3s }
          - { match: { path: /off }, cluster: a, timeout: 0, idle_timeout: 0 }
        """)
    #expect(table.routes.map(\.timeoutNs) == [15_000_000_000, 2_000_000_000, 0])
    #expect(table.routes.map(\.idleTimeoutNs) == [60_000_000_000, 3_000_000_000, 0])
    #expect(table.routes.map(\.position.line) == [7, 8, 9])
}

@Test(arguments: [
    ("path_prefix: /v1/", "path_prefix: /", "/v1/x/y?q=1", "/x/y"),
    ("path_prefix: /v1", "path_prefix: /v2", "/v1x", "/v2x"),
    ("path_prefix: /v1", "path_prefix: /", "/v1/x", "//x"),
    ("path_prefix: /v1", "path_prefix: /", "/v1", "/"),
    ("path_prefix: /", "path_prefix: /long/er/", "/x", "/long/er/x"),
    ("path: /a", "path: /b", "/a", "/b"),
    ("path_prefix: /a", "path: /b", "/a/c?x", "/b"),
    (
        "path_prefix: /", "path_regex: { pattern: \"^/v([0-9]+)/(.*)$\", substitution: '/\\2/\\1' }", "/v12/x/y?q",
        "/x/y/12"
    ),
    ("path_prefix: /", "path_regex: { pattern: a, substitution: b }", "/aXaa?a=a", "/bXbb"),
    ("path_prefix: /", "path_regex: { pattern: a*, substitution: '-' }", "/baac", "/-/-b-c-"),
    ("path_prefix: /", "path_regex: { pattern: no, substitution: '' }", "/x", "/x"),
    ("path_prefix: /", "path_regex: { pattern: '^/(x)?(y)?', substitution: '/[\\1\\2]\\0' }", "/y", "/[y]/y"),
    ("path_prefix: /", "path_regex: { pattern: ^/a/, substitution: '' }", "/a/b", "/b"),
    ("path_regex: '/u/[0-9]+'", "path: /user", "/u/7", "/user"),
    ("path_template: '/u/{id}/f/{file=**}'", "path_template: '/{file}/of/{id}'", "/u/7/f/a/b?q", "/a/b/of/7"),
    ("path_template: '/{v=api/*}/{rest=**}.txt'", "path_template: '/{rest}-{v}'", "/api/1/a/b.txt", "/a/b-api/1"),
    ("path_template: '/**'", "path_template: /x", "/u/7", "/x"),
])
func theUpstreamSeesTheRewrittenPath(_ match: String, _ rewrite: String, _ target: String, _ path: String) throws {
    let table = table("routes: [{ match: { \(match) }, rewrite: { \(rewrite) }, cluster: a }]")
    try withHead(target) { head -> Result<Void, any Error> in
        let query = head.query?.text
        guard let route = table.route(for: head) else { return .failure(NoRoute()) }
        #expect(route.rewrite.changesPath && !route.rewrite.changesHost)
        let isApplied = route.rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.path.text == path)
        #expect(head.query?.text == query)
        #expect(head.authority.text == "example.com")
        return .success(())
    }.get()
}

private struct NoRoute: Error {}

@Test func theUpstreamSeesTheRewrittenHost() {
    let table = table("routes: [{ match: {}, rewrite: { host: \"Inner.example:8080\" }, cluster: a }]")
    withHead("/x") { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.authority.text == "Inner.example:8080")
        #expect(head.path.text == "/x")
    }
    withHead("*", method: "OPTIONS") { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.path.text == "")
    }
}

@Test func noMoreThanSixtyFourPartsOfAPathAreReplaced() {
    let table = table("routes: [{ match: {}, rewrite: { path_regex: { pattern: a, substitution: b } }, cluster: a }]")
    withHead("/" + String(repeating: "a", count: 100)) { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.path.text == "/" + String(repeating: "b", count: 64) + String(repeating: "a", count: 36))
    }
}

@Test func aRewriteThatGrowsBeyondReasonIsRefused() {
    let substitution = String(repeating: "\\0", count: 100)
    let table = table(
        "routes: [{ match: {}, rewrite: { path_regex: { pattern: .+, substitution: '\(substitution)' } }, cluster: a }]"
    )
    withHead("/" + String(repeating: "a", count: 8000)) { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(!isApplied)
    }
}

@Test func aHeaderMayNameTheCluster() {
    let http = "routes: [{ match: {}, cluster_header: X-Target }, { match: { path: /b }, cluster: b }]"
    let table = table(http, clusterNames: ["a", "b", "c"])
    #expect(table.clusterNames.sorted() == ["a", "b", "c"])
    let name = { (headers: [String]) -> String? in
        withHead("/", headers: headers) { head in
            table.clusterIndex(of: table.routes[0], for: head, random: 0).map { table.clusterNames[$0] }
        }
    }
    #expect(name(["x-target: c"]) == "c")
    #expect(name(["x-target: a"]) == "a")
    #expect(name(["x-target: d"]) == nil)
    #expect(name(["x-target: A"]) == nil)
    #expect(name(["x-target:"]) == nil)
    #expect(name([]) == nil)
}

@Test func longPathsAreRewrittenToo() {
    let table = table("routes: [{ match: { path_prefix: /v1/ }, rewrite: { path_prefix: /w/ }, cluster: a }]")
    let rest = String(repeating: "x", count: 8000)
    withHead("/v1/" + rest) { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.path.text == "/w/" + rest)
    }
}

private func location(
    _ redirect: String, match: String = "path_prefix: /a", _ target: String, host: String = "h.com",
    scheme: RequestHead.Scheme = .http
) -> String? {
    let table = table("routes: [{ match: { \(match) }, redirect: { \(redirect) } }]")
    guard case .redirect(let redirect) = table.routes[0].action else { return nil }
    return withHead(target, host: host) { head in
        var isWritten = false
        let text = written {
            isWritten = redirect.writeLocation(for: head, scheme: scheme, table.regexes(ofWorker: 0), to: &$0)
        }
        return isWritten ? text : nil
    }
}

@Test func redirectsChangeWhatTheySay() {
    #expect(location("path: /new", "/a/b?x=1") == "http://h.com/new?x=1")
    #expect(location("path: /new, strip_query: true", "/a/b?x=1") == "http://h.com/new")
    #expect(location("path: \"/new?y=2\"", "/a/b?x=1") == "http://h.com/new?y=2")
    #expect(location("prefix_rewrite: /z", "/a/b?x=1") == "http://h.com/z/b?x=1")
    #expect(
        location("path_regex: { pattern: '^/a/(.*)$', substitution: '/\\1/a' }", "/a/b?x=1") == "http://h.com/b/a?x=1")
    #expect(
        location("path_template: '/{x}'", match: "path_template: '/a/{x}'", "/a/b?x=1") == "http://h.com/b?x=1")
    #expect(location("host: \"new.com\"", "/a") == "http://new.com/a")
    #expect(location("host: \"[::1]\", port: 81", "/a") == "http://[::1]:81/a")
    #expect(location("scheme: https", "/a?") == "https://h.com/a?")
    #expect(location("path: /b", "/a", scheme: .https) == "https://h.com/b")
    #expect(location("port: 8443, scheme: https", "/a", host: "h.com:80") == "https://h.com:8443/a")
    #expect(location("host: n.com", "/a", host: "h.com:8080") == "http://n.com/a")
}

@Test func redirectsToAnotherSchemeDropThePortThatWasItsDefault() {
    #expect(location("scheme: https", "/a", host: "h.com:80") == "https://h.com/a")
    #expect(location("scheme: https", "/a", host: "h.com:8080") == "https://h.com:8080/a")
    #expect(location("scheme: http", "/a", host: "h.com:443", scheme: .https) == "http://h.com/a")
    #expect(location("scheme: http", "/a", host: "h.com:80", scheme: .https) == "http://h.com:80/a")
    #expect(location("path: /b", "/a", host: "h.com:80") == "http://h.com:80/b")
    #expect(location("scheme: https", "/a", host: "[::1]:80") == "https://[::1]/a")
}

@Test func redirectsHaveTheirStatus() {
    for status in [301, 302, 303, 307, 308] {
        let table = table("routes: [{ match: {}, redirect: { path: /x, status: \(status) } }]")
        guard case .redirect(let redirect) = table.routes[0].action else {
            Issue.record("no redirect")
            return
        }
        #expect(Int(redirect.status.rawValue) == status)
    }
}

@Test func aRequestWithoutAHostIsSentNowhereByItsHost() {
    let tables = [
        table("routes: [{ match: {}, redirect: { scheme: https } }]"),
        table("routes: [{ match: {}, redirect: { host: h.com } }]"),
    ]
    let locations = tables.map { table -> String? in
        guard case .redirect(let redirect) = table.routes[0].action else { return nil }
        return ByteSlice.withBytes(of: "GET /x HTTP/1.0\r\n\r\n") { bytes in
            var head = RequestHead(headersMax: 10)
            var parser = HTTP1RequestParser()
            _ = parser.parse(bytes, limits: HTTP1Limits(), into: &head)
            var isWritten = false
            let text = written {
                isWritten = redirect.writeLocation(for: head, scheme: .http, table.regexes(ofWorker: 0), to: &$0)
            }
            return isWritten ? text : nil
        }
    }
    #expect(locations == [nil, "http://h.com/x"])
}

@Test func headersAreRemovedThenSetThenAdded() {
    let table = table(
        """
        routes:
          - match: {}
            cluster: a
            request_headers:
              add: { X-Added: one, accept: more }
              set: { x-set: new, X-Gone: back }
              remove: [x-gone, User-Agent]
            response_headers: { set: { x-frame-options: DENY } }
        """)
    let route = table.routes[0]
    #expect(!route.requestHeaders.isEmpty && !route.responseHeaders.isEmpty)
    withHead("/", headers: ["X-Gone: 1", "User-Agent: u", "X-Set: old", "Accept: a", "x-gone: 2", "x-set: older"]) {
        let isApplied = route.requestHeaders.apply(to: &$0.headers)
        #expect(isApplied)
        #expect(
            $0.headers.lines == [
                "Host: example.com", "X-Set: new", "Accept: a", "X-Gone: back", "X-Added: one", "accept: more",
            ])
    }
    var response = ResponseHead(headersMax: 4)
    let isApplied = route.responseHeaders.apply(to: &response.headers)
    #expect(isApplied)
    #expect(response.headers.lines == ["x-frame-options: DENY"])
}

@Test func responsesOfTheConfigurationHaveAContentType() {
    let table = table(
        """
        routes:
          - { match: { path: /a }, respond: { status: 404, body: "gone\\n", headers: { X-A: "1" } } }
          - { match: { path: /b }, respond: { status: 200, body: "{}", headers: { Content-Type: application/json } } }
          - { match: { path: /c }, respond: { status: 204 } }
        """)
    let answers = table.routes.map { route -> [String] in
        guard case .respond(let response) = route.action else { return [] }
        var head = ResponseHead(headersMax: 4)
        let isApplied = response.addHeaders(to: &head.headers)
        #expect(isApplied)
        return ["\(response.status.rawValue)", response.body.text] + head.headers.lines
    }
    #expect(
        answers == [
            ["404", "gone\n", "X-A: 1", "content-type: text/plain; charset=utf-8"],
            ["200", "{}", "Content-Type: application/json"], ["204", ""],
        ])
}

@Test(
    arguments: [
        ("[connect-failure]", [true, false, false], []),
        ("[refused-stream, 409]", [false, true, false], [409]),
        ("[reset]", [true, true, true], []),
        ("[gateway-error]", [true, true, true], [502, 503, 504]),
        ("[5xx, 400, 599]", [true, true, true], [400] + Array(500...599)),
    ] as [(String, [Bool], [UInt16])])
func retriesHaveEnvoysConditions(_ on: String, _ causes: [Bool], _ statuses: [UInt16]) throws {
    let table = table("routes: [{ match: {}, cluster: a, retry: { on: \(on) } }]")
    let retry = try #require(table.routes[0].retry)
    #expect([retry.onConnectFailure, retry.onRefusedStream, retry.onReset] == causes)
    #expect((0...1000).filter { retry.retries(HTTPStatus(rawValue: $0)) } == statuses)
    #expect(retry.attempts == 1 && retry.perTryTimeoutNs == 0)
    #expect(retry.backOffBaseNs == 25_000_000 && retry.backOffMaxNs == 250_000_000)
}

@Test func retriesAreTheRoutesOwn() throws {
    let table = table(
        """
        routes:
          - { match: { path: /a }, cluster: a }
          - { match: {}, cluster: a, retry: { on: [503], attempts: 3, per_try_timeout: 1s, back_off: 1ms } }
        """)
    #expect(table.routes[0].retry == nil)
    let retry = try #require(table.routes[1].retry)
    #expect(retry.attempts == 3 && retry.perTryTimeoutNs == 1_000_000_000)
    #expect(retry.backOffBaseNs == 1_000_000 && retry.backOffMaxNs == 10_000_000)
}

@Test(arguments: [
    ("false", "websocket", false), ("true", "websocket", true), ("true", "foo/2, bar", true), ("true", "H2C", false),
    ("true", "websocket, h2c", false), ("[websocket]", "WebSocket", true), ("[websocket]", "websocket/13", true),
    ("[websocket]", "websocket, foo", false), ("[websocket]", "", false), ("[h2c]", "h2c", true), ("true", ",", false),
])
func upgradesAreAllowedByName(_ policy: String, _ offer: StaticString, _ isAllowed: Bool) {
    let table = table("routes: [{ match: {}, cluster: a, upgrade: \(policy) }]")
    #expect(table.routes[0].upgrades.allow(ByteSlice(offer)) == isAllowed)
    #expect(table.routes[0].upgrades.isEmpty == (policy == "false"))
    #expect(!table.routes[0].upgrades.allowConnect)
}

@Test func tunnelsAreAllowedByNameOnly() {
    let table = table("routes: [{ match: {}, cluster: a, upgrade: [connect] }, { match: {}, cluster: a }]")
    #expect(table.routes.map(\.upgrades.allowConnect) == [true, false])
}

@Test func aRouteKeepsItsBytesWithoutItsTable() {
    let route = table("routes: [{ match: {}, respond: { status: 200, body: still here } }]").routes[0]
    guard case .respond(let response) = route.action else {
        Issue.record("no response")
        return
    }
    #expect(response.body.text == "still here")
}
