internal import HTTP

/// Reads the answer to an HTTP health check, of which it keeps at most `bytesMax`.
struct HTTPCheckReader: ~Copyable {
    enum Outcome: Equatable {
        case incomplete
        /// `isReusable`: the connection may carry the next check.
        case answered(status: UInt16, isReusable: Bool)
        case malformed
    }

    private static let limits = HTTP1Limits(headerBytesMax: 16 << 10)
    /// Of the answer. A longer one is judged by its status, and its connection is closed.
    private static let bytesMax = 64 << 10

    private let request: HTTP1ResponseParser.Request
    private var parser = HTTP1ResponseParser()
    private var head = ResponseHead(headersMax: limits.headersMax)
    private var decoder: HTTP1BodyDecoder?
    private var input: [UInt8] = []
    /// Where the head starts, then how far the body was read.
    private var position = 0
    private(set) var hasBegun = false

    init(isHead: Bool) { request = HTTP1ResponseParser.Request(method: isHead ? .head : .get) }

    /// Gets ready for the next answer.
    mutating func reset() {
        parser.reset()
        head.reset()
        decoder = nil
        input.removeAll()
        position = 0
        hasBegun = false
    }

    mutating func read(_ bytes: ByteSlice) -> Outcome {
        hasBegun = true
        let room = Self.bytesMax - input.count
        for index in 0..<min(bytes.count, room) { input.append(bytes[index]) }
        let outcome = decode()
        guard outcome == .incomplete, bytes.count > room else { return outcome }
        return decoder == nil ? .malformed : .answered(status: head.status.rawValue, isReusable: false)
    }

    /// The endpoint has closed: complete only if that ends the body.
    func end() -> Outcome {
        guard let decoder, case .event(.end) = decoder.close() else { return .malformed }
        return .answered(status: head.status.rawValue, isReusable: false)
    }

    private mutating func decode() -> Outcome {
        let bytes = input
        while decoder == nil {
            switch parseHead(bytes) {
            case .incomplete: return .incomplete
            case .malformed: return .malformed
            case .complete(let length): position += length
            }
            if head.status.isInformational {
                // Another head follows.
                parser.reset()
                head.reset()
            } else {
                decoder = HTTP1BodyDecoder(parser.bodyFraming)
            }
        }
        return decodeBody(bytes)
    }

    private mutating func parseHead(_ bytes: [UInt8]) -> HTTP1ResponseParser.Outcome {
        let start = position
        let request = request
        return ByteSlice.withBytes(of: bytes) { slice in
            parser.parse(slice[start..<slice.count], answering: request, limits: Self.limits, into: &head)
        }
    }

    private mutating func decodeBody(_ bytes: [UInt8]) -> Outcome {
        guard var body = decoder else { return .incomplete }
        var next = position
        let outcome = ByteSlice.withBytes(of: bytes) { slice in
            while true {
                switch body.next(slice, at: &next, limits: Self.limits) {
                case .event(.end):
                    // More than was asked for: the connection is out of step.
                    let isReusable = parser.isPersistent && next == slice.count
                    return Outcome.answered(status: head.status.rawValue, isReusable: isReusable)
                case .event: continue
                case .incomplete: return .incomplete
                case .malformed: return .malformed
                }
            }
        }
        decoder = body
        position = next
        return outcome
    }
}
