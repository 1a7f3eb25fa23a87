/// Reads a request line (RFC 9112 §3) into a head.
enum HTTP1RequestLine {
    /// Longer than every registered method.
    static let methodBytesMax = 32
    /// Bytes of a request line besides method and target: two spaces, the version, CRLF.
    static let fixedBytes = 12

    enum Outcome {
        case complete(end: Int)
        /// Bad, or cut short; the caller finds out whether the line is all there.
        case failed(HTTPMessageError)
    }

    /// Reads the line that begins at `start`.
    static func parse(
        _ bytes: ByteSlice, from start: Int, limits: HTTP1Limits, into head: inout RequestHead
    ) -> Outcome {
        let methodEnd = start &+ methodLength(bytes, at: start, into: &head)
        guard methodEnd < bytes.count, bytes[methodEnd] == UInt8(ascii: " "), methodEnd > start else {
            return .failed(methodError(bytes, from: start, to: methodEnd))
        }
        guard methodEnd &- start <= methodBytesMax else { return .failed(.methodTooLong) }

        let targetStart = methodEnd &+ 1
        var queryMark: Int?
        var targetEnd = targetStart
        while targetEnd < bytes.count {
            let stops = bytes.vector(at: targetEnd).targetStops
            if stops == 0 {
                targetEnd &+= 16
                continue
            }
            targetEnd &+= stops.trailingZeroBitCount
            guard targetEnd < bytes.count else { break }
            let byte = bytes[targetEnd]
            if byte == UInt8(ascii: "?") {
                if queryMark == nil { queryMark = targetEnd }
            } else if !ASCII.isTarget(byte) {
                guard limits.acceptsUnencodedTargets, ASCII.isUnwiseTarget(byte) else { break }
            }
            targetEnd &+= 1
        }
        guard targetEnd < bytes.count, bytes[targetEnd] == UInt8(ascii: " "), targetEnd > targetStart else {
            return .failed(targetError(bytes, from: targetStart, to: targetEnd))
        }
        guard targetEnd &- targetStart <= limits.targetBytesMax else { return .failed(.targetTooLong) }

        let versionStart = targetEnd &+ 1
        let lineEnd = versionStart &+ 8
        switch bytes.word(at: versionStart) {
        case http11: head.version = .http11
        case http10: head.version = .http10
        default:
            let error = versionError(bytes, from: versionStart)
            let isPreface = error == .unsupportedVersion && bytes.prefix(targetEnd) == "PRI *"
            return .failed(isPreface && bytes[versionStart &+ 5] == UInt8(ascii: "2") ? .http2Preface : error)
        }
        guard lineEnd &+ 1 < bytes.count, bytes[lineEnd] == .carriageReturn, bytes[lineEnd &+ 1] == .lineFeed else {
            return .failed(lineEndError(bytes, at: lineEnd))
        }
        if head.version == .http10, !limits.acceptsHTTP10 { return .failed(.http10NotAccepted) }

        let error = HTTP1RequestTarget.parse(
            bytes, target: targetStart..<targetEnd, queryMark: queryMark, into: &head)
        if let error { return .failed(error) }
        return .complete(end: lineEnd &+ 2)
    }

    /// Length of the token at `start`, with the method it spells.
    @inline(__always)
    private static func methodLength(_ bytes: ByteSlice, at start: Int, into head: inout RequestHead) -> Int {
        let word = bytes.word(at: start)
        if word & 0xFFFF_FFFF == get {
            head.method = .get
            return 3
        }
        if word & 0xFF_FFFF_FFFF == post {
            head.method = .post
            return 4
        }
        return otherMethodLength(bytes, at: start, into: &head)
    }

    private static func otherMethodLength(_ bytes: ByteSlice, at start: Int, into head: inout RequestHead) -> Int {
        var end = start
        while end < bytes.count, ASCII.isToken(bytes[end]) { end &+= 1 }
        head.method = HTTPMethod(bytes[start..<end])
        head.methodRange = TextRange(start..<end)
        return end &- start
    }

    private static func methodError(_ bytes: ByteSlice, from start: Int, to end: Int) -> HTTPMessageError {
        guard end < bytes.count else { return .invalidRequestLine }
        switch bytes[end] {
        case UInt8(ascii: " "): return .invalidRequestLine
        case .lineFeed: return .bareLineFeed
        case .carriageReturn: return carriageReturnError(bytes, at: end, otherwise: .invalidRequestLine)
        default: return .invalidMethod
        }
    }

    private static func targetError(_ bytes: ByteSlice, from start: Int, to end: Int) -> HTTPMessageError {
        guard end < bytes.count else { return .invalidRequestLine }
        switch bytes[end] {
        case UInt8(ascii: " "): return .invalidRequestLine
        case UInt8(ascii: "#"): return .fragmentInTarget
        case .lineFeed: return .bareLineFeed
        case .carriageReturn:
            return carriageReturnError(bytes, at: end, otherwise: start == end ? .invalidRequestLine : .missingVersion)
        default: return .invalidTarget
        }
    }

    /// What is wrong with a version, at `start`, that is neither of those accepted.
    static func versionError(_ bytes: ByteSlice, from start: Int) -> HTTPMessageError {
        let version = bytes[min(start, bytes.count)..<min(start + 8, bytes.count)]
        guard version.count == 8, version.hasPrefix(ByteSlice("HTTP/")), ASCII.isDigit(version[5]),
            version[6] == UInt8(ascii: "."), ASCII.isDigit(version[7])
        else {
            return version.first == UInt8(ascii: " ") ? .invalidRequestLine : .invalidVersion
        }
        return .unsupportedVersion
    }

    private static func lineEndError(_ bytes: ByteSlice, at index: Int) -> HTTPMessageError {
        guard index < bytes.count else { return .invalidRequestLine }
        switch bytes[index] {
        case .lineFeed: return .bareLineFeed
        case .carriageReturn: return carriageReturnError(bytes, at: index, otherwise: .invalidRequestLine)
        default: return .invalidRequestLine
        }
    }

    private static func carriageReturnError(
        _ bytes: ByteSlice, at index: Int, otherwise error: HTTPMessageError
    ) -> HTTPMessageError {
        index + 1 < bytes.count && bytes[index + 1] == .lineFeed ? error : .bareCarriageReturn
    }

    // Text as little-endian words, first byte lowest.
    private static var get: UInt64 { 0x2054_4547 }  // "GET "
    private static var post: UInt64 { 0x20_5453_4F50 }  // "POST "
    static var http11: UInt64 { 0x312E_312F_5054_5448 }  // "HTTP/1.1"
    static var http10: UInt64 { 0x302E_312F_5054_5448 }  // "HTTP/1.0"
}
