/// How a node is read as a `Value`, and the words that tell a user how to write one.
///
/// A filter uses those that are here (`.string`, `.int(in:)`, `.bool`, `.duration(in:)`, `.size(in:)`, `.percent`,
/// `.address`, `.cidr`, `.choice(_:)`, `.list(of:)`, `.object(_:_:)`) or makes its own, most easily from text:
/// ```swift
/// extension ConfigFormat where Value == Color {
///     static var color: ConfigFormat {
///         .text("a color such as #a0b1c2") { text throws(ConfigProblem) in try Color(parsing: text) }
///     }
/// }
/// ```
/// A format that returns nil has reported why.
public struct ConfigFormat<Value> {
    /// Follows the word "expected" in errors: `a whole number from 1 to 10`.
    public let expectation: String
    let read: (ConfigValue) -> Value?

    /// - Parameter read: returns nil only after reporting an error, as `ConfigValue.refuse` and its readers do
    public init(_ expectation: String, read: @escaping (ConfigValue) -> Value?) {
        self.expectation = expectation
        self.read = read
    }

    /// A format of scalars: `parse` gets the text and throws what is wrong with it.
    public static func text(
        _ expectation: String, _ parse: @escaping (String) throws(ConfigProblem) -> Value
    ) -> ConfigFormat {
        ConfigFormat(expectation) { value in
            guard let text = value.text else { return nil }
            do throws(ConfigProblem) {
                return try parse(text)
            } catch {
                value.refuse(error.detail, suggestion: error.suggestion)
                return nil
            }
        }
    }

    /// The same format with other words for what is expected.
    public func expecting(_ expectation: String) -> ConfigFormat {
        ConfigFormat(expectation, read: read)
    }
}
