/// A node on its way to becoming a value: what a format reads and where it reports.
public struct ConfigValue {
    public let node: ConfigNode
    /// What errors call it: `"idle_timeout"`, `an item of "allow"`.
    public let subject: String
    /// What errors say was expected.
    public let expectation: String
    public let diagnostics: Diagnostics

    public init(node: ConfigNode, subject: String, expectation: String, diagnostics: Diagnostics) {
        self.node = node
        self.subject = subject
        self.expectation = expectation
        self.diagnostics = diagnostics
    }

    /// Reports that this is not what was expected: `"weight" is "many"; expected a whole number`.
    ///
    /// - Parameters:
    ///   - detail: words that follow the value, such as `which has no port`
    ///   - suggestion: what the author may have meant
    public func refuse(_ detail: String? = nil, suggestion: String? = nil) {
        let shown = detail.map { "\(node.described), \($0)" } ?? node.described
        diagnostics.report("\(subject) is \(shown)", expected: expectation, suggestion: suggestion, at: node.position)
    }

    /// The text of a scalar, quoted or not; refuses lists, objects and null.
    public var text: String? {
        guard case .scalar(let scalar) = node.value, !scalar.isNull else {
            refuse()
            return nil
        }
        return scalar.text
    }

    /// The text of a scalar without quotes, for numbers and truth values: what is in quotes is text.
    public var plainText: String? {
        guard let text else { return nil }
        if case .scalar(let scalar) = node.value, scalar.isQuoted {
            refuse("text in quotes")
            return nil
        }
        return text
    }

    /// Reads the same node in another format.
    public func read<Value>(as format: ConfigFormat<Value>) -> Value? {
        format.read(
            ConfigValue(
                node: node, subject: subject, expectation: format.expectation, diagnostics: diagnostics))
    }
}
