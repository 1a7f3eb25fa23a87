internal import Config
internal import HTTP

/// What a request must have for a route, besides its host and what the index of paths has found out.
struct RouteConditions: Sendable {
    private let path: PathTest
    private let methods: MethodSet
    private let headers: RouteArray<HeaderCondition>
    private let query: RouteArray<ParameterCondition>
    private let cookies: RouteArray<ParameterCondition>
    private let isEmpty: Bool

    /// - Parameter regexes: numbers the patterns
    init(_ match: RouteMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        path = PathTest(match.path, in: memory, regexes: &regexes)
        methods = MethodSet(match.methods, in: memory)
        headers = memory.store(match.headers.map { HeaderCondition($0, in: memory, regexes: &regexes) })
        query = memory.store(match.query.map { ParameterCondition($0, in: memory, regexes: &regexes) })
        cookies = memory.store(match.cookies.map { ParameterCondition($0, in: memory, regexes: &regexes) })
        let isPathKnown = if case .known = path { true } else { false }
        isEmpty = isPathKnown && match.methods.isEmpty && headers.isEmpty && query.isEmpty && cookies.isEmpty
    }

    /// The first condition that does not hold; nil when all do.
    @inline(__always)
    func firstMismatch(in head: borrowing RequestHead, _ regexes: RouteRegexes) -> RouteMismatch? {
        isEmpty ? nil : checkAll(in: head, regexes)
    }

    /// What costs little first.
    @inline(never)
    private func checkAll(in head: borrowing RequestHead, _ regexes: RouteRegexes) -> RouteMismatch? {
        guard methods.contains(head) else { return .method }
        guard path.holds(for: head.path, regexes) else { return .path }
        for index in headers.indices where !headers[index].holds(for: head, regexes) { return .header(index) }
        for index in query.indices where !query[index].holds(for: head.query, regexes) { return .query(index) }
        for index in cookies.indices where !cookies[index].holds(forCookiesIn: head.headers, regexes) {
            return .cookie(index)
        }
        return nil
    }
}

/// Which condition of a route does not hold, by its position in the configuration.
package enum RouteMismatch: Sendable, Equatable {
    case method
    case path
    case header(Int)
    case query(Int)
    case cookie(Int)
}

/// What is left to ask of a path that the index has brought here.
private enum PathTest: Sendable {
    /// Nothing: it is this path, or has this prefix.
    case known
    /// By its number in `RouteRegexes`.
    case regex(Int)
    case template(RouteTemplate)

    init(_ match: PathMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        switch match {
        case .any, .exact, .prefix: self = .known
        case .regex(let pattern): self = .regex(regexes.number(of: pattern))
        case .template(let template): self = .template(RouteTemplate(template, in: memory))
        }
    }

    func holds(for path: ByteSlice, _ regexes: RouteRegexes) -> Bool {
        switch self {
        case .known: true
        case .regex(let index): regexes.matches(index, path)
        case .template(let template): template.matches(path)
        }
    }
}

/// Methods: a bit for each that has a number, and the text of the others.
private struct MethodSet: Sendable {
    private let known: UInt16
    private let others: RouteArray<RouteText>

    /// - Parameter methods: none for all
    init(_ methods: [String], in memory: RouteMemory) {
        var known: UInt16 = methods.isEmpty ? .max : 0
        var others: [RouteText] = []
        for method in methods {
            switch ByteSlice.withBytes(of: method, { HTTPMethod($0) }) {
            case .other: others.append(memory.store(method))
            case let method: known |= 1 << UInt16(method.rawValue)
            }
        }
        self.known = known
        self.others = memory.store(others)
    }

    func contains(_ head: borrowing RequestHead) -> Bool {
        if known &>> UInt16(head.method.rawValue) & 1 != 0 { return true }
        guard head.method == .other else { return false }
        let text = head.methodText
        for index in others.indices where others[index].bytes == text { return true }
        return false
    }
}

/// What a value must be.
private struct ValueTest: Sendable {
    private enum Comparison: Sendable {
        case present, exact, prefix, suffix, contains
        /// By its number in `RouteRegexes`.
        case regex(Int)
    }

    private let comparison: Comparison
    private let text: RouteText
    private let isInverted: Bool

    init(_ match: FieldMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        isInverted = match.isInverted
        switch match.condition {
        case .present: (comparison, text) = (.present, memory.store(""))
        case .exact(let value): (comparison, text) = (.exact, memory.store(value))
        case .prefix(let value): (comparison, text) = (.prefix, memory.store(value))
        case .suffix(let value): (comparison, text) = (.suffix, memory.store(value))
        case .contains(let value): (comparison, text) = (.contains, memory.store(value))
        case .regex(let pattern): (comparison, text) = (.regex(regexes.number(of: pattern)), memory.store(""))
        }
    }

