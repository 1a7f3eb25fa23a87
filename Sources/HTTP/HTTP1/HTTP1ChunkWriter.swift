/// Chunked framing on the way out (RFC 9112 §7.1). The data itself is not copied here: send the line, the data from
/// wherever it is, and the end.
extension ByteWriter {
    /// The longest line `appendChunkSize` writes: sixteen digits and CRLF.
    package static var chunkSizeBytesMax: Int { 18 }

    /// Appends the line before a chunk of `byteCount` bytes, at least 1: an empty chunk would end the body.
    package mutating func appendChunkSize(_ byteCount: Int) {
        precondition(byteCount > 0, "an empty chunk would end the body")
        append(hex: UInt64(byteCount))
        append("\r\n")
    }

    /// Appends what follows the data of each chunk.
    package mutating func appendChunkEnd() { append("\r\n") }

    /// Appends the last chunk and an empty trailer section.
    package mutating func appendLastChunk() { append("0\r\n\r\n") }

    /// Appends the last chunk and the trailers that may be forwarded.
    package mutating func appendLastChunk(trailers: borrowing HeaderTable) {
        append("0\r\n")
        trailers.writeHTTP1Fields(to: &self, omitting: .writtenInRequests)
        append("\r\n")
    }
}
