@testable import HTTP

// Heads as text, so that a test compares everything that was understood at once.

extension RequestHead {
    /// Everything that a parser found, one fact a line.
    var digest: String {
        var lines = ["\(methodText.text) \(targetForm) \(version.text)"]
        if scheme != .unspecified { lines.append("scheme \(scheme)") }
        lines.append("authority \(authority.text)")
        if !path.isEmpty { lines.append("path \(path.text)") }
        if let query { lines.append("query \(query.text)") }
        lines.append("body \(bodyLength)")
        if expectsContinue { lines.append("expects continue") }
        if offersUpgrade { lines.append("offers upgrade") }
        if acceptsTrailers { lines.append("accepts trailers") }
        return (lines + headers.digestLines).joined(separator: "\n")
    }
}

extension ResponseHead {
    var digest: String {
        var lines = ["\(status.rawValue) \(version.text)", "body \(bodyLength)"]
        if switchesProtocol { lines.append("switches protocol") }
        return (lines + headers.digestLines).joined(separator: "\n")
    }
}

extension HeaderTable {
    /// One line a field; `-` in front of one that is not forwarded.
    var digestLines: [String] {
        indices.compactMap { index in
            guard let field = field(at: index) else { return nil }
            let isForwarded = entry(at: index).flags.isDisjoint(with: HeaderEntry.unforwardable)
            return "\(isForwarded ? "" : "-")\(field.name.text): \(field.value.text)"
        }
    }
}

/// Runs `write` with more and more room until everything fits, and returns what it wrote.
func written(_ write: (inout ByteWriter) -> Void) -> String {
    var room = 0
    while true {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: room + 1, alignment: 1)
        defer { unsafe buffer.deallocate() }
        unsafe buffer.storeBytes(of: 0xA5, toByteOffset: room, as: UInt8.self)
        var writer = unsafe ByteWriter(start: buffer, capacity: room)
        write(&writer)
        precondition(unsafe buffer.load(fromByteOffset: room, as: UInt8.self) == 0xA5, "wrote past the end")
        if writer.fits { return unsafe ByteSlice(start: buffer, count: writer.count).text }
        room = writer.count
    }
}
