/// Reads request heads (RFC 9112 §2–§6) out of bytes: no copy, no allocation, no clock.
///
/// One parser per connection, reset between requests. It keeps less than 80 bytes of progress and no memory
/// of its own; what it finds goes into a `RequestHead`.
///
///     switch parser.parse(bytes, limits: limits, into: &head) {
///     case .complete(let length): …   // head is filled; the body begins at `length`
///     case .incomplete: …             // call again with the same bytes and more behind them
///     case .malformed(let error): …   // answer error.status, count error.label, close
///     }
///
/// After `.complete` the bytes of the head must stay where they are until `head.reset()`, or until the owner has
/// copied them and said so with `head.moveSource(to:)`.
package struct HTTP1RequestParser {
    package enum Outcome: Equatable {
        /// The head is the first `length` bytes.
        case complete(length: Int)
        /// More bytes are needed.
        case incomplete
        /// Refuse it and close.
        case malformed(HTTPMessageError)
    }

    private var fields = HTTP1FramingFields()
    private var section = HTTP1FieldSection(start: HTTP1FieldSection.bytesBefore)
    /// The request line was read.
    private var isInFields = false
    /// No LF stands before here, while the request line is incomplete.
    private var searched = 0

    /// Where the body of the completed head ends.
    package private(set) var bodyFraming = HTTP1BodyFraming.none
    /// Whether another request may follow on this connection.
    package private(set) var isPersistent = true

    package init() {}

    /// Gets ready for the next request.
    package mutating func reset() { self = HTTP1RequestParser() }

    /// Reads on. At the first call for a request `head` is freshly reset; `bytes` begins with the first byte of the
    /// request at every call, and may hold more than the head.
    package mutating func parse(_ bytes: ByteSlice, limits: HTTP1Limits, into head: inout RequestHead) -> Outcome {
        // Nothing behind the limit is ever looked at, so how much more has arrived cannot change the outcome.
        let window = bytes.prefix(limits.headerBytesMax)
        // At every call, so that what was understood of a refused head can be read for the access log.
        head.headers.setSource(window)
        if !isInFields {
            switch parseRequestLine(window, limits: limits, into: &head) {
            case .complete(let end):
                isInFields = true
                section = HTTP1FieldSection(start: end)
            case .incomplete: return window.count < limits.headerBytesMax ? .incomplete : .malformed(.headersTooLarge)
            case .malformed(let error): return .malformed(error)
            }
        }
        switch section.parse(window, fieldsMax: limits.headersMax, into: &head.headers, noting: &fields) {
        case .complete(let end):
            if let error = finish(limits: limits, head: &head) { return .malformed(error) }
            return .complete(length: end)
        case .incomplete: return window.count < limits.headerBytesMax ? .incomplete : .malformed(.headersTooLarge)
        case .malformed(let error): return .malformed(error)
        }
    }

    private mutating func parseRequestLine(
        _ window: ByteSlice, limits: HTTP1Limits, into head: inout RequestHead
    ) -> HTTP1FieldSection.Outcome {
        guard var first = window.first else { return .incomplete }
        var start = 0
        if first == .carriageReturn {
            // RFC 9112 §2.2: one CRLF before the request line, left over from the previous body, is forgiven.
            guard window.count > 1 else { return .incomplete }
            guard window[1] == .lineFeed else { return .malformed(.bareCarriageReturn) }
            guard window.count > 2 else { return .incomplete }
            start = 2
            first = window[2]
            if first == .carriageReturn { return .malformed(.emptyLineBeforeRequest) }
        }
        // Judged before the line is complete: what does not begin like HTTP, TLS for one, need not be waited for.
        if first == .lineFeed { return .malformed(.bareLineFeed) }
        if !ASCII.isToken(first) { return .malformed(.invalidMethod) }

        let lineMax = start + HTTP1RequestLine.methodBytesMax + limits.targetBytesMax + HTTP1RequestLine.fixedBytes
        let line = window.prefix(lineMax)
        searched = max(searched, start)
        if searched > start {
            guard let lineFeed = line.firstIndex(of: .lineFeed, from: searched) else {
                return lineIsIncomplete(line, lineMax: lineMax)
            }
            searched = lineFeed
        }
        switch HTTP1RequestLine.parse(line, from: start, limits: limits, into: &head) {
        case .complete(let end): return .complete(end: end)
        case .failed(let error):
            if line.firstIndex(of: .lineFeed, from: searched) != nil { return .malformed(error) }
            return lineIsIncomplete(line, lineMax: lineMax)
        }
    }

    private mutating func lineIsIncomplete(_ line: ByteSlice, lineMax: Int) -> HTTP1FieldSection.Outcome {
        searched = line.count
        return line.count < lineMax ? .incomplete : .malformed(.targetTooLong)
    }

    /// The rules that need more than one line.
    private mutating func finish(limits: HTTP1Limits, head: inout RequestHead) -> HTTPMessageError? {
        if let error = finishHost(&head) { return error }
        if let error = finishFraming(limits: limits, head: &head) { return error }

        let options = fields.options
        isPersistent = fields.isPersistent(head.version)
        if options.isDisjoint(with: [.namedFields, .teTrailers, .upgradeField, .expectContinue, .expectOther]) {
            return nil
        }
        if options.contains(.namedFields) { head.headers.markFieldsNamedByConnection() }
        // RFC 9110 §7.8 and §10.1.1: neither Upgrade nor Expect counts in an HTTP/1.0 request. Upgrade is never handed
        // on by itself; Expect must not be either, in a request that leaves us as HTTP/1.1.
        if head.version == .http10 {
            head.headers.markHopByHop(.expect)
        } else {
            if options.contains(.expectOther) { return .unsupportedExpectation }
            head.expectsContinue = options.contains(.expectContinue)
            // RFC 9113 §3.1 retires the upgrade to h2c. Handed on, it would open a tunnel past our routes.
            head.offersUpgrade =
                options.isSuperset(of: [.upgrade, .upgradeField]) && !options.contains(.upgradeToH2C)
        }
        head.acceptsTrailers = options.contains(.teTrailers)
        return nil
    }

    /// RFC 9112 §3.2 and §7.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0, never another place than
    /// the target names.
    private func finishHost(_ head: inout RequestHead) -> HTTPMessageError? {
        guard fields.hostCount < 2 else { return .repeatedHost }
        guard fields.hostCount == 1 else { return head.version == .http11 ? .missingHost : nil }
        let host = head.text(fields.hostRange)
        guard Authority(host) != nil else { return .invalidHost }
        if head.authorityRange.length == 0 {
            head.authorityRange = fields.hostRange
            return nil
        }
        let defaultPort: UInt16? =
            switch head.scheme {
            case .http: 80
            case .https: 443
            case .unspecified: nil
            }
        return Authority.same(head.authority, host, defaultPort: defaultPort) ? nil : .hostMismatch
    }

    /// RFC 9112 §6.1–§6.3.
    private mutating func finishFraming(limits: HTTP1Limits, head: inout RequestHead) -> HTTPMessageError? {
        if fields.transferEncoding != .none {
            if fields.hasContentLength { return .contentLengthAndTransferEncoding }
            if head.version == .http10 { return .transferEncodingInHTTP10 }
            if head.method == .connect { return .bodyInConnect }
            bodyFraming = .chunked
        } else if fields.hasContentLength {
            if fields.contentLength > limits.bodyBytesMax { return .bodyTooLarge }
            if head.method == .connect, fields.contentLength > 0 { return .bodyInConnect }
            bodyFraming = head.method == .connect ? .none : .length(fields.contentLength)
        } else if head.version == .http10, [.post, .put, .patch].contains(head.method) {
            return .lengthRequired
        }
        head.bodyLength = bodyFraming.bodyLength
        return nil
    }
}
