import Config
import Filters
import HTTP
import Testing

@Test func pathsFitWholeOrByTheirFirstBytes() {
    let table = table(
        """
        routes:
          - { name: exact, match: { path: /v1 }, cluster: a }
          - { name: slash, match: { path_prefix: /v1/ }, cluster: a }
          - { name: bytes, match: { path_prefix: /v1 }, cluster: a }
          - { name: long, match: { path: /a/path/of/more/than/eight/bytes }, cluster: a }
        """)
    #expect(table.routeName("/v1") == "exact")
    #expect(table.routeName("/v1?a=b") == "exact")
    #expect(table.routeName("/v1/") == "slash")
    #expect(table.routeName("/v1/x") == "slash")
    #expect(table.routeName("/v1x") == "bytes")
    #expect(table.routeName("/v") == nil)
    #expect(table.routeName("/V1") == nil)
    #expect(table.routeName("/a/path/of/more/than/eight/bytes") == "long")
    #expect(table.routeName("/a/path/of/more/than/eight/byteS") == nil)
    #expect(table.routeName("/a/path/of/more/than/eight/bytes/") == nil)
}

@Test func theFirstInTheFileWinsHoweverItsPathIsWritten() {
    let paths = ["path: /x/y", "path_prefix: /x", "path_prefix: /x/", "path_prefix: /", "path: /x/y"]
    for first in paths.indices {
        let order = paths[first...] + paths[..<first]
        let routes = order.enumerated().map { "  - { name: r\($0), match: { \($1) }, cluster: a }" }
        let table = table("routes:\n" + routes.joined(separator: "\n"))
        #expect(table.routeName("/x/y") == "r0", "\(order)")
    }
    let any = table("routes:\n  - { match: {}, cluster: a }\n  - { match: { path: /x }, cluster: a }")
    #expect(any.routeName("/x") == "#0")
}

@Test func aRouteWhoseOtherConditionsFailIsPassedOver() {
    let table = table(
        """
        routes:
          - { name: post, match: { path: /x, methods: [POST, PURGE] }, cluster: a }
          - { name: beta, match: { path_prefix: /x, headers: { x-beta: "1" } }, cluster: a }
          - { name: debug, match: { query: { debug: present } }, cluster: a }
          - { name: user, match: { path_prefix: /x, cookies: { user: present } }, cluster: a }
          - { name: rest, match: { path: /x }, cluster: a }
        """)
    #expect(table.routeName("/x", method: "POST") == "post")
    #expect(table.routeName("/x", method: "PURGE") == "post")
    #expect(table.routeName("/x", method: "PURG") == "rest")
    #expect(table.routeName("/x", headers: ["X-Beta: 1", "Cookie: user=7"]) == "beta")
    #expect(table.routeName("/x", headers: ["X-Beta: 2", "Cookie: user=7"]) == "user")
    #expect(table.routeName("/x?debug", headers: ["Cookie: user=7"]) == "debug")
    #expect(table.routeName("/x") == "rest")
    #expect(table.routeName("/xy") == nil)
}

@Test(arguments: [
    ("{ x-a: one }", ["X-A: one"], true),
    ("{ x-a: one }", ["X-A: One"], false),
    ("{ x-a: one }", [], false),
    ("{ X-A: one }", ["x-a: one"], true),
    ("{ x-a: \"\" }", ["x-a:"], true),
    ("{ x-a: present }", ["x-a: anything"], true),
    ("{ x-a: present }", [], false),
    ("{ x-a: { present: true } }", ["x-a:"], true),
    ("{ x-a: { present: false } }", ["x-a: 1"], false),
    ("{ x-a: { present: false } }", [], true),
    ("{ x-a: { present: true, invert: true } }", [], true),
    ("{ x-a: { exact: present } }", ["x-a: present"], true),
    ("{ x-a: { exact: present } }", ["x-a: 1"], false),
    ("{ x-a: { prefix: ab } }", ["x-a: abc"], true),
    ("{ x-a: { prefix: ab } }", ["x-a: a"], false),
    ("{ x-a: { suffix: bc } }", ["x-a: abc"], true),
    ("{ x-a: { suffix: bc } }", ["x-a: bcd"], false),
    ("{ x-a: { contains: bb } }", ["x-a: abab-babb-"], true),
    ("{ x-a: { contains: bb } }", ["x-a: ababab"], false),
    ("{ x-a: { exact: one, invert: true } }", ["x-a: two"], true),
    ("{ x-a: { exact: one, invert: true } }", ["x-a: one"], false),
    // A condition on the value wants one to be there, as in Envoy.
    ("{ x-a: { exact: one, invert: true } }", [], false),
    ("{ x-a: one, x-b: two }", ["x-b: two", "x-a: one"], true),
    ("{ x-a: one, x-b: two }", ["x-a: one"], false),
    // Known names are compared by number, and lists over several fields as one.
    ("{ accept: { contains: \"a/b,c/d\" } }", ["Accept: a/b", "Accept: c/d"], true),
    ("{ x-a: { exact: \"1,2,3\" } }", ["x-a: 1", "X-A: 2", "x-b: 9", "x-a: 3"], true),
    ("{ x-a: 1 }", ["x-a: 1", "x-a: 2"], false),
    ("{ host: example.com }", [], true),
    ("{ host: other.com }", [], false),
])
func headersDecide(_ match: String, _ headers: [String], _ fits: Bool) {
    let table = table("routes: [{ match: { headers: \(match) }, cluster: a }]")
    #expect((table.routeName("/", headers: headers) != nil) == fits)
}

