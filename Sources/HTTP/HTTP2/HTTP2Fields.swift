/// A field on its way into a header block.
package struct HTTP2Field {
    /// In any case: field names are lower case in HTTP/2, and compressors make them so.
    package let name: ByteSlice
    package let value: ByteSlice
    /// Must not enter the compression context (RFC 7541 §7.1.3).
    package let isNeverIndexed: Bool
    /// The name is in lower case, and stays where it is as long as the program runs.
    package let isNameConstant: Bool

    package init(_ name: ByteSlice, _ value: ByteSlice, isNeverIndexed: Bool = false) {
        self.name = name
        self.value = value
        self.isNeverIndexed = isNeverIndexed
        isNameConstant = false
    }

    /// - Parameter name: in lower case
    package init(_ name: StaticString, _ value: ByteSlice, isNeverIndexed: Bool = false) {
        self.name = ByteSlice(name)
        self.value = value
        self.isNeverIndexed = isNeverIndexed
        isNameConstant = true
    }
}

extension HeaderTable {
    /// Hands over every field that HTTP/2 may carry: none that is about the connection (RFC 9113 §8.2.2), and neither
    /// `Host`, which is `:authority`, nor `Content-Length`, which whoever frames the body writes.
    ///
    /// - Parameter left: another one to leave out
    package func forEachHTTP2Field(
        keepingContentLength: Bool = false, leaving left: HeaderName? = nil, _ body: (HTTP2Field) -> Void
    ) {
        let omitted: Omitted = keepingContentLength ? .hopByHop : .writtenInRequests
        for index in 0..<entryCount {
            let entry = entry(at: index)
            if omitted.contains(entry.knownName) || entry.knownName == HeaderName.host.rawValue { continue }
            if !entry.flags.isDisjoint(with: HeaderEntry.unforwardable) { continue }
            if let left, entry.knownName == left.rawValue { continue }
            let isNeverIndexed = entry.flags.contains(.neverIndexed)
            if let known = HeaderName(rawValue: entry.knownName) {
                body(HTTP2Field(known.text, value(of: entry), isNeverIndexed: isNeverIndexed))
            } else {
                body(HTTP2Field(name(of: entry), value(of: entry), isNeverIndexed: isNeverIndexed))
            }
        }
    }
}
