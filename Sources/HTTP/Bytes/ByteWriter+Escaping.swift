/// Text of a peer in a place where some bytes mean something else.
extension ByteWriter {
    /// Appends `bytes` for a line of a log: quotes, backslashes, control bytes and all that is not ASCII as `\xHH`, so
    /// that no peer can end a field or a line, or write to a terminal.
    package mutating func append(logged bytes: ByteSlice) {
        appendEscaped(bytes) { writer, bytes, index in
            writer.append("\\x")
            writer.append(ASCII.hexDigit(bytes[index] >> 4))
            writer.append(ASCII.hexDigit(bytes[index] & 15))
            return 1
        }
    }

    /// Appends `bytes` for the inside of a JSON string (RFC 8259 §7). UTF-8 stays; each byte that is no part of it
    /// becomes U+FFFD, because a JSON text is UTF-8 throughout.
    package mutating func append(json bytes: ByteSlice) {
        appendEscaped(bytes) { writer, bytes, index in
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""): writer.append("\\\"")
            case UInt8(ascii: "\\"): writer.append("\\\\")
            case UInt8(ascii: "\n"): writer.append("\\n")
            case UInt8(ascii: "\r"): writer.append("\\r")
            case UInt8(ascii: "\t"): writer.append("\\t")
            case ..<0x80:
                writer.append("\\u00")
                writer.append(ASCII.hexDigit(byte >> 4))
                writer.append(ASCII.hexDigit(byte & 15))
            default:
                guard let length = bytes.lengthOfUTF8(at: index) else {
                    for byte: UInt8 in [0xEF, 0xBF, 0xBD] { writer.append(byte) }
                    return 1
                }
                writer.append(bytes[index..<(index &+ length)])
                return length
            }
            return 1
        }
    }

    /// Appends text that the proxy owns, without a copy of it.
    package mutating func append(utf8 text: String) {
        // Native strings are contiguous; those bridged from elsewhere do not exist here.
        _ = unsafe text.utf8.withContiguousStorageIfAvailable { buffer in
            guard let start = buffer.baseAddress else { return }
            append(unsafe ByteSlice(start: start, count: buffer.count))  // the string outlives the call
        }
    }

    /// Copies runs of bytes that stand for themselves; `escape` writes the rest and answers how many it took.
    @inline(__always)
    private mutating func appendEscaped(
        _ bytes: ByteSlice, _ escape: (inout ByteWriter, ByteSlice, Int) -> Int
    ) {
        var index = bytes.firstLogStop(from: 0)
        if index == bytes.count { return append(bytes) }
        var runStart = 0
        while index < bytes.count {
            append(bytes[runStart..<index])
            runStart = index &+ escape(&self, bytes, index)
            index = bytes.firstLogStop(from: runStart)
        }
        append(bytes[runStart..<bytes.count])
    }
}

extension ByteSlice {
    /// The first byte at or after `start` that a log line cannot hold as it is; `count` when there is none.
    @inline(__always)
    fileprivate func firstLogStop(from start: Int) -> Int {
        var index = start
        while index &+ 16 <= count {
            let stops = vector(at: index).logStops
            if stops != 0 { return index &+ stops.trailingZeroBitCount }
            index &+= 16
        }
        if index &+ 8 <= count {
            // The last eight bytes may have been looked at before.
            let end = count &- 8
            let stops = ByteVector(low: word(at: index), high: word(at: end)).logStops
            guard stops != 0 else { return count }
            let first = stops.trailingZeroBitCount
            return first < 8 ? index &+ first : end &+ first &- 8
        }
        while index < count, !ASCII.isLogStop(self[index]) { index &+= 1 }
        return index
    }

    /// The length of the character of two to four bytes that begins at `index`; nil when the bytes there are none
    /// (RFC 3629 §4: no overlong forms, no surrogates, nothing above U+10FFFF).
    fileprivate func lengthOfUTF8(at index: Int) -> Int? {
        let first = self[index]
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if first == 0xE0 { second = 0xA0...0xBF }
            if first == 0xED { second = 0x80...0x9F }
        case 0xF0...0xF4:
            length = 4
            if first == 0xF0 { second = 0x90...0xBF }
            if first == 0xF4 { second = 0x80...0x8F }
        default: return nil
        }
        guard index &+ length <= count, second.contains(self[index &+ 1]) else { return nil }
        for offset in 2..<max(length, 2) where self[index &+ offset] & 0xC0 != 0x80 { return nil }
        return length
    }
}
