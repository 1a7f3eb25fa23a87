// What several options of HTTP are made of: paths, hosts, names and values of header fields.

extension ConfigFormat where Value == String {
    /// An absolute path as it stands in a request line (RFC 9110 §4.1): visible ASCII, without query and fragment.
    public static var path: ConfigFormat {
        text("a path such as /index.html") { text throws(ConfigProblem) in
            try checkPath(text)
            guard !text.contains(where: { $0 == "?" || $0 == "#" }) else {
                throw ConfigProblem("which has a query or a fragment")
            }
            return text
        }
    }

    /// A path, and perhaps a query behind a question mark.
    static var pathAndQuery: ConfigFormat {
        text("a path such as /index.html, with or without a query") { text throws(ConfigProblem) in
            try checkPath(text)
            guard !text.contains("#") else { throw ConfigProblem("which has a fragment") }
            return text
        }
    }

    private static func checkPath(_ text: String) throws(ConfigProblem) {
        guard text.utf8.first == UInt8(ascii: "/") else { throw ConfigProblem("which does not start with /") }
        guard text.utf8.count <= ConfigLimits.pathBytesMax else {
            throw ConfigProblem("which is longer than \(ConfigLimits.pathBytesMax) bytes")
        }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ConfigProblem("which has characters that a request must percent-encode")
        }
    }

    /// A host without a port.
    static var host: ConfigFormat {
        text("a host such as www.example.com") { text throws(ConfigProblem) in try DomainPattern.host(text[...]) }
    }

    /// A host, and perhaps a port (RFC 9110 §7.2).
    static var authority: ConfigFormat {
        text("a host such as www.example.com, with or without a port") { text throws(ConfigProblem) in
            guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else {
                return try DomainPattern.host(text[...])
            }
            let digits = text[text.index(after: colon)...]
            let isNumber = digits.utf8.allSatisfy { $0.decimalDigit != nil }
            guard isNumber, digits.first != "0", let port = UInt16(digits) else {
                throw ConfigProblem("which has no port from 1 to 65535")
            }
            return "\(try DomainPattern.host(text[..<colon])):\(port)"
        }
    }

    /// RFC 9110 §5.5: no control characters but tabs within, no white space around.
    public static var headerValue: ConfigFormat {
        text("a header value: text without line breaks and other control characters") { text throws(ConfigProblem) in
            let isBlank: (UInt8?) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == UInt8(ascii: "\t") }) else {
                throw ConfigProblem()
            }
            guard !isBlank(text.utf8.first), !isBlank(text.utf8.last) else {
                throw ConfigProblem("which starts or ends with white space")
            }
            return text
        }
    }

    /// RFC 9110 §5.1.
    public static var headerName: ConfigFormat {
        text("a header name: letters, digits and -") { text throws(ConfigProblem) in
            guard text.isToken else { throw ConfigProblem() }
            guard text.utf8.count <= ConfigLimits.headerNameBytesMax else {
                throw ConfigProblem("which is longer than \(ConfigLimits.headerNameBytesMax) bytes")
            }
            return text
        }
    }
}

extension ConfigFormat where Value == [HeaderConfiguration] {
    /// An object of names and values.
    package static func headers(of message: HeaderRules) -> ConfigFormat {
        ConfigFormat("an object of header names and values") { value in
            let object = ConfigFormat<[HeaderConfiguration]>.object("headers") { object in
                let entries = object.allEntries()
                if entries.count > ConfigLimits.headerEditsMax {
                    object.diagnostics.report(
                        "\(value.subject) has \(entries.count) keys",
                        expected: "at most \(ConfigLimits.headerEditsMax)", at: object.position)
                }
                return entries.compactMap { header($0, message, object.diagnostics) }
            }
            return value.read(as: object.expecting(value.expectation))
        }
    }

    private static func header(
        _ entry: ConfigEntry, _ message: HeaderRules, _ diagnostics: Diagnostics
    ) -> HeaderConfiguration? {
        let nameValue = ConfigValue(
            node: ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition),
            subject: "a key", expectation: "", diagnostics: diagnostics)
        guard let name = nameValue.read(as: .editableHeaderName(of: message)) else { return nil }
        let value = ConfigValue(
            node: entry.value, subject: entry.key.quotedForMessage,
            expectation: ConfigFormat<String>.headerValue.expectation, diagnostics: diagnostics)
        return value.read(as: .headerValue).map { HeaderConfiguration(name: name, value: $0) }
    }
}

extension ConfigFormat where Value == String {
    /// The name of a header that a configuration may change.
    package static func editableHeaderName(of message: HeaderRules) -> ConfigFormat {
        let name = ConfigFormat<String>.headerName
        return ConfigFormat(name.expectation) { value in
            guard let text = value.read(as: name) else { return nil }
            guard let rule = message.rule(for: text.lowercased()) else { return text }
            value.diagnostics.report(
                "the proxy sets \(text.quotedForMessage) itself", expected: rule, at: value.node.position)
            return nil
        }
    }
}

/// Which headers a configuration may not touch.
package enum HeaderRules {
    case request, response

    /// What frames a message is the proxy's business: a wrong one would let a peer see two messages in one.
    private static let framing: Set<String> = [
        "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    ]

    /// What errors expect instead of a header, its name in lower case; nil when it may be changed.
    func rule(for name: String) -> String? {
        if Self.framing.contains(name) { return "another header" }
        if self == .request, name == "host" { return "\"host\" in \"rewrite\"" }
        return nil
    }
}

extension String {
    /// RFC 9110 §5.6.2.
    var isToken: Bool { !isEmpty && utf8.allSatisfy(\.isTokenByte) }
}

extension UInt8 {
    /// RFC 9110 §5.6.2: tchar.
    fileprivate var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
