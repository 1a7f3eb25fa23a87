/// Reads field lines up to the empty line: the part that request heads, response heads and trailer sections share
/// (RFC 9112 §5).
///
/// Resumable: it remembers where the unfinished line begins and how far that line was searched for its end, so that
/// however small the pieces, every byte is looked at a bounded number of times. A line is judged only once it is
/// complete, so the outcome does not depend on how the bytes were split.
struct HTTP1FieldSection {
    enum Outcome: Equatable {
        /// The section ends before `end`.
        case complete(end: Int)
        case incomplete
        case malformed(HTTPMessageError)
    }

    /// Offset of the first byte of the line being read.
    private(set) var lineStart: Int
    /// No LF stands between `lineStart` and here.
    private var searched: Int

    /// Bytes that stand before a section at least, so that names can be loaded from behind.
    static let bytesBefore = 8

    /// - Parameter start: where the first line begins, `bytesBefore` at least.
    init(start: Int) {
        precondition(start >= Self.bytesBefore, "a field section has bytes before it")
        lineStart = start
        searched = start
    }

    /// Reads on. `bytes` begins where it began at the first call and holds at least what it held at the last one.
    ///
    /// - Parameter fieldsMax: fields that `table` may hold.
    mutating func parse(
        _ bytes: ByteSlice, fieldsMax: Int, into table: inout HeaderTable, noting fields: inout HTTP1FramingFields
    ) -> Outcome {
        if searched > lineStart {
            guard let lineFeed = bytes.firstIndex(of: .lineFeed, from: searched) else {
                searched = bytes.count
                return .incomplete
            }
            searched = lineFeed
        }

        let names = HeaderNameIndex.shared
        var start = lineStart
        var scanner = HTTP1LineScanner(bytes, from: start)
        while true {
            if bytes.pair(at: start) == .carriageReturnLineFeed {
                lineStart = start &+ 2
                return .complete(end: start &+ 2)
            }
            let lineEnd = scanner.endOfLine(from: start)
            guard bytes.pair(at: lineEnd) == .carriageReturnLineFeed else { return refuse(lineAt: start, in: bytes) }
            guard let colon = bytes.firstIndex(of: UInt8(ascii: ":"), from: start), colon < lineEnd else {
                return refuse(lineAt: start, in: bytes)
            }
            let knownName = names.find(in: bytes, from: start, to: colon)
            if knownName == 0 {
                // A known name is a token because it equals one; any other has to be looked at.
                guard Self.isToken(bytes, from: start, to: colon) else { return refuse(lineAt: start, in: bytes) }
            }

            // Nearly every value stands behind one space and has none behind it; CR, below SP, sorts out empty ones.
            let isCanonical =
                bytes.pair(at: colon) == .colonSpace && bytes[colon &+ 2] > 0x20 && bytes[lineEnd &- 1] > 0x20
            let value = isCanonical ? colon &+ 2..<lineEnd : Self.trim(bytes, from: colon &+ 1, to: lineEnd)

            let index = table.entryCount
            guard index < fieldsMax else { return .malformed(.tooManyHeaders) }
            table.appendParsed(
                HeaderEntry(
                    name: UInt32(truncatingIfNeeded: start), value: UInt32(truncatingIfNeeded: value.lowerBound),
                    valueLength: UInt32(truncatingIfNeeded: value.upperBound &- value.lowerBound),
                    nameLength: UInt16(truncatingIfNeeded: colon &- start), knownName: knownName,
                    flags: isCanonical ? .canonical : []))
            start = lineEnd &+ 2
            if HeaderName.concernsFraming(knownName), let name = HeaderName(rawValue: knownName) {
                if name.isHopByHop { table.insertFlag(.hopByHop, at: index) }
                if let error = fields.note(name, in: bytes, value) {
                    return .malformed(error)
                }
            }
        }
    }

    /// The line at `start` cannot be read: because something is wrong with it if all of it is here, else because it
    /// is not.
    @inline(never)
    private mutating func refuse(lineAt start: Int, in bytes: ByteSlice) -> Outcome {
        lineStart = start
        searched = max(searched, start)
        guard let lineFeed = bytes.firstIndex(of: .lineFeed, from: searched) else {
            searched = bytes.count
            return .incomplete
        }
        return .malformed(Self.error(in: bytes.prefix(lineFeed + 1), from: start))
    }

    /// The bytes from `start` to `end` without the blanks around them; an empty range lies at `end`.
    @inline(never)
    private static func trim(_ bytes: ByteSlice, from start: Int, to end: Int) -> Range<Int> {
        var (start, end) = (start, end)
        while start < end, ASCII.isBlank(bytes[start]) { start += 1 }
        while end > start, ASCII.isBlank(bytes[end - 1]) { end -= 1 }
        return start..<end
    }

    @inline(__always)
    private static func isToken(_ bytes: ByteSlice, from start: Int, to end: Int) -> Bool {
        // Longer names do not fit in an entry, and nobody means well by them.
        guard start < end, end &- start <= nameBytesMax else { return false }
        var index = start
        while index < end {
            if !ASCII.isToken(bytes[index]) { return false }
            index &+= 1
        }
        return true
    }

    /// What is wrong with the last line of `bytes`, which begins at `start` and ends with the only LF behind it.
    private static func error(in bytes: ByteSlice, from start: Int) -> HTTPMessageError {
        var index = start
        while ASCII.isToken(bytes[index]) { index += 1 }
        switch bytes[index] {
        case UInt8(ascii: ":"):
            if index == start { return .emptyName }
            if index - start > nameBytesMax { return .headersTooLarge }
            while ASCII.isFieldValue(bytes[index]) { index += 1 }
            return lineEndError(in: bytes, at: index) ?? .controlByte
        case UInt8(ascii: " "), .tab:
            if index == start { return .lineFolding }
            while ASCII.isBlank(bytes[index]) { index += 1 }
            return bytes[index] == UInt8(ascii: ":") ? .spaceBeforeColon : .invalidName
        default: return lineEndError(in: bytes, at: index) ?? .invalidName
        }
    }

    /// What is wrong with a line whose good part ends at `index`, nil when that is no end of a line at all.
    static func lineEndError(in bytes: ByteSlice, at index: Int) -> HTTPMessageError? {
        guard index < bytes.count else { return nil }
        switch bytes[index] {
        case .lineFeed: return .bareLineFeed
        case .carriageReturn:
            return bytes.pair(at: index) == .carriageReturnLineFeed ? .missingColon : .bareCarriageReturn
        default: return nil
        }
    }

    /// Bytes of a field name.
    private static let nameBytesMax = 1_024
}

extension UInt16 {
    /// CRLF as `ByteSlice.pair(at:)` reads it.
    @inline(__always)
    static var carriageReturnLineFeed: UInt16 { 0x0A0D }

    /// A colon and a space.
    @inline(__always)
    static var colonSpace: UInt16 { 0x203A }
}

extension UInt8 {
    static var lineFeed: UInt8 { 0x0A }
    static var carriageReturn: UInt8 { 0x0D }
    static var tab: UInt8 { 0x09 }
}
