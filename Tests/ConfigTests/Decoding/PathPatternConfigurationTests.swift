import Testing

@testable import Config

private func route(_ text: String) -> (route: RouteConfiguration?, errors: [String]) {
    let text =
        "listeners: [{ name: l, address: \":1\", http: { routes: [\n\(text)\n] } }]\n"
        + "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]\n"
    guard case .http(let http) = configuration(text)?.listeners.first?.proxy else { return (nil, errors(in: text)) }
    return (http.hosts.first?.routes.first, errors(in: text))
}

@Test func pathsMatchByExpressionAndTemplate() throws {
    #expect(
        route("{ match: { path_regex: '^/u/(\\d+)$' }, cluster: web }").route?.match.path
            == .regex(try RegexPattern(parsing: "^/u/(\\d+)$")))
    #expect(
        route("{ match: { path_template: '/u/{id}' }, cluster: web }").route?.match.path
            == .template(try PathTemplate(parsing: "/u/{id}")))
    #expect(
        route("{ match: { headers: { a: { regex: 'x+', invert: true } } }, cluster: web }").route?.match.headers
            == [FieldMatch(name: "a", condition: .regex(try RegexPattern(parsing: "x+")), isInverted: true)])
}

@Test func pathsAreRewrittenByExpressionAndTemplate() throws {
    let rewrite = { (text: String) -> PathRewrite? in
        guard case .forward(let forward) = route("{ \(text), cluster_header: X-To }").route?.action else { return nil }
        #expect(forward.clusters == [] && forward.clusterHeader == "X-To")
        return forward.rewrite.path
    }
    #expect(
        rewrite("match: {}, rewrite: { path_regex: { pattern: '(a)', substitution: '/\\1-\\0\\1b' } }")
            == .regex(try RegexPattern(parsing: "(a)"), try RegexSubstitution(parsing: "/\\1-\\0\\1b")))
    #expect(
        rewrite("match: { path_template: '/{a}/{b}' }, rewrite: { path_template: '/x{b}/{a}/{b}' }")
            == .template(try PathTemplateRewrite(parsing: "/x{b}/{a}/{b}", variables: ["a", "b"])))
    #expect(try RegexSubstitution(parsing: "/\\1-\\0").parts == [.text("/"), .group(1), .text("-"), .group(0)])
    #expect(
        try PathTemplateRewrite(parsing: "/x{b}", variables: ["a", "b"]).parts == [.text("/x"), .variable(1)])
}

private let regex = "expected a regular expression in RE2's syntax, such as ^/users/[0-9]+$"
private let template = "expected a path template such as /users/{id}/files/{file=**}"
private let substitution = "expected part of a path, with \\0 to \\9 for what was matched"

