/// The hosts that a virtual host is for: `api.example.com`, `*.example.com` or `*`.
package enum DomainPattern: Sendable, Hashable {
    case any
    /// In lower case; an IPv6 address in its brackets.
    case exact(String)
    /// Every host that ends with a dot and this, in lower case; not this host itself.
    case subdomains(of: String)

    /// RFC 1035 §2.3.4, without the dot at the end.
    package static let bytesMax = 253

    package init(parsing text: String) throws(ConfigProblem) {
        if text == "*" {
            self = .any
            return
        }
        let lowercased = text.lowercased()
        if text.hasPrefix("*.") {
            self = .subdomains(of: try Self.host(lowercased.dropFirst(2)))
        } else if text.contains("*") {
            throw ConfigProblem("which has a * elsewhere than in front of a dot")
        } else {
            self = .exact(try Self.host(lowercased[...]))
        }
    }

    /// A host as requests name it, without its port: a name, an IPv4 address, or an IPv6 address in brackets.
    static func host(_ text: Substring) throws(ConfigProblem) -> String {
        guard !text.isEmpty else { throw ConfigProblem("which has no host") }
        guard text.utf8.count <= bytesMax else { throw ConfigProblem("which is longer than \(bytesMax) bytes") }
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            guard case .v6 = IPAddress(text[..<end].dropFirst()) else {
                throw ConfigProblem("which has no valid IPv6 address in its brackets")
            }
            let rest = text[text.index(after: end)...]
            guard !rest.hasPrefix(":") else { throw ConfigProblem("which has a port") }
            guard rest.isEmpty else { throw ConfigProblem() }
            return String(text)
        }
        if text.contains(":") {
            throw ConfigProblem(
                IPAddress(text) == nil ? "which has a port" : "an IPv6 address, which goes in brackets",
                suggestion: IPAddress(text) == nil ? nil : "[\(text)]")
        }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy({ !$0.isEmpty }) else { throw ConfigProblem("which has a dot too many") }
        guard text.utf8.allSatisfy(\.isHostByte) else {
            throw ConfigProblem("which has characters that host names do not have")
        }
        return String(text)
    }
}

extension DomainPattern: CustomStringConvertible {
    package var description: String {
        switch self {
        case .any: "*"
        case .exact(let host): host
        case .subdomains(let host): "*.\(host)"
        }
    }
}

extension UInt8 {
    /// RFC 1123 §2.1, and the underscore that names in clusters of containers have.
    fileprivate var isHostByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
