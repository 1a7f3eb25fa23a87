/// Reads an object key by key and never stops at an error: every wrong value, missing key and unknown key is reported.
///
/// This is all a filter needs to read its own configuration:
/// ```swift
/// init?(config: ConfigNode, diagnostics: Diagnostics) {
///     guard let object = ConfigObject(config, kind: "local_rate_limit", diagnostics: diagnostics) else { return nil }
///     let rate = object.required("requests_per_second", .int(in: 1...1_000_000))
///     let burst = object.value("burst", .int(in: 1...1_000_000), default: 100)
///     let exempt = object.value("exempt", .list(of: .cidr), default: [])
///     guard object.finish(), let rate else { return nil }
///     ...
/// }
/// ```
public final class ConfigObject {
    public let position: ConfigPosition
    public let diagnostics: Diagnostics
    private let kind: String
    private let entries: [ConfigEntry]
    /// Parallel to `entries`.
    private var isRead: [Bool]
    /// In the order of reading, which is the order in which errors list them.
    private var knownKeys: [String] = []
    private let reportCountBefore: Int
    private var isFinished = false

    /// nil, after reporting it, when the node is not an object.
    ///
    /// - Parameter kind: what errors call the object: `listener`, or the name of the filter
    public convenience init?(_ node: ConfigNode, kind: String, diagnostics: Diagnostics) {
        guard case .object(let entries) = node.value else {
            diagnostics.report("\(kind) is \(node.described)", expected: "an object", at: node.position)
            return nil
        }
        self.init(entries: entries, kind: kind, at: node.position, diagnostics: diagnostics)
    }

    init(entries: [ConfigEntry], kind: String, at position: ConfigPosition, diagnostics: Diagnostics) {
        self.entries = entries
        self.kind = kind
        self.position = position
        self.diagnostics = diagnostics
        self.isRead = Array(repeating: false, count: entries.count)
        self.reportCountBefore = diagnostics.reportCount
    }

    /// The value of a key that must be there. nil after an error was reported.
    public func required<Value>(_ key: String, _ format: ConfigFormat<Value>) -> Value? {
        guard let entry = entry(key) else {
            reportMissing(key.quotedForMessage, expected: format.expectation)
            return nil
        }
        return read(entry, format)
    }

    /// The value of a key that may be missing. nil when it is, or after an error was reported.
    public func optional<Value>(_ key: String, _ format: ConfigFormat<Value>) -> Value? {
        entry(key).flatMap { read($0, format) }
    }

    /// The value of a key, or the default when the key is missing or after an error was reported.
    public func value<Value>(_ key: String, _ format: ConfigFormat<Value>, default: Value) -> Value {
        entry(key).flatMap { read($0, format) } ?? `default`
    }

    /// The node of a key, for a caller who reads it elsewhere; nil when the key is missing.
    public func node(_ key: String) -> ConfigNode? {
        entry(key)?.value
    }

    /// The key with its own place, for errors about the key itself; nil when it is missing.
    public func entry(_ key: String) -> ConfigEntry? {
        if !knownKeys.contains(key) { knownKeys.append(key) }
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        isRead[index] = true
        return entries[index]
    }

    /// Whether a key is there, for deciding about others; does not count as reading it.
    func hasKey(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// Where the value of a key stands; where the object starts when the key is missing.
    public func position(of key: String) -> ConfigPosition {
        entries.first { $0.key == key }?.value.position ?? position
    }

    /// All keys as data, for objects whose keys the author chooses: none of them is unknown then.
    public func allEntries() -> [ConfigEntry] {
        for index in isRead.indices { isRead[index] = true }
        return entries
    }

    /// Reports that none of some keys is there.
    ///
    /// - Parameter keys: the keys in quotes: `"path" or "path_prefix"`
    public func reportMissing(_ keys: String, expected: String) {
        diagnostics.report("missing key \(keys) in \(kind)", expected: expected, at: position)
    }

    /// Reports every key beside the first of some that exclude each other. The first one, nil without any.
    @discardableResult
    public func atMostOne(of keys: [String]) -> ConfigEntry? {
        let present = keys.compactMap(entry).sorted { $0.keyPosition < $1.keyPosition }
        guard let first = present.first else { return nil }
        for other in present.dropFirst() {
            diagnostics.report(
                "both \(first.key.quotedForMessage) and \(other.key.quotedForMessage) in \(kind)",
                expected: "one of them", at: other.keyPosition)
        }
        return first
    }

    /// `atMostOne(of:)`, which also reports that there is none.
    @discardableResult
    public func exactlyOne(of keys: [String]) -> ConfigEntry? {
        if let first = atMostOne(of: keys) { return first }
        let quoted = keys.map(\.quotedForMessage)
        reportMissing(
            "\(quoted.dropLast().joined(separator: ", ")) or \(quoted.last ?? "")", expected: "one of them")
        return nil
    }

    /// Reports the keys that nobody asked for. True when nothing in this object was wrong. Once is enough.
    @discardableResult
    public func finish() -> Bool {
        guard !isFinished else { return diagnostics.reportCount == reportCountBefore }
        isFinished = true
        for (entry, isRead) in zip(entries, isRead) where !isRead {
            diagnostics.report(
                "unknown key \(entry.key.quotedForMessage) in \(kind)",
                expected: knownKeys.isEmpty ? "no keys" : "one of \(knownKeys.joined(separator: ", "))",
                suggestion: diagnostics.suggestion(for: entry.key, among: knownKeys),
                at: entry.keyPosition)
        }
        return diagnostics.reportCount == reportCountBefore
    }

    private func read<Value>(_ entry: ConfigEntry, _ format: ConfigFormat<Value>) -> Value? {
        format.read(
            ConfigValue(
                node: entry.value, subject: entry.key.quotedForMessage, expectation: format.expectation,
                diagnostics: diagnostics))
    }
}
