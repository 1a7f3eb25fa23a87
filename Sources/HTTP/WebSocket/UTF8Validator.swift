/// Looks whether bytes are UTF-8 (RFC 3629), in whatever pieces they come: no overlong forms, no surrogates, nothing
/// above U+10FFFF.
struct UTF8Validator {
    /// Bytes of the current character still to come.
    private var missing = 0
    /// What the next byte may be: narrower behind the first bytes that could begin something forbidden.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF

    /// Whether a text may end here.
    var isComplete: Bool { missing == 0 }

    /// False when no continuation could make this UTF-8.
    mutating func accept(_ byte: UInt8) -> Bool {
        if missing > 0 {
            guard byte >= lowest, byte <= highest else { return false }
            missing -= 1
            (lowest, highest) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x00...0x7F: return true
        case 0xC2...0xDF: missing = 1
        case 0xE0...0xEF:
            missing = 2
            if byte == 0xE0 { lowest = 0xA0 }
            if byte == 0xED { highest = 0x9F }
        case 0xF0...0xF4:
            missing = 3
            if byte == 0xF0 { lowest = 0x90 }
            if byte == 0xF4 { highest = 0x8F }
        default: return false
        }
        return true
    }
}
