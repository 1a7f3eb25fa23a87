import Config
import Filters
import HTTP
import Testing

/// A request as text, for a scanner that knows nothing of how tables are compiled.
private struct Request {
    var method: String
    var host: String
    var path: String
    var query: String?
    var headers: [(name: String, value: String)]

    var lines: [String] { headers.map { "\($0.name): \($0.value)" } }
}

/// The rules of routing, written down as plainly as possible: host, then each route from the first on.
private final class Scanner {
    private var regexes: [String: Regex<AnyRegexOutput>] = [:]

    func route(_ request: Request, _ hosts: [VirtualHostConfiguration]) -> Int? {
        guard let host = host(request.host, hosts) else { return nil }
        let first = hosts[..<host].reduce(0) { $0 + $1.routes.count }
        return hosts[host].routes.firstIndex { fits(request, $0.match) }.map { first + $0 }
    }

    private func host(_ name: String, _ hosts: [VirtualHostConfiguration]) -> Int? {
        let ranked = hosts.enumerated().flatMap { index, host in
            host.domains.compactMap { domain -> (rank: Int, index: Int)? in
                switch domain {
                case .any: (0, index)
                case .exact(let exact): exact == name.lowercased() ? (1000, index) : nil
                case .subdomains(let suffix): name.lowercased().hasSuffix(".\(suffix)") ? (suffix.count, index) : nil
                }
            }
        }
        return ranked.max { $0.rank < $1.rank }?.index
    }

    private func fits(_ request: Request, _ match: RouteMatch) -> Bool {
        let pathFits =
            switch match.path {
            case .any: true
            case .exact(let path): request.path == path
            case .prefix(let prefix): request.path.hasPrefix(prefix)
            case .regex(let pattern): fits(request.path, pattern.text)
            case .template(let template): fits(request.path, regex(of: template.text))
            }
        guard pathFits, match.methods.isEmpty || match.methods.contains(request.method) else { return false }
        return match.headers.allSatisfy { condition in
            let values = request.headers.filter { $0.name.lowercased() == condition.name.lowercased() }
            return holds(condition, values.isEmpty ? nil : values.map(\.value).joined(separator: ","))
        }
            && match.query.allSatisfy { holds($0, first($0.name, among: request.query?.split(separator: "&") ?? [])) }
            && match.cookies.allSatisfy { condition in
                let cookies = request.headers.filter { $0.name == "Cookie" }.flatMap { $0.value.split(separator: "; ") }
                return holds(condition, first(condition.name, among: cookies))
            }
    }

    private func fits(_ text: String, _ pattern: String) -> Bool {
        if let regex = regexes[pattern] { return text.wholeMatch(of: regex) != nil }
        do { regexes[pattern] = try Regex(pattern) } catch { preconditionFailure("\(pattern): \(error)") }
        return fits(text, pattern)
    }

    /// What Envoy makes of a template, but for the bytes that it takes for text.
    private func regex(of template: String) -> String {
        template.replacing(/\{[a-z]+(=([^}]*))?\}/) { $0.output.2.map(String.init) ?? "*" }
            .replacing("**", with: ".{0,}").replacing("*", with: "[^/]+")
    }

    private func first(_ name: String, among pairs: [Substring]) -> String? {
        for pair in pairs {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts[0] == name { return parts.count > 1 ? String(parts[1]) : "" }
        }
        return nil
    }

    private func holds(_ match: FieldMatch, _ value: String?) -> Bool {
        guard let value else { return match.condition == .present && match.isInverted }
        let holds =
            switch match.condition {
            case .present: true
            case .exact(let text): value == text
            case .prefix(let text): value.hasPrefix(text)
            case .suffix(let text): value.hasSuffix(text)
            case .contains(let text): value.firstRange(of: text) != nil
            case .regex(let pattern): fits(value, pattern.text)
            }
        return holds != match.isInverted
    }
}

/// Tables and requests of few words, so that most of them have something to do with each other.
private struct Generator {
    var random: SplitMix64

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    mutating func one<Element>(of choices: [Element]) -> Element {
        choices[Int.random(in: 0..<choices.count, using: &random)]
    }

    mutating func path() -> String {
        (0..<Int.random(in: 1...4, using: &random)).map { _ in "/" + one(of: ["", "a", "ab", "abc", "b", "x-1"]) }
            .joined()
    }

    mutating func hosts() -> [VirtualHostConfiguration] {
        var domains: [DomainPattern] = [
            .any, .exact("a.com"), .exact("b.a.com"), .subdomains(of: "a.com"), .subdomains(of: "b.a.com"),
            .exact("com"),
        ]
        domains.shuffle(using: &random)
        return (0..<Int.random(in: 1...3, using: &random)).map { _ in
            let count = Int.random(in: 1...2, using: &random)
            defer { domains.removeFirst(count) }
            return VirtualHostConfiguration(domains: Array(domains.prefix(count)), routes: routes())
        }
    }

