/// Takes secrets out of a configuration, for those who may look at it and not at them.
///
/// Secret is what filters say of their own keys (`users` of `basic_auth`), and the value of a header field that holds
/// credentials, wherever one is set or looked for. Keys and passwords in files of their own are not in a configuration.
package struct ConfigRedaction: Sendable {
    /// What stands where a secret was.
    package static let mark = "[redacted]"
    /// Header fields whose values are credentials, in lower case.
    private static let headers: Set<String> = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key",
    ]

    /// Keys with secrets by the name of their filter.
    private let filterKeys: [String: Set<String>]

    package init(filterKeys: [String: Set<String>]) { self.filterKeys = filterKeys }

    /// The text with everything but secrets as it was, comments included.
    package func text(of source: String) -> String {
        var scalars = Array(source.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        var extents: Set<Range<Int>> = []
        if let root = parse(source) {
            _ = replacing(secretsIn: root) { secret in
                if let extent = secret.extent { extents.insert(extent) }
                return secret
            }
        }
        guard !extents.isEmpty else { return source }
        // From the end, so that what is in front stays in its place.
        for extent in extents.sorted(by: { $0.lowerBound > $1.lowerBound }) {
            // A block scalar ends behind its last line break.
            let isBlock = scalars[extent].last.map { $0 == "\n" || $0 == "\r" } ?? false
            scalars.replaceSubrange(extent, with: "\"\(Self.mark)\"\(isBlock ? "\n" : "")".unicodeScalars)
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return String(text)
    }

    /// The document with marks for secrets; nil when the text is empty.
    package func document(of source: String) -> ConfigNode? {
        parse(source).map { root in
            replacing(secretsIn: root) { ConfigNode(.scalar(ConfigScalar(Self.mark, isQuoted: true)), at: $0.position) }
        }
    }

    /// Where a mark stands in a configuration that is to be applied: whoever edits what was shown would make the mark
    /// the secret.
    package static func position(ofMarkIn source: String) -> ConfigPosition? {
        guard source.contains(mark) else { return nil }
        var line = 1
        for text in source.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            // In quotes, as it was written: elsewhere it is somebody's comment.
            if let range = text.firstRange(of: "\"\(mark)\"") {
                let column = text[..<range.lowerBound].unicodeScalars.count + 1
                return ConfigPosition(line: line, column: column)
            }
            line += 1
        }
        return nil
    }

    private func parse(_ source: String) -> ConfigNode? {
        guard !source.isEmpty else { return nil }
        return ConfigDocument.parse(source, diagnostics: Diagnostics(file: ""))
    }

    // MARK: What is secret

    /// The node with what `replace` makes of each secret in it.
    ///
    /// - Parameter filter: the key that the node is the value of
    private func replacing(
        secretsIn node: ConfigNode, isSecret: Bool = false, of filter: String? = nil,
        _ replace: (ConfigNode) -> ConfigNode
    ) -> ConfigNode {
        switch node.value {
        case .scalar:
            return isSecret ? replace(node) : node
        case .list(let nodes):
            return ConfigNode(
                .list(nodes.map { replacing(secretsIn: $0, isSecret: isSecret, replace) }), at: node.position)
        case .object(let entries):
            let named = Self.namesCredentials(entries)
            let replaced = entries.map { entry in
                let isSecret = isSecret || self.isSecret(entry, of: filter, named: named)
                return ConfigEntry(
                    key: entry.key, at: entry.keyPosition,
                    value: replacing(secretsIn: entry.value, isSecret: isSecret, of: entry.key, replace))
            }
            return ConfigNode(.object(replaced), at: node.position)
        }
    }

    /// - Parameters:
    ///   - filter: the key of the object that the entry is in
    ///   - named: the object is about a header field with credentials
    private func isSecret(_ entry: ConfigEntry, of filter: String?, named: Bool) -> Bool {
        if Self.headers.contains(entry.key.lowercased()) { return true }
        if named, entry.key != "name" { return true }
        return filter.flatMap { filterKeys[$0] }?.contains(entry.key) ?? false
    }

    /// `{ name: authorization, exact: … }`
    private static func namesCredentials(_ entries: [ConfigEntry]) -> Bool {
        entries.contains { entry in
            guard entry.key == "name", case .scalar(let name) = entry.value.value else { return false }
            return headers.contains(name.text.lowercased())
        }
    }
}