    /// As in Envoy, a comparison never holds for what is not there, inverted or not.
    func holds(for value: ByteSlice?, _ regexes: RouteRegexes) -> Bool {
        guard let value else { return if case .present = comparison { isInverted } else { false } }
        let holds =
            switch comparison {
            case .present: true
            case .exact: value == text.bytes
            case .prefix: value.hasPrefix(text.bytes)
            case .suffix: value.hasSuffix(text.bytes)
            case .contains: value.contains(text.bytes)
            case .regex(let index): regexes.matches(index, value)
            }
        return holds != isInverted
    }
}

private struct HeaderCondition: Sendable {
    private let key: HeaderKey
    private let test: ValueTest

    init(_ match: FieldMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        guard let key = HeaderKey(match.name) else { preconditionFailure("a configuration has valid header names") }
        self.key = key
        test = ValueTest(match, in: memory, regexes: &regexes)
    }

    func holds(for head: borrowing RequestHead, _ regexes: RouteRegexes) -> Bool {
        // What the request was routed by, wherever it stood.
        if key.known == .host {
            return test.holds(for: head.authority.isEmpty ? nil : head.authority, regexes)
        }
        guard let first = head.headers.firstIndex(of: key), let field = head.headers.field(at: first) else {
            return test.holds(for: nil, regexes)
        }
        guard head.headers.firstIndex(of: key, from: first + 1) == nil else {
            return Self.holds(test, forAll: key, in: head.headers, from: first, regexes)
        }
        return test.holds(for: field.value, regexes)
    }

    /// RFC 9110 §5.3: several fields of one name are one list. Rare, so it may allocate.
    @inline(never)
    private static func holds(
        _ test: ValueTest, forAll key: HeaderKey, in headers: borrowing HeaderTable, from first: Int,
        _ regexes: RouteRegexes
    ) -> Bool {
        var joined: [UInt8] = []
        var next: Int? = first
        while let index = next {
            if index != first { joined.append(UInt8(ascii: ",")) }
            if let value = headers.field(at: index)?.value {
                value.withSpan { span in unsafe span.withUnsafeBytes { unsafe joined.append(contentsOf: $0) } }
            }
            next = headers.firstIndex(of: key, from: index + 1)
        }
        return ByteSlice.withBytes(of: joined) { test.holds(for: $0, regexes) }
    }
}

/// A query parameter or a cookie.
private struct ParameterCondition: Sendable {
    private let name: RouteText
    private let test: ValueTest

    init(_ match: FieldMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        name = memory.store(match.name)
        test = ValueTest(match, in: memory, regexes: &regexes)
    }

    func holds(for query: ByteSlice?, _ regexes: RouteRegexes) -> Bool {
        guard let query else { return test.holds(for: nil, regexes) }
        return test.holds(for: query.value(of: name.bytes, separator: UInt8(ascii: "&"), trimming: false), regexes)
    }

    func holds(forCookiesIn headers: borrowing HeaderTable, _ regexes: RouteRegexes) -> Bool {
        // HTTP/2 clients split their cookies over several fields (RFC 9113 §8.2.3).
        var next = headers.firstIndex(of: .cookie)
        while let index = next {
            let cookies = headers.field(at: index)?.value ?? .empty
            if let value = cookies.value(of: name.bytes, separator: UInt8(ascii: ";"), trimming: true) {
                return test.holds(for: value.unquoted, regexes)
            }
            next = headers.firstIndex(of: .cookie, from: index + 1)
        }
        return test.holds(for: nil, regexes)
    }
}

extension ByteSlice {
    /// The value of the first `name=value` among several; empty where a name stands alone.
    fileprivate func value(of name: ByteSlice, separator: UInt8, trimming: Bool) -> ByteSlice? {
        var start = 0
        while start < count {
            let end = firstIndex(of: separator, from: start) ?? count
            let pair = trimming ? self[start..<end].trimmed : self[start..<end]
            if pair.hasPrefix(name) {
                if pair.count == name.count { return .empty }
                if pair[name.count] == UInt8(ascii: "=") { return pair[(name.count + 1)..<pair.count] }
            }
            start = end + 1
        }
        return nil
    }

    fileprivate var unquoted: ByteSlice {
        let isQuoted = count >= 2 && self[0] == UInt8(ascii: "\"") && self[count - 1] == UInt8(ascii: "\"")
        return isQuoted ? self[1..<count - 1] : self
    }

    fileprivate func contains(_ part: ByteSlice) -> Bool {
        guard let first = part.first else { return true }
        var start = 0
        while let index = firstIndex(of: first, from: start), count - index >= part.count {
            if self[index..<index + part.count] == part { return true }
            start = index + 1
        }
        return false
    }
}
