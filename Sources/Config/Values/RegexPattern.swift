internal import CRE2

/// A regular expression in RE2's syntax that compiles, and takes time in proportion to the text it is matched with.
package struct RegexPattern: Sendable, Hashable {
    package let text: String
    /// Groups in round brackets.
    package let groupCount: Int
    /// What every text starts with that the whole pattern matches, as far as that is known.
    package let literalPrefix: String

    /// Bytes for the program of a pattern and for the states that matching keeps of it.
    package static let memoryMax = 1 << 20
    package static let bytesMax = 4096

    package init(parsing text: String) throws(ConfigProblem) {
        guard !text.isEmpty else { throw ConfigProblem() }
        guard text.utf8.count <= Self.bytesMax else {
            throw ConfigProblem("which is longer than \(Self.bytesMax) bytes")
        }
        var problem = rw_re2_problem()
        let bytes = text.utf8.map { CChar(bitPattern: $0) }
        guard
            let regex = unsafe rw_re2_compile(bytes, bytes.count, Int64(Self.memoryMax), &problem)
        else { throw Self.describe(problem, in: text) }
        groupCount = Int(unsafe rw_re2_group_count(regex))
        literalPrefix = unsafe Self.prefix(of: regex)
        unsafe rw_re2_free(regex)
        self.text = text
    }

    /// Longer ones would tell no more routes apart than these do.
    private static let prefixBytesMax = 128

    @unsafe
    private static func prefix(of regex: OpaquePointer) -> String {
        let bytes = unsafe [CChar](unsafeUninitializedCapacity: prefixBytesMax) { buffer, count in
            count = unsafe rw_re2_prefix(regex, buffer.baseAddress, buffer.count)
        }
        // Half a character could stand at the end; paths have none but ASCII.
        return String(decoding: bytes.lazy.map { UInt8(bitPattern: $0) }.prefix { $0 < 0x80 }, as: UTF8.self)
    }

    private static func describe(_ problem: rw_re2_problem, in text: String) -> ConfigProblem {
        let message = unsafe withUnsafeBytes(of: problem.message) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let offset = problem.offset
        guard offset >= 0 else { return ConfigProblem("which is no regular expression: \(message)") }
        let character = String(decoding: text.utf8.prefix(offset), as: UTF8.self).count + 1
        return ConfigProblem("which is no regular expression: \(message), at character \(character)")
    }
}

/// What goes in the place of what a pattern matched: text, and `\0` to `\9` for the whole match and its groups.
package struct RegexSubstitution: Sendable, Equatable {
    package enum Part: Sendable, Equatable {
        case text(String)
        case group(Int)
    }

    package let parts: [Part]

    package init(parsing text: String) throws(ConfigProblem) {
        var parts: [Part] = []
        var literal = ""
        var isEscape = false
        for (index, character) in text.enumerated() {
            if isEscape {
                guard character.isASCII, let group = character.wholeNumberValue else {
                    throw ConfigProblem("which has a backslash without a digit at character \(index)")
                }
                if !literal.isEmpty { parts.append(.text(literal)) }
                literal = ""
                parts.append(.group(group))
                isEscape = false
            } else if character == "\\" {
                isEscape = true
            } else {
                guard character.isPathCharacter else {
                    throw ConfigProblem("which has what no path has at character \(index + 1)")
                }
                literal.append(character)
            }
        }
        guard !isEscape else { throw ConfigProblem("which ends with a backslash") }
        if !literal.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }

    /// The highest group that it names.
    package var groupMax: Int { parts.map { if case .group(let group) = $0 { group } else { 0 } }.max() ?? 0 }
}

extension Character {
    /// Visible ASCII that stands in paths: neither query nor fragment begins with it.
    var isPathCharacter: Bool {
        guard let value = asciiValue else { return false }
        return (0x21...0x7E).contains(value) && self != "?" && self != "#"
    }
}