    private mutating func routes() -> [RouteConfiguration] {
        (0..<Int.random(in: 1...one(of: [3, 40]), using: &random)).map { _ in
            var match = RouteMatch()
            switch Int.random(in: 0..<12, using: &random) {
            case 0: break
            case 1...3: match.path = .exact(path())
            case 4...5: match.path = .regex(regex(one(of: ["/a", "", "/(ab|a)", "/[^/]+", "(?:/a)?"])))
            case 6...7: match.path = .template(template())
            default: match.path = .prefix(String(path().prefix(Int.random(in: 1...8, using: &random))))
            }
            if chance(25) { match.methods = one(of: [["GET"], ["POST", "PURGE"], ["GET", "HEAD", "MOVE"]]) }
            if chance(20) { match.headers = conditions(["x-a", "X-B", "accept"]) }
            if chance(15) { match.query = conditions(["q", "r"]) }
            if chance(15) { match.cookies = conditions(["c", "d"]) }
            return RouteConfiguration(match: match, action: .respond(DirectResponse(status: 200)))
        }
    }

    private mutating func regex(_ start: String) -> RegexPattern {
        let text = start + one(of: ["", ".*", "/b+c?", "(/a.*|/b)", "[a-c]{2}", ".*/x-[0-9]"])
        guard !text.isEmpty else { return regex("/.*") }
        do { return try RegexPattern(parsing: text) } catch { preconditionFailure("\(text): \(error)") }
    }

    private mutating func template() -> PathTemplate {
        let segments = (0..<Int.random(in: 0...2, using: &random)).map { _ in
            "/" + one(of: ["a", "*", "{x}", "{x=a}", "{x=*/ab}", "b"])
        }
        let ends = ["", "/", "/**", "/{z=**}", "/{z=**}c", "/**/a", "/*", "/*-1", "/{z=a/**}/b"]
        var text = segments.joined() + one(of: ends)
        // A name stands once.
        if let first = text.firstRange(of: "{x") {
            text = String(text[..<first.upperBound]) + text[first.upperBound...].replacing("{x", with: "{y")
        }
        do {
            return try PathTemplate(parsing: text.isEmpty ? "/" : text)
        } catch {
            preconditionFailure("\(text): \(error)")
        }
    }

    private mutating func conditions(_ names: [String]) -> [FieldMatch] {
        names.filter { _ in chance(60) }.map { name in
            let text = one(of: ["1", "2", "12"])
            let condition: ValueCondition = one(of: [
                .present, .exact(text), .prefix(text), .suffix(text), .contains(text), .regex(regex("[12]?")),
            ])
            return FieldMatch(name: name, condition: condition, isInverted: chance(30))
        }
    }

    mutating func request() -> Request {
        var request = Request(
            method: one(of: ["GET", "GET", "POST", "PURGE", "MOVE"]),
            host: one(of: ["a.com", "B.a.com", "c.b.a.com", "x.a.com", "com", "a.org", "aa.com"]), path: path(),
            query: nil, headers: [])
        let value = { (generator: inout Generator) in generator.one(of: ["1", "2", "12", "21", ""]) }
        if chance(40) {
            request.query = (0..<Int.random(in: 1...3, using: &random))
                .map { _ in one(of: ["q", "r", "s"]) + (chance(80) ? "=" + value(&self) : "") }.joined(separator: "&")
        }
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            request.headers.append((one(of: ["x-a", "X-A", "x-b", "Accept"]), value(&self)))
        }
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            let cookies = (0..<Int.random(in: 1...2, using: &random)).map { _ in
                one(of: ["c", "d", "e"]) + "=" + value(&self)
            }
            request.headers.append(("Cookie", cookies.joined(separator: "; ")))
        }
        return request
    }
}

@Test(arguments: 0..<150) func tablesRouteAsAScanOfTheFileWould(_ seed: Int) {
    var generator = Generator(random: SplitMix64(state: UInt64(seed)))
    let hosts = generator.hosts()
    let table = RouteTable(HTTPConfiguration(hosts: hosts))
    let scanner = Scanner()
    var routed = 0
    for _ in 0..<200 {
        let request = generator.request()
        let target = request.path + (request.query.map { "?\($0)" } ?? "")
        let expected = scanner.route(request, hosts)
        let found = table.routeName(target, method: request.method, host: request.host, headers: request.lines)
        #expect(found == expected.map { "#\($0)" }, "seed \(seed): \(request)")
        if expected != nil { routed += 1 }
    }
    let few = hosts.allSatisfy { !$0.domains.contains(.any) || $0.routes.count < 4 }
    #expect(routed > 0 || few, "seed \(seed) tests nothing")
}
