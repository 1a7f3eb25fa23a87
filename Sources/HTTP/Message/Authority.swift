/// `host [ ":" port ]` (RFC 3986 §3.2, RFC 9110 §7.2): what `Host`, CONNECT and absolute targets name.
///
/// User information is refused: RFC 9110 §4.2.4 treats it as an error in what comes from outside.
public struct Authority {
    /// Length of the host at the start of the text, with the brackets of an IPv6 literal.
    public let hostLength: Int
    /// The port, nil when none or an empty one is given.
    public let port: UInt16?

    /// Parses a whole authority; nil when it is none, or its host is empty.
    public init?(_ text: ByteSlice) {
        var index = 0
        if text.first == UInt8(ascii: "[") {
            guard let end = Self.endOfLiteral(text) else { return nil }
            index = end
        } else {
            // Sixteen bytes at once while they are plain, then whatever else a name may hold.
            while index < text.count {
                let stops = text.vector(at: index).hostStops
                index = min(index &+ (stops == 0 ? 16 : stops.trailingZeroBitCount), text.count)
                if stops != 0 { break }
            }
            while index < text.count, ASCII.isRegisteredName(text[index]) { index &+= 1 }
            // Percent escapes are legal and rare; they are checked here so that the loop above stays short.
            while index < text.count, text[index] == UInt8(ascii: "%") {
                guard index + 2 < text.count, ASCII.hexValue(text[index + 1]) != nil,
                    ASCII.hexValue(text[index + 2]) != nil
                else { return nil }
                index &+= 3
                while index < text.count, ASCII.isRegisteredName(text[index]) { index &+= 1 }
            }
        }
        guard index > 0 else { return nil }
        hostLength = index
        guard index < text.count else {
            port = nil
            return
        }
        guard text[index] == UInt8(ascii: ":") else { return nil }
        var value: UInt32 = 0
        for digitIndex in (index + 1)..<text.count {
            guard ASCII.isDigit(text[digitIndex]) else { return nil }
            value = value &* 10 &+ UInt32(text[digitIndex] &- UInt8(ascii: "0"))
            guard value <= 65_535 else { return nil }
        }
        port = index + 1 == text.count ? nil : UInt16(value)
    }

    /// Whether two authorities name the same place: hosts without case, and ports where `defaultPort` and none are
    /// equal.
    package static func same(_ left: ByteSlice, _ right: ByteSlice, defaultPort: UInt16?) -> Bool {
        guard let leftParts = Authority(left), let rightParts = Authority(right) else { return false }
        let leftHost = left[0..<leftParts.hostLength]
        let rightHost = right[0..<rightParts.hostLength]
        guard leftHost.equalsIgnoringCase(rightHost) else { return false }
        return (leftParts.port ?? defaultPort) == (rightParts.port ?? defaultPort)
    }

    /// Index behind the `]` of an IP literal: IPv6 or IPvFuture, by alphabet; no resolver is asked to read it.
    private static func endOfLiteral(_ text: ByteSlice) -> Int? {
        guard let close = text.firstIndex(of: UInt8(ascii: "]")), close > 2 else { return nil }
        for index in 1..<close {
            let byte = text[index]
            let isFuture = ASCII.lowercase(text[1]) == UInt8(ascii: "v") && ASCII.isRegisteredName(byte)
            guard ASCII.hexValue(byte) != nil || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".") || isFuture
            else { return nil }
        }
        return close + 1
    }
}
