/// Reads response heads (RFC 9112 §4–§6). Use, memory and outcomes are those of `HTTP1RequestParser`.
///
/// Informational heads (100, 102, 103) are complete responses to this parser: reset it and the head, and read the
/// next one from the bytes behind.
package struct HTTP1ResponseParser {
    package typealias Outcome = HTTP1RequestParser.Outcome

    /// What the response answers; its framing depends on it.
    package struct Request {
        let method: HTTPMethod
        let offersUpgrade: Bool

        /// - Parameter offersUpgrade: whether the request went out with `Upgrade`.
        package init(method: HTTPMethod, offersUpgrade: Bool = false) {
            self.method = method
            self.offersUpgrade = offersUpgrade
        }
    }

    private var fields = HTTP1FramingFields()
    private var section = HTTP1FieldSection(start: HTTP1FieldSection.bytesBefore)
    /// The status line was read.
    private var isInFields = false
    /// No LF stands before here, while the status line is incomplete.
    private var searched = 0

    /// Where the body of the completed head ends.
    package private(set) var bodyFraming = HTTP1BodyFraming.none
    /// Whether the connection may carry another request when the body has ended.
    package private(set) var isPersistent = true

    package init() {}

    /// Gets ready for the next response.
    package mutating func reset() { self = HTTP1ResponseParser() }

    /// Reads on. At the first call for a response `head` is freshly reset; `bytes` begins with the first byte of the
    /// response at every call, and may hold more than the head.
    package mutating func parse(
        _ bytes: ByteSlice, answering request: Request, limits: HTTP1Limits, into head: inout ResponseHead
    ) -> Outcome {
        // Nothing behind the limit is ever looked at, so how much more has arrived cannot change the outcome.
        let window = bytes.prefix(limits.headerBytesMax)
        // At every call, so that what was understood of a refused head can be read for the access log.
        head.headers.setSource(window)
        if !isInFields {
            switch parseStatusLine(window, into: &head) {
            case .complete(let end):
                isInFields = true
                section = HTTP1FieldSection(start: end)
            case .incomplete: return window.count < limits.headerBytesMax ? .incomplete : .malformed(.headersTooLarge)
            case .malformed(let error): return .malformed(error)
            }
        }
        switch section.parse(window, fieldsMax: limits.headersMax, into: &head.headers, noting: &fields) {
        case .complete(let end):
            if let error = finish(answering: request, limits: limits, head: &head) { return .malformed(error) }
            return .complete(length: end)
        case .incomplete: return window.count < limits.headerBytesMax ? .incomplete : .malformed(.headersTooLarge)
        case .malformed(let error): return .malformed(error)
        }
    }

    /// `HTTP/1.1 200 OK`: the reason may be empty, and its space may be missing, as many servers write it.
    private mutating func parseStatusLine(
        _ window: ByteSlice, into head: inout ResponseHead
    ) -> HTTP1FieldSection.Outcome {
        guard let first = window.first else { return .incomplete }
        // Judged before the line is complete: another protocol need not be waited for.
        guard first == UInt8(ascii: "H") else { return .malformed(.invalidStatusLine) }
        if searched > 0 {
            guard let lineFeed = window.firstIndex(of: .lineFeed, from: searched) else {
                searched = window.count
                return .incomplete
            }
            searched = lineFeed
        }

        let error: HTTPMessageError
        switch window.word(at: 0) {
        case HTTP1RequestLine.http11:
            head.version = .http11
            error = .invalidStatusLine
        case HTTP1RequestLine.http10:
            head.version = .http10
            error = .invalidStatusLine
        default: return refuse(HTTP1RequestLine.versionError(window, from: 0), in: window)
        }
        let status = window.word(at: 8)
        let digits = (status &>> 8 & 0xFF, status &>> 16 & 0xFF, status &>> 24 & 0xFF)
        guard status & 0xFF == UInt64(UInt8(ascii: " ")),
            let code = Self.statusCode(digits.0, digits.1, digits.2)
        else { return refuse(error, in: window) }
        head.status = HTTPStatus(rawValue: code)

        var lineEnd = 12
        while lineEnd < window.count, ASCII.isFieldValue(window[lineEnd]) { lineEnd &+= 1 }
        guard window.pair(at: lineEnd) == .carriageReturnLineFeed else {
            return refuse(HTTP1FieldSection.lineEndError(in: window, at: lineEnd) ?? .controlByte, in: window)
        }
        guard lineEnd == 12 || window[12] == UInt8(ascii: " ") else { return .malformed(.invalidStatusLine) }
        guard code >= 100 else { return .malformed(.invalidStatus) }
        return .complete(end: lineEnd &+ 2)
    }

    private static func statusCode(_ first: UInt64, _ second: UInt64, _ third: UInt64) -> UInt16? {
        let (hundreds, tens, ones) = (first &- 0x30, second &- 0x30, third &- 0x30)
        guard hundreds < 10, tens < 10, ones < 10 else { return nil }
        return UInt16(truncatingIfNeeded: hundreds &* 100 &+ tens &* 10 &+ ones)
    }

    /// The line cannot be read: because of `error` if all of it is here, else because it is not.
    private mutating func refuse(_ error: HTTPMessageError, in window: ByteSlice) -> HTTP1FieldSection.Outcome {
        if window.firstIndex(of: .lineFeed, from: searched) != nil { return .malformed(error) }
        searched = window.count
        return .incomplete
    }

    /// The rules that need more than one line: RFC 9112 §6.3 and RFC 9110 §7.8.
    private mutating func finish(
        answering request: Request, limits: HTTP1Limits, head: inout ResponseHead
    ) -> HTTPMessageError? {
        if fields.transferEncoding != .none {
            if fields.hasContentLength { return .contentLengthAndTransferEncoding }
            if head.version == .http10 { return .transferEncodingInHTTP10 }
        }
        let options = fields.options
        if options.contains(.namedFields) { head.headers.markFieldsNamedByConnection() }
        isPersistent = fields.isPersistent(head.version)

        if head.status == .switchingProtocols {
            guard request.offersUpgrade, head.version == .http11, options.isSuperset(of: [.upgrade, .upgradeField])
            else { return .unexpectedSwitch }
            head.switchesProtocol = true
        } else if request.method == .connect, head.status.codeClass == 2 {
            head.switchesProtocol = true
        }

        if request.method == .head || head.status.neverHasBody || head.switchesProtocol {
            bodyFraming = .none
        } else if fields.transferEncoding != .none {
            bodyFraming = .chunked
        } else if fields.hasContentLength {
            if fields.contentLength > limits.bodyBytesMax { return .bodyTooLarge }
            bodyFraming = .length(fields.contentLength)
        } else {
            bodyFraming = .untilClose
            isPersistent = false
        }
        head.bodyLength = bodyFraming.bodyLength
        return nil
    }
}
