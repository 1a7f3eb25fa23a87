import FuzzSupport
import HTTP

/// Request heads: the outcome must not depend on the pieces, and what is accepted must read back the same when it
/// was written by us.
@main
enum FuzzRequest {
    nonisolated(unsafe) private static let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 21, alignment: 16)
    private static let limits = HTTP1Limits(headerBytesMax: 4_096, headersMax: 20, targetBytesMax: 512)

    static func main() { runFuzzer(check) }

    private static func check(_ bytes: ByteSlice) {
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 20)
        let whole = parser.parse(bytes, limits: limits, into: &head)
        checkPieces(bytes, whole)
        guard case .complete(let length) = whole else { return }
        precondition(length <= bytes.count && length <= limits.headerBytesMax)

        let framing = parser.bodyFraming
        var writer = unsafe ByteWriter(start: buffer, capacity: 1 << 21)
        head.writeHTTP1(to: &writer, length: framing.lengthField, connection: head.offersUpgrade ? .upgrade : .none)
        precondition(writer.fits)
        // A request without authority becomes one with an empty Host, which is refused.
        guard !head.authority.isEmpty else { return }
        checkWritten(unsafe ByteSlice(start: buffer, count: writer.count), framing: framing, head: head)

        _ = head.normalizePath(PathNormalizer(mergesSlashes: true, escapedSlashes: .unescape))
        precondition(head.path.isEmpty || head.path.first == UInt8(ascii: "/"))
    }

    /// The same bytes, growing.
    private static func checkPieces(_ bytes: ByteSlice, _ whole: HTTP1RequestParser.Outcome) {
        var pieces = Pieces(bytes)
        var parser = HTTP1RequestParser()
        var head = RequestHead(headersMax: 20)
        var outcome = HTTP1RequestParser.Outcome.incomplete
        var count = 0
        while count < bytes.count, outcome == .incomplete {
            count = min(count + pieces.next(), bytes.count)
            outcome = parser.parse(bytes.prefix(count), limits: limits, into: &head)
        }
        precondition(outcome == whole || bytes.isEmpty, "the outcome depends on the pieces")
    }

    private static func checkWritten(_ text: ByteSlice, framing: HTTP1BodyFraming, head: borrowing RequestHead) {
        // Written heads may be a little longer than what was read: the framing is spelled out.
        let roomier = HTTP1Limits(headerBytesMax: 65_536, headersMax: 200, targetBytesMax: 1_024)
        var parser = HTTP1RequestParser()
        var again = RequestHead(headersMax: 200)
        let outcome = parser.parse(text, limits: roomier, into: &again)
        precondition(outcome == .complete(length: text.count), "what we write, we refuse: \(outcome)")
        precondition(parser.bodyFraming == framing, "what we write is framed otherwise")
        precondition(again.authority == head.authority && again.path == head.path)
        precondition(again.methodText == head.methodText)
    }
}
