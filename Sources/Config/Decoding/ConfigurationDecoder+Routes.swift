extension ConfigurationDecoder {
    /// `routes` directly stands for one virtual host of every domain.
    func hosts(_ object: ConfigObject) -> [VirtualHostConfiguration] {
        regexes = []
        let routes = object.optional("routes", routesFormat)
        var domains = UniqueDomains(diagnostics: diagnostics)
        let hosts = object.optional(
            "hosts",
            .list(of: .object("host") { self.host($0, domains: &domains) }, count: ConfigLimits.hosts))
        if regexes.count > ConfigLimits.regexesMax {
            diagnostics.report(
                "the routes have \(regexes.count) different regular expressions",
                expected: "at most \(ConfigLimits.regexesMax); path templates have no such limit", at: object.position)
        }
        guard object.exactlyOne(of: ["routes", "hosts"])?.key != "routes" else {
            return routes.map { [VirtualHostConfiguration(routes: $0)] } ?? []
        }
        return hosts ?? []
    }

    private var routesFormat: ConfigFormat<[RouteConfiguration]> {
        .list(of: .object("route", route), count: ConfigLimits.routes)
    }

    private func host(_ object: ConfigObject, domains unique: inout UniqueDomains) -> VirtualHostConfiguration? {
        let domains = object.required("domains", .list(of: .domain, count: ConfigLimits.domains))
        let routes = object.required("routes", routesFormat)
        for domain in domains ?? [] { unique.insert(domain.pattern, at: domain.position) }
        guard let domains, let routes else { return nil }
        return VirtualHostConfiguration(
            domains: domains.map(\.pattern), routes: routes, origin: ConfigOrigin(object.position))
    }

    private func route(_ object: ConfigObject) -> RouteConfiguration? {
        let name = object.optional("name", .name)
        let match = object.required("match", .object("match", match).expecting("an object, {} to match every request"))
        let action = action(object, matching: match?.path)
        let responseHeaders = object.value(
            "response_headers", .headerEdits(of: .response), default: HeaderEditConfiguration())
        let filters = object.value("filters", .filtersByName(HTTPFilterConfiguration.init), default: [])
        let tracing = object.optional("tracing", routeTracing)
        guard let match, let action else { return nil }
        return RouteConfiguration(
            name: name, match: match, action: action, responseHeaders: responseHeaders,
            filters: filters, tracing: tracing, origin: ConfigOrigin(object.position))
    }

    func match(_ object: ConfigObject) -> RouteMatch? {
        let paths = [
            "path": object.optional("path", .path).map(PathMatch.exact),
            "path_prefix": object.optional("path_prefix", .path).map(PathMatch.prefix),
            "path_regex": object.optional("path_regex", regex).map(PathMatch.regex),
            "path_template": object.optional("path_template", .pathTemplate).map(PathMatch.template),
        ]
        let pathKey = object.atMostOne(of: ["path", "path_prefix", "path_regex", "path_template"])?.key
        let match = RouteMatch(
            methods: object.value("methods", .list(of: .method, count: ConfigLimits.methods), default: []),
            headers: object.value("headers", fieldMatches("headers", name: .headerName), default: []),
            query: object.value("query", fieldMatches("query", name: .parameterName), default: []),
            cookies: object.value("cookies", fieldMatches("cookies", name: .cookieName), default: []))
        guard let pathKey else { return match }
        guard let path = paths[pathKey] ?? nil else { return nil }
        var result = match
        result.path = path
        return result
    }

    /// A pattern, counted for the listener.
    var regex: ConfigFormat<RegexPattern> {
        let format = ConfigFormat<RegexPattern>.text(
            "a regular expression in RE2's syntax, such as ^/users/[0-9]+$", RegexPattern.init(parsing:))
        return ConfigFormat(format.expectation) { value in
            guard let pattern = value.read(as: format) else { return nil }
            self.regexes.insert(pattern)
            return pattern
        }
    }

    // MARK: Headers, query parameters, cookies

    /// An object of names and conditions.
    private func fieldMatches(_ kind: String, name: ConfigFormat<String>) -> ConfigFormat<[FieldMatch]> {
        let condition = fieldCondition
        let format = ConfigFormat<[FieldMatch]>.object(kind) { object in
            let entries = object.allEntries()
            if !ConfigLimits.fieldMatches.contains(entries.count) {
                object.diagnostics.report(
                    "\(kind.quotedForMessage) has \(entries.count) keys",
                    expected: "\(ConfigLimits.fieldMatches.lowerBound) to \(ConfigLimits.fieldMatches.upperBound)",
                    at: object.position)
            }
            return entries.compactMap { self.fieldMatch($0, name, condition) }
        }
        return format.expecting("an object of names and what their values must be")
    }

    private func fieldMatch(
        _ entry: ConfigEntry, _ name: ConfigFormat<String>, _ condition: ConfigFormat<FieldCondition>
    ) -> FieldMatch? {
        let nameValue = ConfigValue(
            node: ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition),
            subject: "a key", expectation: name.expectation, diagnostics: diagnostics)
        let value = ConfigValue(
            node: entry.value, subject: entry.key.quotedForMessage, expectation: "", diagnostics: diagnostics)
        guard let name = nameValue.read(as: name), let condition = value.read(as: condition) else { return nil }
        return FieldMatch(name: name, condition: condition.condition, isInverted: condition.isInverted)
    }

    /// Text is the exact value, but `present` is any; or an object with one way to compare.
    private var fieldCondition: ConfigFormat<FieldCondition> {
        let keys = ["present", "exact", "prefix", "suffix", "contains", "regex"]
        let text = ConfigFormat<String>.valueText(from: 0)
        let part = ConfigFormat<String>.valueText(from: 1)
        let object = ConfigFormat<FieldCondition>.object("the condition") { object in
            let present = object.optional("present", .bool)
            let condition =
                object.optional("exact", text).map(ValueCondition.exact)
                ?? object.optional("prefix", part).map(ValueCondition.prefix)
                ?? object.optional("suffix", part).map(ValueCondition.suffix)
                ?? object.optional("contains", part).map(ValueCondition.contains)
                ?? object.optional("regex", self.regex).map(ValueCondition.regex)
            for key in keys { _ = object.entry(key) }
            let invert = object.value("invert", .bool, default: false)
            guard let entry = object.exactlyOne(of: keys) else { return nil }
            if entry.key == "present" {
                return present.map { FieldCondition(condition: .present, isInverted: $0 == invert) }
            }
            return condition.map { FieldCondition(condition: $0, isInverted: invert) }
        }
        let expectation = "the exact value, present, or an object with one of \(keys.joined(separator: ", "))"
        return ConfigFormat(expectation) { value in
            guard case .scalar = value.node.value else { return value.read(as: object.expecting(expectation)) }
            guard let exact = value.read(as: text.expecting(expectation)) else { return nil }
            return FieldCondition(condition: exact == "present" ? .present : .exact(exact), isInverted: false)
        }
    }
}

