/// A place in a configuration file. Both numbers start at 1; columns count Unicode scalars, as editors do.
public struct ConfigPosition: Sendable, Hashable, Comparable {
    public let line: Int
    public let column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The start of the file: for errors about the file itself, and for values that no file holds.
    public static let start = ConfigPosition(line: 1, column: 1)

    public static func < (left: ConfigPosition, right: ConfigPosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// Where a value of the model was written, kept for the errors of later stages.
///
/// All origins are equal: a listener that moved down a few lines is still the same listener to a reload.
/// This lets model types carry their place and keep the synthesized `==`.
package struct ConfigOrigin: Sendable, Hashable {
    package let position: ConfigPosition

    package init(_ position: ConfigPosition = .start) {
        self.position = position
    }

    package static func == (_: ConfigOrigin, _: ConfigOrigin) -> Bool { true }

    package func hash(into _: inout Hasher) {}
}
