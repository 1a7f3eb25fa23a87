/// A path with wildcards and names for them, in the grammar of Envoy's URI templates:
/// `/users/{id}/orders/{order=**}`.
///
/// Wildcards are whole segments: `*` is one that is not empty, `**` is all that follows, nothing too. `{name}` is
/// `{name=*}`; what stands behind `=` may be several segments with wildcards of their own. Behind `**` no other
/// wildcard follows, and only at the very end a wildcard may have text behind it in its segment (`/**.mpd`). So
/// matching never has to try twice.
package struct PathTemplate: Sendable, Equatable {
    package enum Piece: Sendable, Equatable {
        case literal(String)
        /// At least one byte, none of them a slash.
        case segment
        /// Any bytes, none at all too.
        case rest
    }

    package struct Variable: Sendable, Equatable {
        package let name: String
        /// What it stands for, in `pieces`.
        package let pieces: Range<Int>
    }

    package let text: String
    package private(set) var pieces: [Piece] = []
    package private(set) var variables: [Variable] = []

    package static let variablesMax = 16
    package static let nameBytesMax = 32

    package init(parsing text: String) throws(ConfigProblem) {
        self.text = text
        guard text.utf8.first == UInt8(ascii: "/") else { throw ConfigProblem("which does not start with /") }
        var parser = Parser(text)
        try parser.parse()
        pieces = parser.pieces
        variables = parser.variables
    }

    fileprivate struct Parser {
        private let characters: [Character]
        private var index = 1
        /// Text since the last piece.
        private var literal = "/"
        private var hasRest = false
        fileprivate var pieces: [Piece] = []
        fileprivate var variables: [Variable] = []

        init(_ text: String) { characters = Array(text) }

        mutating func parse() throws(ConfigProblem) {
            while index < characters.count {
                if characters[index] == "{" { try variable() } else { try segment(endingAt: []) }
                guard index < characters.count else { break }
                guard characters[index] == "/" else { return try suffix() }
                literal.append("/")
                index += 1
            }
            endLiteral()
        }

        /// A wildcard, or text up to the next slash or one of `ends`.
        private mutating func segment(endingAt ends: Set<Character>) throws(ConfigProblem) {
            guard characters[index] == "*" else { return try text(endingAt: ends) }
            guard !hasRest else { throw problem("which has a wildcard behind **") }
            endLiteral()
            index += 1
            hasRest = index < characters.count && characters[index] == "*"
            if hasRest { index += 1 }
            pieces.append(hasRest ? .rest : .segment)
        }

        private mutating func text(endingAt ends: Set<Character>) throws(ConfigProblem) {
            let start = index
            while index < characters.count, characters[index] != "/", !ends.contains(characters[index]) {
                let character = characters[index]
                guard character != "*", character != "{", character != "}" else {
                    throw problem("which has a \(character) within a segment")
                }
                guard character.isPathCharacter else { throw problem("which has what no path has") }
                literal.append(character)
                index += 1
            }
            if index == start { throw problem("which has an empty segment") }
        }

        private mutating func variable() throws(ConfigProblem) {
            let start = index
            guard let end = characters[start...].firstIndex(of: "}") else { throw problem("which has a { without a }") }
            let nameEnd = characters[start..<end].firstIndex(of: "=") ?? end
            let name = String(characters[start + 1..<nameEnd])
            guard name.isTemplateName else {
                throw problem("which has a variable whose name is not 1 to \(nameBytesMax) letters, digits and _")
            }
            guard !variables.contains(where: { $0.name == name }) else {
                throw problem("which has the variable \(name.quotedForMessage) twice")
            }
            guard variables.count < variablesMax else { throw problem("which has more than \(variablesMax) variables") }
            endLiteral()
            let first = pieces.count
            if nameEnd == end {
                guard !hasRest else { throw problem("which has a wildcard behind **") }
                pieces.append(.segment)
            } else {
                index = nameEnd + 1
                if index == end { throw problem("which has a variable that stands for nothing") }
                try segment(endingAt: ["}"])
                while index < end {
                    guard characters[index] == "/", index + 1 < end else { throw problem("which has half a segment") }
                    literal.append("/")
                    index += 1
                    try segment(endingAt: ["}"])
                }
                endLiteral()
            }
            index = end + 1
            variables.append(Variable(name: name, pieces: first..<pieces.count))
        }

        /// Text behind the last wildcard, in its segment.
        private mutating func suffix() throws(ConfigProblem) {
            try text(endingAt: [])
            guard index == characters.count else {
                throw problem("which goes on behind a wildcard with text behind it")
            }
            endLiteral()
        }

        private mutating func endLiteral() {
            if !literal.isEmpty { pieces.append(.literal(literal)) }
            literal = ""
        }

        private func problem(_ detail: String) -> ConfigProblem {
            ConfigProblem("\(detail), at character \(index + 1)")
        }
    }
}

/// A path made of text and of what the variables of a template stood for: `/v2/{order}/{id}`.
package struct PathTemplateRewrite: Sendable, Equatable {
    package enum Part: Sendable, Equatable {
        case text(String)
        /// By its number in the template.
        case variable(Int)
    }

    package let parts: [Part]

    /// - Parameter names: the variables of the template
    package init(parsing text: String, variables names: [String]) throws(ConfigProblem) {
        guard text.utf8.first == UInt8(ascii: "/") else { throw ConfigProblem("which does not start with /") }
        var parts: [Part] = []
        var rest = text[...]
        while let start = rest.firstIndex(of: "{") {
            if start != rest.startIndex { parts.append(.text(try Self.literal(rest[..<start]))) }
            guard let end = rest[start...].firstIndex(of: "}") else { throw ConfigProblem("which has a { without a }") }
            let name = String(rest[rest.index(after: start)..<end])
            guard let number = names.firstIndex(of: name) else {
                throw ConfigProblem(
                    "which has a variable that the match has not, \(name.quotedForMessage)",
                    suggestion: nearest(to: name, among: names))
            }
            parts.append(.variable(number))
            rest = rest[rest.index(after: end)...]
        }
        if !rest.isEmpty { parts.append(.text(try Self.literal(rest))) }
        self.parts = parts
    }

    private static func literal(_ text: Substring) throws(ConfigProblem) -> String {
        guard text.allSatisfy({ $0.isPathCharacter && $0 != "*" && $0 != "}" }) else {
            throw ConfigProblem("which has what no path has besides its variables")
        }
        return String(text)
    }
}

private let nameBytesMax = PathTemplate.nameBytesMax
private let variablesMax = PathTemplate.variablesMax

extension String {
    fileprivate var isTemplateName: Bool {
        guard (1...nameBytesMax).contains(utf8.count), first?.isLetter == true else { return false }
        return allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}