private struct FieldCondition {
    var condition: ValueCondition
    var isInverted: Bool
}

/// A domain with its place, until all of them are known to differ.
private struct PlacedDomain {
    let pattern: DomainPattern
    let position: ConfigPosition
}

/// Two virtual hosts for the same domain would leave open which of them answers.
private struct UniqueDomains {
    private let diagnostics: Diagnostics
    private var firstPositions: [DomainPattern: ConfigPosition] = [:]

    init(diagnostics: Diagnostics) {
        self.diagnostics = diagnostics
    }

    mutating func insert(_ pattern: DomainPattern, at position: ConfigPosition) {
        guard let first = firstPositions[pattern] else {
            firstPositions[pattern] = position
            return
        }
        diagnostics.report(
            "duplicate domain \(pattern.description.quotedForMessage), first written at \(first.line):\(first.column)",
            expected: "each domain once", at: position)
    }
}

extension ConfigFormat where Value == PlacedDomain {
    fileprivate static var domain: ConfigFormat {
        let pattern = ConfigFormat<DomainPattern>.text(
            "a domain such as www.example.com, *.example.com or *, whatever the port", DomainPattern.init(parsing:))
        return ConfigFormat(pattern.expectation) { value in
            value.read(as: pattern).map { PlacedDomain(pattern: $0, position: value.node.position) }
        }
    }
}

extension ConfigFormat where Value == String {
    /// RFC 9110 §9.1.
    fileprivate static var method: ConfigFormat {
        text("a method such as GET") { text throws(ConfigProblem) in
            guard text.isToken, text.utf8.count <= 64 else { throw ConfigProblem() }
            // Methods are case-sensitive, and nobody means `get`.
            guard text == text.uppercased() else { throw ConfigProblem(suggestion: text.uppercased()) }
            return text
        }
    }

    /// As it stands in a URL: what has to be percent-encoded there is so here.
    fileprivate static var parameterName: ConfigFormat {
        text("the name of a query parameter as it stands in a URL") { text throws(ConfigProblem) in
            let isVisible = text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
            guard !text.isEmpty, isVisible, !text.contains(where: { "&=#".contains($0) }) else {
                throw ConfigProblem()
            }
            return text
        }
    }

    /// RFC 6265 §4.1.1.
    fileprivate static var cookieName: ConfigFormat {
        text("the name of a cookie: letters, digits, - and _") { text throws(ConfigProblem) in
            guard text.isToken else { throw ConfigProblem() }
            return text
        }
    }

    fileprivate static func valueText(from bytesMin: Int) -> ConfigFormat {
        let bytesMax = ConfigLimits.fieldTextBytesMax
        return text("text of \(bytesMin) to \(bytesMax) bytes without control characters") {
            text throws(ConfigProblem) in
            guard (bytesMin...bytesMax).contains(text.utf8.count) else {
                throw ConfigProblem("which has \(text.utf8.count) bytes")
            }
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw ConfigProblem() }
            return text
        }
    }
}

extension ConfigFormat where Value == PathTemplate {
    fileprivate static var pathTemplate: ConfigFormat {
        let path = ConfigFormat<String>.path
        return ConfigFormat("a path template such as /users/{id}/files/{file=**}") { value in
            guard let text = value.read(as: path.expecting(value.expectation)) else { return nil }
            do throws(ConfigProblem) {
                return try PathTemplate(parsing: text)
            } catch {
                value.refuse(error.detail, suggestion: error.suggestion)
                return nil
            }
        }
    }
}
