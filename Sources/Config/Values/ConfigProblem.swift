/// Why a text does not stand for a value, as parsers of values throw it. The reader adds the key and what was expected.
public struct ConfigProblem: Error, Sendable, Hashable {
    /// Words that follow `"key" is "value", `, such as `a number without a unit`; nil when the expectation says enough.
    public let detail: String?
    /// What the author may have meant.
    public let suggestion: String?

    public init(_ detail: String? = nil, suggestion: String? = nil) {
        self.detail = detail
        self.suggestion = suggestion
    }
}
