internal import Config
internal import Engine
internal import HTTP

/// Rules about requests for filters: who sends them, and the conditions that routes have.
final class RequestRules: Sendable {
    /// All that it says must hold.
    struct Rule {
        /// The peers of connections; empty for all.
        var sources: [CIDR]
        var match: RouteMatch

        /// `{ sources, match }`, at least one of them.
        static func format(_ diagnostics: Diagnostics) -> ConfigFormat<Rule> {
            let match = RouteMatch.format(diagnostics)
            return ConfigFormat("an object with sources or match") { value in
                guard let object = ConfigObject(value.node, kind: "policy", diagnostics: diagnostics) else {
                    return nil
                }
                _ = object.optional("name", .name)
                let sources = object.optional("sources", .list(of: .cidr, count: ConfigLimits.accessRanges))
                let condition = object.optional("match", match)
                if object.entry("sources") == nil, object.entry("match") == nil {
                    object.reportMissing("\"sources\" or \"match\"", expected: "at least one of them")
                }
                guard object.finish() else { return nil }
                return Rule(sources: sources ?? [], match: condition ?? .all)
            }
        }
    }

    private struct Entry: Sendable {
        let sources: RouteArray<CIDR>
        let conditions: RouteConditions
    }

    private let entries: RouteArray<Entry>
    private let patterns: [RegexPattern]
    private let memory = RouteMemory()

    init(_ rules: [Rule]) {
        var regexes = RegexNumbers()
        let memory = memory
        entries = memory.store(
            rules.map { rule in
                Entry(
                    sources: memory.store(rule.sources),
                    conditions: RouteConditions(rule.match, checksPath: true, in: memory, regexes: &regexes))
            })
        patterns = regexes.patterns
    }

    /// The expressions for one thread.
    func makeRegexes() -> RouteRegexes { RouteRegexes(patterns, compilesNow: true) }

    /// Whether one of the rules fits.
    ///
    /// - Parameter peer: nil, or a Unix socket, is in no range of addresses
    func fit(_ head: borrowing RequestHead, from peer: NetworkAddress?, _ regexes: RouteRegexes) -> Bool {
        let address = peer?.ipBytes.map { IPAddress.v6(UInt128($0.high) << 64 | UInt128($0.low)).unmapped }
        for index in entries.indices {
            guard isIn(entries[index].sources, address) else { continue }
            if entries[index].conditions.firstMismatch(in: head, regexes) == nil { return true }
        }
        return false
    }

    private func isIn(_ ranges: RouteArray<CIDR>, _ address: IPAddress?) -> Bool {
        guard !ranges.isEmpty else { return true }
        guard let address else { return false }
        for index in ranges.indices where ranges[index].contains(address) { return true }
        return false
    }
}
