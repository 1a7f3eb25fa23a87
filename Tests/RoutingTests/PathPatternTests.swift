import Config
import Filters
import HTTP
import Testing

private func template(_ text: String) throws(ConfigProblem) -> PathTemplate { try PathTemplate(parsing: text) }

private func matches(_ match: String, _ target: String) -> Bool {
    table("routes: [{ match: { \(match) }, cluster: a }]").routeName(target) != nil
}

// The cases are those of Envoy's documentation and of its rules.
@Test(arguments: [
    ("/**.m3u8", "/media/1234/manifest.m3u8", true), ("/**.mpd", "/manifest.mpd", true), ("/**.mpd", "/.mpd", true),
    ("/**.mpd", "/manifest.mpdx", false), ("/*.mpd", "/a/manifest.mpd", false), ("/*.mpd", "/.mpd", false),
    ("/videos/*/*/*.m4s", "/videos/123414/hls/1080p5000_00001.m4s", true),
    ("/videos/{file}", "/videos/1080p5000_00001.m4s", true), ("/videos/{file}", "/videos/", false),
    ("/videos/{file}", "/videos/a/b", false), ("/v1/**", "/v1/", true), ("/v1/**", "/v1", false),
    ("/v1/**", "/v1/a/b/c", true), ("/{foo}/**.ts", "/foo/1/format/2/hls/segment.ts", true),
    ("/api/*/*/", "/api/v1/1234/", true), ("/api/*/*/", "/api/v1/1234", false), ("/api/*/v1/**", "/api/x/v1/", true),
    ("/api/*/v1/**", "/api/x/v2/", false), ("/{version=api/*}/*", "/api/v1/1234", true), ("/", "/", true),
    ("/", "/a", false), ("/**/edit", "/a/b/edit", true), ("/**/edit", "/edit", false), ("/**/edit", "//edit", true),
    ("/a/{x=**/edit}/now", "/a/b/edit/now", true), ("/a/{x=**/edit}/now", "/a/b/edit/then", false),
    ("/a/*/b", "/a//b", false), ("/a/*/b", "/a/b/b/b", false), ("/a/b", "/a/b", true), ("/a/b", "/a/b/", false),
])
func templatesMatchWholePaths(_ template: String, _ path: String, _ isMatch: Bool) {
    #expect(matches("path_template: '\(template)'", path) == isMatch)
}

@Test(arguments: [
    ("users", "which does not start with /"),
    ("/api/v*/1", "which has a * within a segment, at character 7"),
    ("/api/v{x}", "which has a { within a segment, at character 7"),
    ("/a}", "which has a } within a segment, at character 3"),
    ("/a/{x=v*}", "which has a * within a segment, at character 8"),
    ("/a/{x=*v}", "which has half a segment, at character 8"),
    ("/a/{x=/b}", "which has an empty segment, at character 7"),
    ("/a/{x=b/}", "which has half a segment, at character 8"),
    ("/a/{x=}", "which has a variable that stands for nothing, at character 7"),
    ("/a/{x", "which has a { without a }, at character 4"),
    ("/a/{}", "which has a variable whose name is not 1 to 32 letters, digits and _, at character 4"),
    ("/a/{1x}", "which has a variable whose name is not 1 to 32 letters, digits and _, at character 4"),
    ("/a/{x.y}", "which has a variable whose name is not 1 to 32 letters, digits and _, at character 4"),
    ("/{x}/{x}", "which has the variable \"x\" twice, at character 6"),
    ("/**/{x}", "which has a wildcard behind **, at character 5"),
    ("/**/*", "which has a wildcard behind **, at character 5"),
    ("/***", "which has a * within a segment, at character 4"),
    ("/*.a/b", "which goes on behind a wildcard with text behind it, at character 5"),
    ("/a//b", "which has an empty segment, at character 4"),
])
func templatesThatAreNoneSayWhere(_ text: String, _ detail: String) {
    #expect(throws: ConfigProblem(detail)) { try template(text) }
}

@Test func aTemplateHasSixteenVariablesAtMost() throws {
    let text = (0..<16).map { "/{v\($0)}" }.joined()
    #expect(try template(text).variables.count == 16)
    #expect(throws: ConfigProblem.self) { try template(text + "/{v16}") }
    let path = (0..<16).map { "/p\($0)" }.joined()
    let table = table(
        "routes: [{ match: { path_template: '\(text)' }, rewrite: { path_template: '/{v15}/{v0}' }, cluster: a }]")
    withHead(path) { head in
        let isApplied = table.routes[0].rewrite.apply(to: &head, table.regexes(ofWorker: 0))
        #expect(isApplied)
        #expect(head.path.text == "/p15/p0")
    }
}