@Test(arguments: [
    ("{ k: v }", "/?k=v", true),
    ("{ k: v }", "/?a=b&k=v&c", true),
    ("{ k: v }", "/?k=w&k=v", false),
    ("{ k: v }", "/?kk=v", false),
    ("{ k: v }", "/?K=v", false),
    ("{ k: v }", "/", false),
    ("{ k: \"\" }", "/?k", true),
    ("{ k: \"\" }", "/?k=", true),
    ("{ k: present }", "/?k", true),
    ("{ k: present }", "/?", false),
    ("{ k: { present: false } }", "/", true),
    ("{ k: { present: false } }", "/?&&x&", true),
    ("{ k: { present: false } }", "/?k=1", false),
    ("{ k: { prefix: a } }", "/?k=ab", true),
    ("{ k: { suffix: b, invert: true } }", "/?k=ab", false),
    ("{ k: \"a%20b\" }", "/?k=a%20b", true),
    ("{ k: { exact: a=b } }", "/?k=a=b", true),
])
func queryParametersDecide(_ match: String, _ target: String, _ fits: Bool) {
    let table = table("routes: [{ match: { query: \(match) }, cluster: a }]")
    #expect((table.routeName(target) != nil) == fits)
}

@Test(arguments: [
    ("{ k: v }", ["Cookie: k=v"], true),
    ("{ k: v }", ["Cookie: a=b; k=v; c=d"], true),
    ("{ k: v }", ["Cookie: a=b;k=v"], true),
    ("{ k: v }", ["Cookie: k=\"v\""], true),
    ("{ k: v }", ["Cookie: K=v"], false),
    ("{ k: v }", ["Cookie: a=b", "Cookie: k=v"], true),
    ("{ k: v }", ["Cookie: k=w; k=v"], false),
    ("{ k: v }", [], false),
    ("{ k: present }", ["Cookie: k="], true),
    ("{ k: { present: false } }", ["Cookie: kk=1"], true),
    ("{ k: { prefix: v, invert: true } }", ["Cookie: k=w"], true),
])
func cookiesDecide(_ match: String, _ headers: [String], _ fits: Bool) {
    let table = table("routes: [{ match: { cookies: \(match) }, cluster: a }]")
    #expect((table.routeName("/", headers: headers) != nil) == fits)
}

@Test func theMostSpecificHostAnswers() {
    let table = table(
        """
        hosts:
          - { domains: [\"*\"], routes: [{ name: any, match: {}, cluster: a }] }
          - { domains: [\"*.example.com\"], routes: [{ name: wild, match: {}, cluster: a }] }
          - { domains: [\"*.eu.Example.com\"], routes: [{ name: eu, match: {}, cluster: a }] }
          - { domains: [example.com, API.example.com, \"[::1]\"], routes: [{ name: exact, match: {}, cluster: a }] }
          - { domains: [narrow.example.com], routes: [{ name: narrow, match: { path: /n }, cluster: a }] }
        """)
    #expect(table.routeName("/", host: "example.com") == "exact")
    #expect(table.routeName("/", host: "EXAMPLE.com:8080") == "exact")
    #expect(table.routeName("/", host: "api.example.com") == "exact")
    #expect(table.routeName("/", host: "[::1]:80") == "exact")
    #expect(table.routeName("/", host: "[::1]") == "exact")
    #expect(table.routeName("/", host: "[::2]") == "any")
    #expect(table.routeName("/", host: "www.example.com") == "wild")
    #expect(table.routeName("/", host: "a.b.example.com:1") == "wild")
    #expect(table.routeName("/", host: "a.EU.example.com") == "eu")
    #expect(table.routeName("/", host: "eu.example.com") == "wild")
    #expect(table.routeName("/", host: "xexample.com") == "any")
    #expect(table.routeName("/", host: ".example.com") == "any")
    #expect(table.routeName("/", host: "example.com.") == "any")
    #expect(table.routeName("/", host: "example.org") == "any")
    #expect(table.routeName("/", host: String(repeating: "a.", count: 200) + "example.com") == "any")
    // The host is chosen first: what its routes leave over goes to no other host.
    #expect(table.routeName("/n", host: "narrow.example.com") == "narrow")
    #expect(table.routeName("/", host: "narrow.example.com") == nil)
}

