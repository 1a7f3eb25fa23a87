internal import HTTP

/// What a client wants first (RFC 9218 §4): a hint for the order in which responses that wait are sent.
struct HTTP2Priority: Equatable {
    /// 0 – 7; the smaller, the sooner.
    var urgency: UInt8 = 3
    /// Of use before it is complete: shares the connection with others of its kind.
    var isIncremental = false

    init() {}

    /// Reads a `priority` field (RFC 9218 §4, a dictionary of RFC 8941 §3.2). Members that are not known, and values
    /// out of range, are as if they were not there. nil when it is no dictionary: then all of it is ignored.
    init?(_ field: ByteSlice) {
        var rest = field[0..<field.count]
        while true {
            Self.skipBlanks(&rest)
            guard let key = Self.takeKey(&rest) else { return nil }
            var value = ByteSlice("?1")
            if rest.first == UInt8(ascii: "=") {
                rest = rest[1..<rest.count]
                value = Self.takeValue(&rest)
                guard !value.isEmpty else { return nil }
            }
            set(key, value)
            // Parameters say nothing here.
            while let byte = rest.first, byte != UInt8(ascii: ",") { rest = rest[1..<rest.count] }
            guard !rest.isEmpty else { return }
            rest = rest[1..<rest.count]
        }
    }

    private mutating func set(_ key: ByteSlice, _ value: ByteSlice) {
        if key == "u", value.count == 1, let digit = value.decimal, digit <= 7 {
            urgency = UInt8(digit)
        } else if key == "i", value == "?1" || value == "?0" {
            isIncremental = value == "?1"
        }
    }

    private static func skipBlanks(_ rest: inout ByteSlice) {
        while let byte = rest.first, isBlank(byte) { rest = rest[1..<rest.count] }
    }

    private static func takeKey(_ rest: inout ByteSlice) -> ByteSlice? {
        var length = 0
        while length < rest.count, isKey(rest[length]) { length += 1 }
        guard length > 0 else { return nil }
        let key = rest[0..<length]
        rest = rest[length..<rest.count]
        return key
    }

    /// Up to the next member or parameter. No value that means something here has a comma in it.
    private static func takeValue(_ rest: inout ByteSlice) -> ByteSlice {
        var length = 0
        while length < rest.count, rest[length] != UInt8(ascii: ","), rest[length] != UInt8(ascii: ";"),
            !isBlank(rest[length])
        {
            length += 1
        }
        let value = rest[0..<length]
        rest = rest[length..<rest.count]
        return value
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    private static func isKey(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "*"):
            true
        default: false
        }
    }
}
