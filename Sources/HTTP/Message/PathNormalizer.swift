/// Brings paths into one form before they are routed and forwarded, so that a rule about `/admin` also meets
/// `/x/../admin` and `/%61dmin` (RFC 3986 §6.2.2).
///
/// In one pass: percent escapes of unreserved bytes are decoded and those of others spelled in upper case, slashes
/// are merged if asked, `.` and `..` are resolved. The result is never longer than the path.
public struct PathNormalizer: Sendable {
    /// What becomes of `%2F` and `%5C`: upstreams disagree on whether they separate segments.
    public enum EscapedSlashes: Sendable {
        /// Stay as they are, and separate nothing.
        case keep
        /// Become slashes, before dot segments are resolved.
        case unescape
        /// Refuse the request.
        case reject
    }

    /// Why a path is refused; the answer is 400.
    public enum Refusal: UInt8, Error, CaseIterable, Hashable, Sendable {
        /// A `%` without two hexadecimal digits behind it.
        case malformedEscape
        /// `%00`, which ends the path for some recipients and not for others.
        case escapedNUL
        /// An escaped slash or backslash where they are to be rejected.
        case escapedSlash
        /// The head has no room left for another path.
        case noRoom

        /// The reason in metrics and logs.
        public var label: StaticString {
            switch self {
            case .malformedEscape: "malformed_escape"
            case .escapedNUL: "escaped_nul"
            case .escapedSlash: "escaped_slash"
            case .noRoom: "no_room"
            }
        }
    }

    /// What `normalize` made of a path.
    package enum Outcome: Equatable {
        /// It already is in that form; nothing was written.
        case unchanged
        /// The normalised path is what was written.
        case changed
        case refused(Refusal)
    }

    /// Whether neighbouring slashes become one. Then `..` goes up a segment that has a name, as in a file system.
    public var mergesSlashes: Bool
    public var escapedSlashes: EscapedSlashes

    public init(mergesSlashes: Bool = false, escapedSlashes: EscapedSlashes = .keep) {
        self.mergesSlashes = mergesSlashes
        self.escapedSlashes = escapedSlashes
    }

    /// Normalises a path that begins with `/`, without its query.
    ///
    /// - Parameter out: an empty writer with room for at least `path.count` bytes.
    package func normalize(_ path: ByteSlice, to out: inout ByteWriter) -> Outcome {
        precondition(out.count == 0 && out.capacity >= path.count, "the path's own length is enough room, and needed")
        guard needsWork(path) else { return .unchanged }

        var index = 0
        while index < path.count {
            var byte = path[index]
            index += 1
            var isEscaped = false
            if byte == UInt8(ascii: "%") {
                guard index + 1 < path.count, let high = ASCII.hexValue(path[index]),
                    let low = ASCII.hexValue(path[index + 1])
                else { return .refused(.malformedEscape) }
                index += 2
                byte = high << 4 | low
                isEscaped = !ASCII.isUnreserved(byte)
                if byte == 0 { return .refused(.escapedNUL) }
                if byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") {
                    switch escapedSlashes {
                    case .keep: break
                    case .reject: return .refused(.escapedSlash)
                    case .unescape:
                        byte = UInt8(ascii: "/")
                        isEscaped = false
                    }
                }
            }
            if isEscaped {
                out.append(UInt8(ascii: "%"))
                out.append(ASCII.hexDigit(byte >> 4))
                out.append(ASCII.hexDigit(byte & 15))
            } else if byte == UInt8(ascii: "/") {
                endSegment(&out)
                if mergesSlashes, out.last == UInt8(ascii: "/") { continue }
                out.append(byte)
            } else {
                out.append(byte)
            }
        }
        // A dot segment at the end names the directory: its slash stays.
        if endSegment(&out) { out.append(UInt8(ascii: "/")) }
        return out.holds(path) ? .unchanged : .changed
    }

    /// Resolves the segment that was just written, if it is `.` or `..` (RFC 3986 §5.2.4): takes it out with the
    /// slash in front of it and, for `..`, with the segment before. Says whether it did.
    @discardableResult
    private func endSegment(_ out: inout ByteWriter) -> Bool {
        guard out.last == UInt8(ascii: ".") else { return false }
        if out.byte(at: out.count - 2) == UInt8(ascii: "/") {
            out.truncate(to: out.count - 2)
            return true
        }
        if out.byte(at: out.count - 2) == UInt8(ascii: "."), out.byte(at: out.count - 3) == UInt8(ascii: "/") {
            out.truncate(to: out.count - 3)
            while let last = out.last, last != UInt8(ascii: "/") { out.truncate(to: out.count - 1) }
            if out.count > 0 { out.truncate(to: out.count - 1) }
            return true
        }
        return false
    }

    /// Most paths hold no escape, no dot segment and no pair of slashes.
    fileprivate func needsWork(_ path: ByteSlice) -> Bool {
        for index in 0..<path.count {
            switch path[index] {
            case UInt8(ascii: "%"): return true
            case UInt8(ascii: "."): if index > 0, path[index - 1] == UInt8(ascii: "/") { return true }
            case UInt8(ascii: "/"): if mergesSlashes, index > 0, path[index - 1] == UInt8(ascii: "/") { return true }
            default: break
            }
        }
        return false
    }
}

extension RequestHead {
    /// Puts the normalised path in the place of the path; CONNECT and `OPTIONS *` have none.
    ///
    /// - Returns: why the request is refused, nil if it is not.
    package mutating func normalizePath(_ normalizer: PathNormalizer) -> PathNormalizer.Refusal? {
        let path = self.path
        guard normalizer.needsWork(path) else { return nil }
        var outcome = PathNormalizer.Outcome.unchanged
        let stored = headers.storeText(room: path.count) { outcome = normalizer.normalize(path, to: &$0) }
        guard let stored else { return .noRoom }
        switch outcome {
        case .unchanged: return nil
        case .changed:
            pathRange = stored
            return nil
        case .refused(let refusal): return refusal
        }
    }
}