@Test func withoutAHostForAnyDomainOthersHaveNoRoute() {
    let table = table("hosts: [{ domains: [example.com], routes: [{ match: {}, cluster: a }] }]")
    #expect(table.routeName("/") == "#0")
    #expect(table.routeName("/", host: "example.org") == nil)
    withHead("/", host: "example.org") { head in #expect(table.explain(head).host == nil) }
}

@Test func requestsWithoutAPathTakeRoutesThatDoNotAskForOne() {
    let table = table(
        """
        routes:
          - { name: path, match: { path_prefix: / }, cluster: a }
          - { name: all, match: {}, cluster: a }
        """)
    #expect(table.routeName("*", method: "OPTIONS") == "all")
    #expect(table.routeName("example.com:443", method: "CONNECT", host: "example.com:443") == "all")
    #expect(table.routeName("/") == "path")
}

@Test func anExplanationNamesWhatKeptEarlierRoutesOut() {
    let table = table(
        """
        hosts:
          - domains: [example.com]
            routes:
              - { name: other, match: { path: /y }, cluster: a }
              - { name: post, match: { path: /x, methods: [POST] }, cluster: a }
              - { name: beta, match: { headers: { x-a: present, x-b: \"1\" } }, cluster: a }
              - { name: query, match: { path_prefix: /x, query: { k: v } }, cluster: a }
              - { name: cookie, match: { path_prefix: /, cookies: { c: v } }, cluster: a }
              - { name: rest, match: { path: /x }, cluster: a }
              - { name: late, match: { methods: [POST] }, cluster: a }
        """)
    withHead("/x", headers: ["x-a: 1"]) { head in
        let explanation = table.explain(head)
        #expect(explanation.host == 0)
        #expect(explanation.route?.name == "rest")
        #expect(explanation.rejected.map(\.route.name) == ["post", "beta", "query", "cookie"])
        #expect(explanation.rejected.map(\.mismatch) == [.method, .header(1), .query(0), .cookie(0)])
    }
    withHead("/z") { head in
        #expect(table.explain(head).route == nil)
        #expect(table.explain(head).rejected.map(\.route.name) == ["beta", "cookie", "late"])
    }
}

@Test func tenThousandRoutesEachFindTheirOwn() {
    let routes = (0..<10_000).map { number in
        let path: PathMatch =
            number % 2 == 0 ? .exact("/service-\(number)/item") : .prefix("/service-\(number)/")
        return RouteConfiguration(
            match: RouteMatch(path: path), action: .forward(ForwardConfiguration(cluster: ClusterReference("a"))))
    }
    let table = RouteTable(HTTPConfiguration(routes: routes))
    for number in 0..<10_000 {
        #expect(table.routeName("/service-\(number)/item") == "#\(number)")
    }
    #expect(table.routeName("/service-10000/item") == nil)
    #expect(table.routeName("/service-1/") == "#1")
    #expect(table.routeName("/service-2/") == nil)
}

@Test func tenThousandHostsEachFindTheirOwn() {
    let hosts = (0..<10_000).map { number in
        VirtualHostConfiguration(
            domains: [number % 2 == 0 ? .exact("h\(number).example.com") : .subdomains(of: "h\(number).example.com")],
            routes: [
                RouteConfiguration(
                    match: .all, action: .forward(ForwardConfiguration(cluster: ClusterReference("c\(number)"))))
            ])
    }
    let table = RouteTable(HTTPConfiguration(hosts: hosts))
    #expect(table.clusterNames.count == 10_000)
    for number in 0..<10_000 {
        let host = number % 2 == 0 ? "h\(number).example.com" : "x.h\(number).example.com"
        #expect(table.routeName("/", host: host) == "#\(number)")
    }
    #expect(table.routeName("/", host: "h1.example.com") == nil)
}

@Test func prefixesMayNestAsDeepAsTheyAreLong() {
    let prefixes = (1...2000).map { "/" + String(repeating: "x", count: $0) }
    let routes = prefixes.reversed().map { prefix in
        RouteConfiguration(
            match: RouteMatch(path: .prefix(prefix)),
            action: .forward(ForwardConfiguration(cluster: ClusterReference("a"))))
    }
    let table = RouteTable(HTTPConfiguration(routes: routes))
    #expect(table.routeName("/" + String(repeating: "x", count: 3000)) == "#0")
    #expect(table.routeName("/xxy") == "#1998")
    #expect(table.routeName("/y") == nil)
}
