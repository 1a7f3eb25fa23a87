internal import CRE2
internal import Config
internal import HTTP

/// The regular expressions of a route table, compiled for one thread.
///
/// Matching fills a cache of states behind a lock that all users of an expression share, so every worker has its own
/// copies: then the lock is free whenever it is asked for, and its cache line stays with the worker.
@safe
package final class RouteRegexes: @unchecked Sendable {  // made by one thread, then used by one worker
    private let patterns: [RegexPattern]
    private let programs: UnsafeMutablePointer<OpaquePointer?>

    /// - Parameter compilesNow: false leaves each expression until it is used, which is for those who use few of them
    init(_ patterns: [RegexPattern], compilesNow: Bool) {
        self.patterns = patterns
        unsafe programs = .allocate(capacity: max(patterns.count, 1))
        unsafe programs.initialize(repeating: nil, count: max(patterns.count, 1))
        if compilesNow { for index in patterns.indices { unsafe compile(index) } }
    }

    deinit {
        for index in patterns.indices { unsafe rw_re2_free(programs[index]) }
        unsafe programs.deallocate()
    }

    /// Whether an expression matches the whole text.
    func matches(_ index: Int, _ text: ByteSlice) -> Bool {
        let program = unsafe program(index)
        return text.withSpan { span in
            unsafe span.withUnsafeBytes { bytes in
                unsafe rw_re2_matches(program, Self.characters(bytes), bytes.count)
            }
        }
    }

    /// Writes a path with something else in the place of each part that an expression matches, from left to right;
    /// a match of nothing counts where no other one ended. Behind `replacementsMax` of them the path stays as it is.
    /// A result that does not begin with a slash gets one.
    func replace(_ index: Int, in text: ByteSlice, with substitution: RouteSubstitution, to out: inout ByteWriter) {
        let program = unsafe program(index)
        var path = PathWriter(out: out)
        var groups = InlineArray<10, rw_re2_range>(repeating: rw_re2_range(start: -1, end: -1))
        // Behind the last match, and what is written so far.
        var position = 0
        var copied = 0
        var lastEnd = -1
        var left = Self.replacementsMax
        while position <= text.count, left > 0 {
            let isFound = text.withSpan { span in
                unsafe span.withUnsafeBytes { bytes in
                    var span = groups.mutableSpan
                    return unsafe span.withUnsafeMutableBufferPointer { groups in
                        unsafe rw_re2_find(
                            program, Self.characters(bytes), bytes.count, position, groups.baseAddress,
                            Int32(substitution.rangeCount))
                    }
                }
            }
            guard isFound else { break }
            let match = groups[0].start..<groups[0].end
            if match.isEmpty, match.lowerBound == lastEnd {
                // Right behind the last match: on by one byte, which the next copy takes along.
                position += 1
                continue
            }
            path.append(text[copied..<match.lowerBound])
            substitution.write(text, groups: groups, to: &path)
            left -= 1
            copied = match.upperBound
            lastEnd = match.upperBound
            position = match.isEmpty ? match.upperBound + 1 : match.upperBound
        }
        path.append(text[copied..<text.count])
        if !path.isStarted { path.append(ByteSlice("/")) }
        out = path.out
    }

    /// Each may look at all of the rest of a path, so this keeps the work in proportion to its length.
    private static let replacementsMax = 64

    @unsafe
    private func program(_ index: Int) -> OpaquePointer {
        precondition(index < patterns.count, "an expression of this table")
        if let program = unsafe programs[index] { return unsafe program }
        return unsafe compile(index)
    }

    @discardableResult @inline(never) @unsafe
    private func compile(_ index: Int) -> OpaquePointer {
        var problem = rw_re2_problem()
        let bytes = patterns[index].text.utf8.map { CChar(bitPattern: $0) }
        guard
            let program = unsafe rw_re2_compile(bytes, bytes.count, Int64(RegexPattern.memoryMax), &problem)
        else { preconditionFailure("a pattern of a configuration compiles") }
        unsafe programs[index] = program
        return unsafe program
    }

    @unsafe @inline(__always)
    private static func characters(_ bytes: UnsafeRawBufferPointer) -> UnsafePointer<CChar>? {
        unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
    }
}

/// What goes in the place of a match.
struct RouteSubstitution: Sendable {
    private enum Part: Sendable {
        case text(RouteText)
        case group(Int)
    }

    private let parts: RouteArray<Part>
    /// The match and the groups up to the highest that is asked for.
    let rangeCount: Int

    init(_ substitution: RegexSubstitution, in memory: RouteMemory) {
        parts = memory.store(
            substitution.parts.map { part in
                switch part {
                case .text(let text): .text(memory.store(text))
                case .group(let group): .group(group)
                }
            })
        rangeCount = substitution.groupMax + 1
    }

    fileprivate func write(_ text: ByteSlice, groups: borrowing InlineArray<10, rw_re2_range>, to out: inout PathWriter)
    {
        for index in parts.indices {
            switch parts[index] {
            case .text(let literal): out.append(literal.bytes)
            case .group(let group):
                let range = groups[group]
                if range.start >= 0 { out.append(text[range.start..<range.end]) }
            }
        }
    }
}

/// Sees to it that what is written begins with a slash.
private struct PathWriter {
    var out: ByteWriter
    private(set) var isStarted = false

    init(out: ByteWriter) { self.out = out }

    mutating func append(_ bytes: ByteSlice) {
        if !isStarted, let first = bytes.first {
            isStarted = true
            if first != UInt8(ascii: "/") { out.append(UInt8(ascii: "/")) }
        }
        out.append(bytes)
    }
}

/// Numbers the different patterns of a table in the order in which they come.
struct RegexNumbers {
    private(set) var patterns: [RegexPattern] = []
    private var numbers: [RegexPattern: Int] = [:]

    mutating func number(of pattern: RegexPattern) -> Int {
        if let number = numbers[pattern] { return number }
        numbers[pattern] = patterns.count
        patterns.append(pattern)
        return patterns.count - 1
    }
}
