extension ConfigFormat {
    /// One of several words, each with its value; two words may share one.
    public static func choice(_ choices: KeyValuePairs<String, Value>) -> ConfigFormat {
        ConfigFormat("one of \(choices.map(\.key).joined(separator: ", "))") { value in
            guard let text = value.text else { return nil }
            guard let choice = choices.first(where: { $0.key == text }) else {
                value.refuse(suggestion: value.diagnostics.suggestion(for: text, among: choices.lazy.map(\.key)))
                return nil
            }
            return choice.value
        }
    }

    /// A list. Items that cannot be read are reported and left out, so that one bad item hides no other.
    ///
    /// - Parameter count: how many items there may be
    public static func list<Item>(
        of item: ConfigFormat<Item>, count: ClosedRange<Int> = 0...Int.max
    ) -> ConfigFormat where Value == [Item] {
        ConfigFormat("a list, each item \(item.expectation)") { value in
            guard case .list(let nodes) = value.node.value else {
                value.refuse()
                return nil
            }
            if !count.contains(nodes.count) {
                let bound =
                    nodes.count < count.lowerBound ? "at least \(count.lowerBound)" : "at most \(count.upperBound)"
                value.diagnostics.report(
                    "\(value.subject) has \(nodes.count) items", expected: bound, at: value.node.position)
            }
            let subject = "an item of \(value.subject)"
            return nodes.compactMap { node in
                item.read(
                    ConfigValue(
                        node: node, subject: subject, expectation: item.expectation, diagnostics: value.diagnostics))
            }
        }
    }

    /// An object with known keys. `read` gets it key by key; unknown keys are reported afterwards.
    ///
    /// - Parameters:
    ///   - kind: what errors call it: `listener`
    ///   - read: returns nil only after reporting an error
    public static func object(_ kind: String, _ read: @escaping (ConfigObject) -> Value?) -> ConfigFormat {
        ConfigFormat("an object") { value in
            guard case .object(let entries) = value.node.value else {
                value.refuse()
                return nil
            }
            let object = ConfigObject(
                entries: entries, kind: kind, at: value.node.position, diagnostics: value.diagnostics)
            let result = read(object)
            object.finish()
            return result
        }
    }
}
