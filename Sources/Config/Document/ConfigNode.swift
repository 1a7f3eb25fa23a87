/// A value in a configuration document, with the place where it was written.
///
/// Two nodes are equal when they say the same, wherever they stand: a reload compares nodes to find out what changed.
/// The order of keys and the quotes around a scalar count as a difference, because both can carry meaning.
public struct ConfigNode: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case scalar(ConfigScalar)
        case list([ConfigNode])
        case object([ConfigEntry])
    }

    public let value: Value
    /// The first character of the value; for an alias, of the value it stands for.
    public let position: ConfigPosition
    /// Where a scalar stands in the text, in Unicode scalars; nil for lists, objects and what no text holds.
    let extent: Range<Int>?

    public init(_ value: Value, at position: ConfigPosition = .start) {
        self.init(value, at: position, extent: nil)
    }

    init(_ value: Value, at position: ConfigPosition, extent: Range<Int>?) {
        self.value = value
        self.position = position
        self.extent = extent
    }

    public static func == (left: ConfigNode, right: ConfigNode) -> Bool { left.value == right.value }
}

/// Text as the document has it: `5`, `true` and `10s` are not interpreted before a reader asks for a type.
public struct ConfigScalar: Sendable, Equatable {
    public let text: String
    /// Written in quotes, as a block (`|`, `>`) or with the tag `!!str`: always text, never a number or null.
    public let isQuoted: Bool

    public init(_ text: String, isQuoted: Bool = false) {
        self.text = text
        self.isQuoted = isQuoted
    }

    /// Nothing written, or YAML's words for nothing.
    public var isNull: Bool {
        !isQuoted && (text.isEmpty || text == "~" || text == "null" || text == "Null" || text == "NULL")
    }
}

/// A key of an object and its value. Keys are unique within an object.
public struct ConfigEntry: Sendable, Equatable {
    public let key: String
    public let keyPosition: ConfigPosition
    public let value: ConfigNode

    public init(key: String, at keyPosition: ConfigPosition = .start, value: ConfigNode) {
        self.key = key
        self.keyPosition = keyPosition
        self.value = value
    }

    public static func == (left: ConfigEntry, right: ConfigEntry) -> Bool {
        left.key == right.key && left.value == right.value
    }
}

extension ConfigNode {
    public var isNull: Bool {
        if case .scalar(let scalar) = value { scalar.isNull } else { false }
    }

    /// An empty object: the configuration of a filter that was named without one.
    package static func emptyObject(at position: ConfigPosition) -> ConfigNode {
        ConfigNode(.object([]), at: position)
    }

    /// The node as an error shows it: `"text"`, `empty`, `a list` or `an object`.
    var described: String {
        switch value {
        case .scalar(let scalar): scalar.isNull ? "empty" : scalar.text.quotedForMessage
        case .list: "a list"
        case .object: "an object"
        }
    }
}
