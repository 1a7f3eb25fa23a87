/// Reads the four forms of a request target (RFC 9112 §3.2) into a head: authority, path and query.
enum HTTP1RequestTarget {
    /// - Parameters:
    ///   - target: where the target stands in `bytes`; not empty, and made of target bytes.
    ///   - queryMark: where its first `?` stands.
    /// - Returns: why it is refused, nil if it is not.
    @inline(__always)
    static func parse(
        _ bytes: ByteSlice, target: Range<Int>, queryMark: Int?, into head: inout RequestHead
    ) -> HTTPMessageError? {
        if bytes[target.lowerBound] == UInt8(ascii: "/"), head.method != .connect {
            head.targetForm = .origin
            setPath(target, queryMark: queryMark, into: &head)
            return nil
        }
        return parseOther(bytes, target: target, queryMark: queryMark, into: &head)
    }

    @inline(never)
    private static func parseOther(
        _ bytes: ByteSlice, target: Range<Int>, queryMark: Int?, into head: inout RequestHead
    ) -> HTTPMessageError? {
        if head.method == .connect {
            head.targetForm = .authority
            head.authorityRange = TextRange(target)
            guard let authority = Authority(bytes[target]), authority.port != nil else { return .invalidConnectTarget }
            return nil
        }
        if bytes[target] == "*" {
            head.targetForm = .asterisk
            return head.method == .options ? nil : .asteriskTarget
        }
        return parseAbsolute(bytes, target: target, queryMark: queryMark, into: &head)
    }

    /// `scheme "://" authority path [ "?" query ]`, http and https only (RFC 9110 §4.2).
    private static func parseAbsolute(
        _ bytes: ByteSlice, target: Range<Int>, queryMark: Int?, into head: inout RequestHead
    ) -> HTTPMessageError? {
        let uri = bytes[target.lowerBound..<(queryMark ?? target.upperBound)]
        guard let colon = uri.firstIndex(of: UInt8(ascii: ":")), isScheme(uri[0..<colon]),
            uri.count >= colon + 3, uri[colon..<colon + 3] == "://"
        else { return .invalidAbsoluteTarget }

        if uri[0..<colon].equalsIgnoringCase("http") {
            head.scheme = .http
        } else if uri[0..<colon].equalsIgnoringCase("https") {
            head.scheme = .https
        } else {
            return .unsupportedScheme
        }

        let authorityStart = colon + 3
        let authorityEnd = uri.firstIndex(of: UInt8(ascii: "/"), from: authorityStart) ?? uri.count
        guard Authority(uri[authorityStart..<authorityEnd]) != nil else { return .invalidAuthority }
        head.targetForm = .absolute
        head.authorityRange = TextRange(
            target.lowerBound + authorityStart..<target.lowerBound + authorityEnd)
        setPath(target.lowerBound + authorityEnd..<target.upperBound, queryMark: queryMark, into: &head)
        // An empty path is `/` (RFC 9112 §3.2.1), except that OPTIONS then means the server itself (§3.2.4).
        if head.pathRange.length == 0 {
            if head.method == .options, queryMark == nil {
                head.targetForm = .asterisk
            } else {
                head.setPath(ByteSlice("/"))
            }
        }
        return nil
    }

    @inline(__always)
    private static func setPath(_ range: Range<Int>, queryMark: Int?, into head: inout RequestHead) {
        head.pathRange = TextRange(range.lowerBound..<(queryMark ?? range.upperBound))
        head.hasQuery = queryMark != nil
        if let queryMark { head.queryRange = TextRange(queryMark &+ 1..<range.upperBound) }
    }

    /// RFC 3986 §3.1.
    private static func isScheme(_ text: ByteSlice) -> Bool {
        guard let first = text.first, ASCII.lowercase(first) &- UInt8(ascii: "a") < 26 else { return false }
        for index in 1..<text.count {
            let byte = text[index]
            let isLetter = ASCII.lowercase(byte) &- UInt8(ascii: "a") < 26
            guard isLetter || ASCII.isDigit(byte) || "+-.".utf8.contains(byte) else { return false }
        }
        return true
    }
}
