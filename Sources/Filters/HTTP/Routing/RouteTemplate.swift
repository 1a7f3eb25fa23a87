internal import Config
internal import HTTP

/// A path template, compiled. Matching goes through the path once.
struct RouteTemplate: Sendable {
    private enum Piece: Sendable {
        case literal(RouteText)
        case segment
        case rest
    }

    private struct Variable: Sendable {
        let firstPiece: Int
        let endPiece: Int
    }

    private let pieces: RouteArray<Piece>
    private let variables: RouteArray<Variable>
    /// nil without wildcards.
    private let lastWildcard: Int?
    /// Bytes of text behind the last wildcard.
    private let tailCount: Int

    init(_ template: PathTemplate, in memory: RouteMemory) {
        pieces = memory.store(
            template.pieces.map { piece in
                switch piece {
                case .literal(let text): .literal(memory.store(text))
                case .segment: .segment
                case .rest: .rest
                }
            })
        variables = memory.store(
            template.variables.map { Variable(firstPiece: $0.pieces.lowerBound, endPiece: $0.pieces.upperBound) })
        lastWildcard = template.pieces.lastIndex { if case .literal = $0 { false } else { true } }
        tailCount = template.pieces[((lastWildcard ?? -1) + 1)...].reduce(0) { $0 + $1.literalCount }
    }

    func matches(_ path: ByteSlice) -> Bool { walk(path) { _, _, _ in } }

    /// What each variable stands for in a path that matches.
    func captures(in path: ByteSlice) -> TemplateCaptures? {
        var captures = TemplateCaptures()
        let matches = walk(path) { piece, start, end in
            for index in variables.indices {
                if variables[index].firstPiece == piece { captures.starts[index] = start }
                if variables[index].endPiece == piece &+ 1 { captures.ends[index] = end }
            }
        }
        return matches ? captures : nil
    }

    /// - Parameter body: gets the number of each piece, and where it starts and ends
    @inline(__always)
    private func walk(_ path: ByteSlice, _ body: (Int, Int, Int) -> Void) -> Bool {
        // What ends a wildcard: a slash, and for the last one the text at the end of the path.
        let tailStart = path.count &- tailCount
        var position = 0
        for index in pieces.indices {
            let start = position
            switch pieces[index] {
            case .literal(let text):
                let end = start &+ text.bytes.count
                guard end <= path.count, path[start..<end] == text.bytes else { return false }
                position = end
            case .segment:
                let slash = path.firstIndex(of: UInt8(ascii: "/"), from: start) ?? path.count
                position = index == lastWildcard ? tailStart : slash
                guard position > start, position <= slash else { return false }
            case .rest:
                guard tailStart >= start else { return false }
                position = tailStart
            }
            body(index, start, position)
        }
        return position == path.count
    }
}

/// Where the variables of a template start and end in a path.
struct TemplateCaptures {
    fileprivate(set) var starts = InlineArray<16, Int>(repeating: 0)
    fileprivate(set) var ends = InlineArray<16, Int>(repeating: 0)
}

/// A path made from text and the variables of a template.
struct RouteTemplateRewrite: Sendable {
    private enum Part: Sendable {
        case text(RouteText)
        case variable(Int)
    }

    private let template: RouteTemplate
    private let parts: RouteArray<Part>
    /// Bytes of text, and how often a variable follows.
    private let textCount: Int
    private let variableCount: Int

    init(_ rewrite: PathTemplateRewrite, of template: PathTemplate, in memory: RouteMemory) {
        precondition(template.variables.count <= PathTemplate.variablesMax, "captures have a place for each variable")
        self.template = RouteTemplate(template, in: memory)
        textCount = rewrite.parts.reduce(0) { if case .text(let text) = $1 { $0 + text.utf8.count } else { $0 } }
        variableCount = rewrite.parts.count { if case .variable = $0 { true } else { false } }
        parts = memory.store(
            rewrite.parts.map { part in
                switch part {
                case .text(let text): .text(memory.store(text))
                case .variable(let number): .variable(number)
                }
            })
    }

    /// Bytes that `write` needs at most.
    func room(for path: ByteSlice) -> Int { textCount + variableCount * path.count }

    /// - Parameter path: one that the template matches
    func write(for path: ByteSlice, to out: inout ByteWriter) {
        guard let captures = template.captures(in: path) else { return out.append(path) }
        for index in parts.indices {
            switch parts[index] {
            case .text(let text): out.append(text.bytes)
            case .variable(let number): out.append(path[captures.starts[number]..<captures.ends[number]])
            }
        }
    }
}

extension PathTemplate.Piece {
    fileprivate var literalCount: Int { if case .literal(let text) = self { text.utf8.count } else { 0 } }
}

extension PathTemplate {
    /// What every path that matches starts with.
    var literalPrefix: String {
        var prefix = ""
        for piece in pieces {
            guard case .literal(let text) = piece else { break }
            prefix += text
        }
        return prefix
    }
}
