internal import Config

/// Takes text with operators apart: `%NAME%`, `%NAME(ARGUMENT)%`, each perhaps with `:LENGTH` before the last
/// percent sign, and `%%`.
struct CommandParser {
    enum Part: Equatable {
        case literal(String)
        case command(name: String, argument: String?, bytesMax: Int?)
    }

    private var rest: Substring

    init(_ text: String) { rest = text[...] }

    /// The next part, nil at the end.
    mutating func next() throws(ConfigProblem) -> Part? {
        guard let first = rest.first else { return nil }
        guard first == "%" else {
            let end = rest.firstIndex(of: "%") ?? rest.endIndex
            defer { rest = rest[end...] }
            return .literal(String(rest[..<end]))
        }
        rest = rest.dropFirst()
        if rest.first == "%" {
            rest = rest.dropFirst()
            return .literal("%")
        }
        return try command()
    }

    private mutating func command() throws(ConfigProblem) -> Part {
        let name = String(rest.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") })
        let shown = "%" + rest.prefix(24)
        rest = rest.dropFirst(name.count)
        guard !name.isEmpty else {
            throw ConfigProblem("where \(shown.quotedForMessage) begins no operator: they have capital letters")
        }
        var argument: String?
        if rest.first == "(" {
            // An argument may have percent signs, as a time format does, but no parenthesis.
            guard let end = rest.firstIndex(of: ")") else {
                throw ConfigProblem("where the argument of \(shown.quotedForMessage) has no end")
            }
            argument = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
        }
        var bytesMax: Int?
        if rest.first == ":" {
            let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            guard let length = Int(digits), length > 0 else {
                throw ConfigProblem("where \(shown.quotedForMessage) has a length that is no number from 1")
            }
            bytesMax = length
            rest = rest.dropFirst(1 + digits.count)
        }
        guard rest.first == "%" else {
            throw ConfigProblem("where \(shown.quotedForMessage) does not end with a percent sign")
        }
        rest = rest.dropFirst()
        return .command(name: name, argument: argument, bytesMax: bytesMax)
    }
}
