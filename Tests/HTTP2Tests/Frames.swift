/// Frames by hand, for what no library would send.
enum Frame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let endStream: UInt8 = 1
    static let acknowledge: UInt8 = 1
    static let endHeaders: UInt8 = 4

    static func raw(_ type: UInt8, _ flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + bytes(stream) + payload
    }

    static func bytes(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    static let settings = raw(4)
    static let ping = raw(6, stream: 0, Array(repeating: 7, count: 8))
    static func data(_ stream: UInt32, _ text: String = "", flags: UInt8 = 0) -> [UInt8] {
        raw(0, flags, stream: stream, Array(text.utf8))
    }
    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { raw(3, stream: stream, bytes(code)) }
    static func windowUpdate(_ stream: UInt32, _ count: UInt32) -> [UInt8] { raw(8, stream: stream, bytes(count)) }
    static func priority(_ stream: UInt32) -> [UInt8] { raw(2, stream: stream, [0, 0, 0, 0, 16]) }

    /// Fields that enter no table (RFC 7541 §6.2.2), each name and value shorter than 16 KiB.
    static func fields(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + string($0.0) + string($0.1) }
    }

    static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
        let rest = bytes.count - 127
        guard rest >= 128 else { return [127, UInt8(rest)] + bytes }
        return [127, UInt8(rest & 127 | 128), UInt8(rest >> 7)] + bytes
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = true) -> [UInt8] {
        raw(1, endHeaders | (end ? endStream : 0), stream: stream, Self.fields(fields))
    }

    static let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
    static let post = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]

    /// The types of all frames in `bytes`, the preface aside.
    static func types(_ bytes: [UInt8]) -> [UInt8] {
        var types: [UInt8] = []
        var index = 0
        while index + 9 <= bytes.count {
            types.append(bytes[index + 3])
            index += 9 + (Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2]))
        }
        return types
    }

    /// The last 32 bits of the last frame of a type: error codes of RST_STREAM and GOAWAY.
    static func lastCode(_ bytes: [UInt8], type: UInt8) -> UInt32? {
        var code: UInt32?
        var index = 0
        while index + 9 <= bytes.count {
            let length = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
            let payload = bytes[(index + 9)..<min(index + 9 + length, bytes.count)]
            let word = type == 7 ? payload.dropFirst(4).prefix(4) : payload.prefix(4)
            if bytes[index + 3] == type { code = word.reduce(0) { $0 << 8 | UInt32($1) } }
            index += 9 + length
        }
        return code
    }
}
