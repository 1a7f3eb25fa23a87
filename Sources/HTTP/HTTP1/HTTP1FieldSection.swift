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
        case malformed(HTTP1Error)
    }

    /// Offset of the first byte of the line being read.
    private(set) var lineStart: Int
    /// No LF stands between `lineStart` and here.
    private var searched: Int

    init(start: Int) {
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
        while true {
            let start = lineStart
            guard start < bytes.count else { return .incomplete }

            if bytes[start] == .carriageReturn {
                guard start &+ 1 < bytes.count, bytes[start &+ 1] == .lineFeed else {
                    return refuse(.bareCarriageReturn, in: bytes)
                }
                lineStart = start &+ 2
                return .complete(end: start &+ 2)
            }

            guard let colon = bytes.firstIndex(of: UInt8(ascii: ":"), from: start) else {
                return refuse(Self.nameError(bytes, from: start, to: bytes.count), in: bytes)
            }
            let nameLength = colon &- start
            let knownName = names.findRaw(in: bytes, at: start, length: nameLength)
            if knownName == 0 {
                // A known name is a token because it equals one; any other has to be looked at.
                guard nameLength > 0, Self.isToken(bytes, from: start, to: colon) else {
                    return refuse(Self.nameError(bytes, from: start, to: colon), in: bytes)
                }
                guard nameLength <= Int(UInt16.max) else { return refuse(.headersTooLarge, in: bytes) }
            }

            var valueStart = colon &+ 1
            while valueStart < bytes.count, ASCII.isBlank(bytes[valueStart]) { valueStart &+= 1 }
            let lineEnd = Self.endOfValue(bytes, from: valueStart)
            guard lineEnd &+ 1 < bytes.count, bytes[lineEnd] == .carriageReturn, bytes[lineEnd &+ 1] == .lineFeed else {
                return refuse(Self.valueError(bytes, at: lineEnd), in: bytes)
            }
            var valueEnd = lineEnd
            while valueEnd > valueStart, ASCII.isBlank(bytes[valueEnd &- 1]) { valueEnd &-= 1 }

            guard table.entryCount < fieldsMax else { return .malformed(.tooManyHeaders) }
            let isCanonical =
                valueStart == colon &+ 2 && valueEnd == lineEnd && bytes[colon &+ 1] == UInt8(ascii: " ")
            table.appendParsed(
                HeaderEntry(
                    name: UInt32(truncatingIfNeeded: start), value: UInt32(truncatingIfNeeded: valueStart),
                    valueLength: UInt32(truncatingIfNeeded: valueEnd &- valueStart),
                    nameLength: UInt16(truncatingIfNeeded: nameLength), knownName: knownName,
                    flags: isCanonical ? .canonical : []))
            if HeaderName.concernsFraming(knownName), let name = HeaderName(rawValue: knownName) {
                if name.isHopByHop { table.insertFlag(.hopByHop, at: table.entryCount &- 1) }
                if let error = fields.note(name, bytes[valueStart..<valueEnd], at: valueStart) {
                    return .malformed(error)
                }
            }
            lineStart = lineEnd &+ 2
            searched = lineStart
        }
    }

    /// The line at `lineStart` cannot be read: because of `error` if all of it is here, else because it is not.
    @inline(never)
    private mutating func refuse(_ error: HTTP1Error, in bytes: ByteSlice) -> Outcome {
        if bytes.firstIndex(of: .lineFeed, from: searched) != nil { return .malformed(error) }
        searched = bytes.count
        return .incomplete
    }

    /// Index of the first byte that ends a value or may not stand in one; `bytes.count` when there is none.
    @inline(__always)
    private static func endOfValue(_ bytes: ByteSlice, from start: Int) -> Int {
        var offset = start
        while offset < bytes.count {
            let hits = bytes.vector(at: offset).controls
            if hits.isEmpty {
                offset &+= 16
                continue
            }
            offset &+= hits.firstIndex
            guard offset < bytes.count else { break }
            if bytes[offset] != .tab { return offset }
            offset &+= 1
        }
        return bytes.count
    }

    @inline(__always)
    private static func isToken(_ bytes: ByteSlice, from start: Int, to end: Int) -> Bool {
        var index = start
        while index < end {
            if !ASCII.isToken(bytes[index]) { return false }
            index &+= 1
        }
        return true
    }

    /// What is wrong with the line that begins at `start` and has no good name before `end`.
    private static func nameError(_ bytes: ByteSlice, from start: Int, to end: Int) -> HTTP1Error {
        if ASCII.isBlank(bytes[start]) { return .lineFolding }
        var index = start
        while index < end, ASCII.isToken(bytes[index]) { index += 1 }
        if index == end { return index == start && end < bytes.count ? .emptyName : .missingColon }
        let byte = bytes[index]
        if byte == .carriageReturn {
            return index + 1 < bytes.count && bytes[index + 1] == .lineFeed ? .missingColon : .bareCarriageReturn
        }
        if byte == .lineFeed { return .bareLineFeed }
        if ASCII.isBlank(byte) {
            var next = index
            while next < bytes.count, ASCII.isBlank(bytes[next]) { next += 1 }
            return next < bytes.count && bytes[next] == UInt8(ascii: ":") ? .spaceBeforeColon : .invalidName
        }
        return .invalidName
    }

    /// What is wrong with a value that stops at `index` without CRLF.
    static func valueError(_ bytes: ByteSlice, at index: Int) -> HTTP1Error {
        guard index < bytes.count else { return .headersTooLarge }
        switch bytes[index] {
        case .lineFeed: return .bareLineFeed
        case .carriageReturn: return .bareCarriageReturn
        default: return .controlByte
        }
    }
}

extension UInt8 {
    static var lineFeed: UInt8 { 0x0A }
    static var carriageReturn: UInt8 { 0x0D }
    static var tab: UInt8 { 0x09 }
}
