import FuzzSupport
import HTTP

/// Response heads: the outcome must not depend on the pieces, and what is accepted must read back the same when it
/// was written by us.
@main
enum FuzzResponse {
    nonisolated(unsafe) private static let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 21, alignment: 16)
    private static let limits = HTTP1Limits(headerBytesMax: 4_096, headersMax: 20)

    static func main() { runFuzzer(check) }

    private static func check(_ bytes: ByteSlice) {
        guard !bytes.isEmpty else { return }
        // The last byte chooses what is answered.
        let choice = bytes[bytes.count - 1]
        let methods: [HTTPMethod] = [.get, .head, .connect, .post]
        let request = HTTP1ResponseParser.Request(method: methods[Int(choice & 3)], offersUpgrade: choice & 4 != 0)
        let wire = bytes.prefix(bytes.count - 1)

        var parser = HTTP1ResponseParser()
        var head = ResponseHead(headersMax: 20)
        let whole = parser.parse(wire, answering: request, limits: limits, into: &head)
        checkPieces(wire, request, whole)
        guard case .complete(let length) = whole else { return }
        precondition(length <= wire.count && length <= limits.headerBytesMax)

        let framing = parser.bodyFraming
        var writer = unsafe ByteWriter(start: buffer, capacity: 1 << 21)
        head.writeHTTP1(
            to: &writer, length: framing.lengthField, connection: head.status == .switchingProtocols ? .upgrade : .none)
        precondition(writer.fits)
        let text = unsafe ByteSlice(start: buffer, count: writer.count)
        var again = ResponseHead(headersMax: 200)
        var second = HTTP1ResponseParser()
        let outcome = second.parse(text, answering: request, limits: HTTP1Limits(), into: &again)
        precondition(outcome == .complete(length: text.count), "what we write, we refuse: \(outcome)")
        precondition(second.bodyFraming == framing, "what we write is framed otherwise")
        precondition(again.status == head.status)
    }

    /// The same bytes, growing.
    private static func checkPieces(
        _ bytes: ByteSlice, _ request: HTTP1ResponseParser.Request, _ whole: HTTP1ResponseParser.Outcome
    ) {
        var pieces = Pieces(bytes)
        var parser = HTTP1ResponseParser()
        var head = ResponseHead(headersMax: 20)
        var outcome = HTTP1ResponseParser.Outcome.incomplete
        var count = 0
        while count < bytes.count, outcome == .incomplete {
            count = min(count + pieces.next(), bytes.count)
            outcome = parser.parse(bytes.prefix(count), answering: request, limits: limits, into: &head)
        }
        precondition(outcome == whole || bytes.isEmpty, "the outcome depends on the pieces")
    }
}