@Test(arguments: [
    (
        "match: { path_regex: '/a(b' }",
        "2:24: \"path_regex\" is \"/a(b\", which is no regular expression: missing ): /a(b; \(regex)"
    ),
    (
        "match: { path_regex: '/ä[z-a]' }",
        "2:24: \"path_regex\" is \"/ä[z-a]\", which is no regular expression: invalid character class range: z-a, at character 4; \(regex)"
    ),
    (
        "match: { path_regex: '(?=a)' }",
        "2:24: \"path_regex\" is \"(?=a)\", which is no regular expression: invalid perl operator: (?=, at character 1; \(regex)"
    ),
    (
        "match: { path_regex: '((a{100}){100}){100}' }",
        "2:24: \"path_regex\" is \"((a{100}){100}){100}\", which is no regular expression: invalid repetition size: {100}, at character 16; \(regex)"
    ),
    (
        "match: { path_regex: '(\\pL{1,100}\\PL{1,100}){9}' }",
        "2:24: \"path_regex\" is \"(\\\\pL{1,100}\\\\PL{1,100}){9}\", which is no regular expression: pattern too large - compile failed; \(regex)"
    ),
    ("match: { path_regex: '' }", "2:24: \"path_regex\" is \"\"; \(regex)"),
    ("match: { path_regex: [a] }", "2:24: \"path_regex\" is a list; \(regex)"),
    (
        "match: { headers: { a: { regex: '[' } } }",
        "2:35: \"regex\" is \"[\", which is no regular expression: missing ]: [; \(regex)"
    ),
    (
        "match: { path_template: '/a/**/*' }",
        "2:27: \"path_template\" is \"/a/**/*\", which has a wildcard behind **, at character 7; \(template)"
    ),
    (
        "match: { path_template: a }", "2:27: \"path_template\" is \"a\", which does not start with /; \(template)"
    ),
    (
        "match: { path: /a, path_template: /a }",
        "2:22: both \"path\" and \"path_template\" in match; expected one of them"
    ),
    (
        "match: {}, rewrite: { path_template: /a }",
        "2:25: \"path_template\" in a route whose match has no \"path_template\"; expected \"path\", or a match with \"path_template\""
    ),
    (
        "match: { path_template: '/{name}' }, rewrite: { path_template: '/{nane}' }",
        "2:66: \"path_template\" is \"/{nane}\", which has a variable that the match has not, \"nane\"; expected a path with variables of the match, such as /v2/{id} (did you mean \"name\"?)"
    ),
    (
        "match: {}, rewrite: { path_regex: { pattern: 'a(b)', substitution: '\\2' } }",
        "2:70: \"substitution\" names group 2, but the pattern has 1; expected groups that the pattern has"
    ),
    (
        "match: {}, rewrite: { path_regex: { pattern: 'a(b)', substitution: 'a\\x' } }",
        "2:70: \"substitution\" is \"a\\\\x\", which has a backslash without a digit at character 2; \(substitution)"
    ),
    (
        "match: {}, rewrite: { path_regex: { pattern: 'a(b)', substitution: 'a?b' } }",
        "2:70: \"substitution\" is \"a?b\", which has what no path has at character 2; \(substitution)"
    ),
])
func wrongPatternsSayWhere(_ text: String, _ expected: String) {
    #expect(route("{ \(text), cluster: web }").errors == [expected])
}

@Test func aClusterHeaderIsTheOnlyDestination() {
    #expect(
        route("{ match: {}, cluster: web, cluster_header: x }").errors == [
            "2:28: both \"cluster\" and \"cluster_header\" in route; expected one of them"
        ])
    #expect(
        route("{ match: {}, cluster_header: 'a b' }").errors == [
            "2:30: \"cluster_header\" is \"a b\"; expected a header name: letters, digits and -"
        ])
}

@Test func mirrorsAreOneOrSeveral() {
    let mirrors = { (text: String) -> [MirrorConfiguration]? in
        guard case .forward(let forward) = route("{ match: {}, cluster: web, mirror: \(text) }").route?.action else {
            return nil
        }
        return forward.mirrors
    }
    let web = ClusterReference("web")
    #expect(mirrors("{ cluster: web }") == [MirrorConfiguration(cluster: web)])
    #expect(
        mirrors("[{ cluster: web, fraction: 0.5% }, { cluster: web, fraction: 0% }]")
            == [
                MirrorConfiguration(cluster: web, fraction: Percent(partsPerMillion: 5000)),
                MirrorConfiguration(cluster: web, fraction: Percent(partsPerMillion: 0)),
            ])
    #expect(
        route("{ match: {}, cluster: web, mirror: [] }").errors == [
            "2:36: \"mirror\" has 0 items; expected at least 1"
        ])
    #expect(
        route("{ match: {}, cluster: web, mirror: { cluster: wed, fraction: 2 } }").errors == [
            "2:47: unknown cluster \"wed\"; expected the name of a cluster (did you mean \"web\"?)",
            "2:62: \"fraction\" is \"2\", a number without %; expected a share from 0% to 100%, such as 1% or 0.5%",
        ])
    #expect(
        route("{ match: {}, respond: { status: 200 }, mirror: { cluster: web } }").errors == [
            "2:40: \"mirror\" in a route that does not forward; expected it beside \"cluster\", \"weighted\" or \"cluster_header\""
        ])
}

@Test func aListenerHasABoundedNumberOfExpressions() {
    let routes = (0...2000).map { "{ match: { path_regex: '/\($0)' }, cluster: web }" }
    #expect(
        route(routes.joined(separator: ",\n")).errors == [
            "1:45: the routes have 2001 different regular expressions; expected at most 2000; path templates have no such limit"
        ])
    #expect(route(routes.dropLast().joined(separator: ",\n")).errors == [])
}