@Test(arguments: [
    ("^/u/(\\d+)$", "/u/12", true), ("^/u/(\\d+)$", "/u/12/", false), ("/u/[0-9]+", "/u/12", true),
    ("/u/[0-9]+", "/x/u/12", false), ("/u/[0-9]+", "/u/12?q=/", true), (".*[.]php", "/a/b.php", true),
    ("(?i)/ABC", "/aBc", true), ("/a|/b", "/b", true), ("/(a|ab)(c|bcd)", "/abcd", true), ("/x*", "/", true),
    ("[^/]*", "/", false),
])
func expressionsMatchWholePaths(_ pattern: String, _ target: String, _ isMatch: Bool) {
    #expect(matches("path_regex: '\(pattern)'", target) == isMatch)
}

@Test func expressionsAreFoundByTheTextThatTheyBeginWith() throws {
    #expect(try RegexPattern(parsing: "^/users/([0-9]+)$").literalPrefix == "/users/")
    #expect(try RegexPattern(parsing: "/users/(abc|abd)/x").literalPrefix == "/users/ab")
    #expect(try RegexPattern(parsing: "/users(/.*)?").literalPrefix == "/users")
    #expect(try RegexPattern(parsing: ".*[.]php").literalPrefix == "")
    #expect(try RegexPattern(parsing: "(?i)/users").literalPrefix == "/")
    #expect(try RegexPattern(parsing: "/ä").literalPrefix == "/")
}

@Test func theFirstRouteThatFitsAnswersHoweverItsPathIsWritten() {
    let table = table(
        """
        routes:
          - { name: regex, match: { path_regex: "/a/[0-9]+" }, cluster: a }
          - { name: template, match: { path_template: "/a/{x}" }, cluster: a }
          - { name: exact, match: { path: /a/1 }, cluster: a }
          - { name: exact too, match: { path: /b/1 }, cluster: a }
          - { name: prefix, match: { path_prefix: /b/ }, cluster: a }
          - { name: late, match: { path_regex: "/b/.*" }, cluster: a }
          - { name: any, match: { path_regex: ".*" }, cluster: a }
        """.replacing("exact too", with: "exact-too"))
    #expect(table.routeName("/a/1") == "regex")
    #expect(table.routeName("/a/x") == "template")
    #expect(table.routeName("/b/1") == "exact-too")
    #expect(table.routeName("/b/2") == "prefix")
    #expect(table.routeName("/c") == "any")
    withHead("/a/x") { head in
        #expect(table.explain(head).rejected.map(\.mismatch) == [.path])
    }
}

@Test func valuesMatchExpressionsAsAWhole() {
    let table = table(
        """
        routes:
          - { name: header, match: { headers: { x-a: { regex: "[0-9]+" } } }, cluster: a }
          - { name: host, match: { headers: { host: { regex: "v[0-9][.].*" } } }, cluster: a }
          - { name: query, match: { query: { q: { regex: "(?i)yes|on" } } }, cluster: a }
          - { name: cookie, match: { cookies: { c: { regex: "[a-f]{4}" } } }, cluster: a }
          - { name: inverted, match: { headers: { x-b: { regex: "x.*", invert: true } } }, cluster: a }
        """)
    #expect(table.routeName("/", headers: ["x-a: 12"]) == "header")
    #expect(table.routeName("/", headers: ["x-a: 12a"]) == nil)
    #expect(table.routeName("/", headers: ["x-a: 1", "x-a: 2"]) == nil)
    #expect(table.routeName("/", host: "v1.example.com") == "host")
    #expect(table.routeName("/?q=YES") == "query")
    #expect(table.routeName("/?q=YESS") == nil)
    #expect(table.routeName("/", headers: ["Cookie: c=abcd"]) == "cookie")
    #expect(table.routeName("/", headers: ["x-b: y"]) == "inverted")
    #expect(table.routeName("/", headers: ["x-b: xy"]) == nil)
    #expect(table.routeName("/") == nil)
}

@Test func patternsOfManyRoutesAreCompiledOnce() {
    let routes = (0..<2000).map { "  - { match: { path: /\($0), headers: { x-a: { regex: a+ } } }, cluster: a }" }
    let table = table("routes:\n" + routes.joined(separator: "\n"))
    #expect(table.routeName("/1999", headers: ["x-a: aaa"]) == "#1999")
}

/// What takes exponential time where one tries one way after the other.
@Test func hostileTextsTakeNoLongerThanOthers() {
    let table = table("routes: [{ match: { path_regex: '/(a+)+(b|c)*(.*x){10}' }, cluster: a }]")
    #expect(table.routeName("/" + String(repeating: "a", count: 8000)) == nil)
}
