/// One thing wrong with a configuration, at one place.
public struct ConfigError: Error, Sendable, Hashable {
    public let file: String
    public let position: ConfigPosition
    /// What is wrong: `unknown key "adress" in listener`.
    public let problem: String
    /// What was expected, in words that follow "expected": `one of name, address`.
    public let expected: String
    /// What the author may have meant, ready to be written in place of what is there.
    public let suggestion: String?

    public init(
        file: String, position: ConfigPosition, problem: String, expected: String, suggestion: String? = nil
    ) {
        self.file = file
        self.position = position
        self.problem = problem
        self.expected = expected
        self.suggestion = suggestion
    }

    public var line: Int { position.line }
    public var column: Int { position.column }
}

extension ConfigError: CustomStringConvertible {
    /// `FILE:LINE:COLUMN: error: what is wrong; what was expected (did you mean "x"?)`, on one line.
    public var description: String {
        let hint = suggestion.map { " (did you mean \($0.quotedForMessage)?)" } ?? ""
        return "\(file):\(line):\(column): error: \(problem); expected \(expected)\(hint)"
    }
}

extension String {
    /// The most characters of a value that an error repeats.
    private static let messageCharactersMax = 80

    /// In double quotes, on one line and not too long: what a file holds must not be able to forge log lines.
    package var quotedForMessage: String {
        var quoted = "\""
        for scalar in unicodeScalars.prefix(Self.messageCharactersMax) {
            switch scalar {
            case "\"", "\\":
                quoted += "\\\(scalar)"
            case "\n":
                quoted += "\\n"
            case "\r":
                quoted += "\\r"
            case "\t":
                quoted += "\\t"
            default:
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator:
                    quoted += "\\u{\(String(scalar.value, radix: 16))}"
                default:
                    quoted.unicodeScalars.append(scalar)
                }
            }
        }
        if unicodeScalars.dropFirst(Self.messageCharactersMax).first != nil { quoted += "..." }
        return quoted + "\""
    }
}
