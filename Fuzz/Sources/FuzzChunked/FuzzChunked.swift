import FuzzSupport
import HTTP

/// Chunked bodies: data, end and reason must not depend on the pieces, and trailers that we write must read back.
@main
enum FuzzChunked {
    nonisolated(unsafe) private static let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 16)
    private static let limits = HTTP1Limits(
        headersMax: 10, bodyBytesMax: 1 << 40, trailerBytesMax: 256, chunkExtensionBytesMax: 64)

    static func main() { runFuzzer(check) }

    /// What came out, without where it was cut.
    private struct Decoded: Equatable {
        var step = HTTP1BodyStep.incomplete
        var bodyBytes = 0
        var bodyHash: UInt64 = 0xCBF2_9CE4_8422_2325
        /// Where the body ended; what is behind belongs to the next message.
        var end = 0
        var trailers = ""
    }

    private static func check(_ bytes: ByteSlice) {
        let whole = decode(bytes, inPieces: false)
        precondition(decode(bytes, inPieces: true) == whole, "the outcome depends on the pieces")
    }

    private static func decode(_ bytes: ByteSlice, inPieces: Bool) -> Decoded {
        var pieces = Pieces(bytes)
        var decoder = HTTP1BodyDecoder(.chunked)
        var decoded = Decoded()
        var start = 0
        repeat {
            let piece = bytes[start..<(inPieces ? min(start + pieces.next(), bytes.count) : bytes.count)]
            var position = 0
            reading: while true {
                decoded.step = decoder.next(piece, at: &position, limits: limits)
                switch decoded.step {
                case .event(.body(let offset, let length)):
                    precondition(length > 0 && offset + length == position)
                    decoded.bodyBytes += length
                    for index in offset..<position {
                        decoded.bodyHash = (decoded.bodyHash ^ UInt64(piece[index])) &* 0x100_0000_01B3
                    }
                case .event(.trailers):
                    if let section = decoder.trailers { decoded.trailers = checkTrailers(section) }
                case .event(.end):
                    decoded.end = start + position
                    return decoded
                case .malformed: return decoded
                case .incomplete:
                    precondition(position == piece.count)
                    break reading
                case .event(.head), .event(.reset): preconditionFailure("never comes from a body")
                }
            }
            start += piece.count
        } while start < bytes.count
        return decoded
    }

    /// Writes the trailers, reads them back, and returns what was written.
    private static func checkTrailers(_ section: HTTP1TrailerSection) -> String {
        var writer = unsafe ByteWriter(start: buffer, capacity: 1 << 20)
        writer.appendLastChunk(trailers: section.fields)
        precondition(writer.fits)
        let text = unsafe ByteSlice(start: buffer, count: writer.count)
        var decoder = HTTP1BodyDecoder(.chunked)
        var position = 0
        var step = HTTP1BodyStep.incomplete
        repeat { step = decoder.next(text, at: &position, limits: HTTP1Limits()) } while step == .event(.trailers)
        precondition(step == .event(.end) && position == text.count, "what we write, we refuse")
        return text.text
    }
}
