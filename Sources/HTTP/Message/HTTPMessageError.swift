/// Every reason to refuse a message, request or response.
///
/// In HTTP/1.x each reason closes the connection: where the next message begins is no longer certain. In HTTP/2 it ends
/// the stream. `status` is what a client is told when its request was refused; a response refused is always a 502 to
/// the client, whatever the reason.
/// Raw values are dense, so that counters can be an array of `allCases.count`; they are not stable, `label` is.
public enum HTTPMessageError: UInt8, Error, CaseIterable, Hashable, Sendable {
    // MARK: Start line of a request

    /// More than one empty line before the request line (RFC 9112 §2.2 asks to tolerate one).
    case emptyLineBeforeRequest
    /// The method is no token.
    case invalidMethod
    /// The method is longer than any that exists.
    case methodTooLong
    /// Not method, space, target, space, version.
    case invalidRequestLine
    /// No version: an HTTP/0.9 request.
    case missingVersion
    /// The version does not read `HTTP/` digit `.` digit.
    case invalidVersion
    /// A version other than 1.0 and 1.1.
    case unsupportedVersion
    /// The connection preface of HTTP/2, where HTTP/2 was not expected.
    case http2Preface
    /// HTTP/1.0, which the listener does not accept.
    case http10NotAccepted

    // MARK: Request target

    /// The target is longer than `targetBytesMax`.
    case targetTooLong
    /// A byte that may not stand in a target.
    case invalidTarget
    /// A `#`: fragments are never sent (RFC 9112 §3.2).
    case fragmentInTarget
    /// The absolute form is no URI, or has no authority.
    case invalidAbsoluteTarget
    /// An absolute form with a scheme other than http and https.
    case unsupportedScheme
    /// The authority of an absolute form is not host and port, or holds user information.
    case invalidAuthority
    /// `*` with a method other than OPTIONS.
    case asteriskTarget
    /// CONNECT with anything but host and port.
    case invalidConnectTarget

    // MARK: Status line of a response

    /// Not version, space, three digits, space, text.
    case invalidStatusLine
    /// A status below 100.
    case invalidStatus
    /// 101 without `Upgrade`, or to a request that did not ask for it.
    case unexpectedSwitch

    // MARK: Field lines

    /// The head is longer than `headerBytesMax`, or a trailer section than `trailerBytesMax`.
    case headersTooLarge
    /// More field lines than `headersMax`.
    case tooManyHeaders
    /// LF without CR before it.
    case bareLineFeed
    /// CR without LF behind it.
    case bareCarriageReturn
    /// NUL or another control byte in a field value.
    case controlByte
    /// A line that begins with white space (obs-fold, RFC 9112 §5.2).
    case lineFolding
    /// A field line without a colon.
    case missingColon
    /// A field line that begins with a colon.
    case emptyName
    /// White space between field name and colon (RFC 9112 §5.1).
    case spaceBeforeColon
    /// A field name that is no token.
    case invalidName

    // MARK: Host

    /// An HTTP/1.1 request without `Host`.
    case missingHost
    /// More than one `Host`.
    case repeatedHost
    /// `Host` is not host and port.
    case invalidHost
    /// `Host` and the authority in the target differ.
    case hostMismatch

    // MARK: Framing

    /// `Content-Length` is no plain decimal number.
    case invalidContentLength
    /// More than one `Content-Length`, or a list, identical or not.
    case repeatedContentLength
    /// `Content-Length` beyond 63 bits.
    case contentLengthOverflow
    /// Both `Content-Length` and `Transfer-Encoding`.
    case contentLengthAndTransferEncoding
    /// `Transfer-Encoding` in an HTTP/1.0 message.
    case transferEncodingInHTTP10
    /// `Transfer-Encoding` where `chunked` is missing, repeated, or not last.
    case invalidTransferEncoding
    /// A transfer coding besides `chunked`.
    case unsupportedTransferEncoding
    /// An HTTP/1.0 request that should have a body and does not say how long it is (RFC 1945 §8.3).
    case lengthRequired
    /// CONNECT with a body, which has no meaning (RFC 9110 §9.3.6).
    case bodyInConnect
    /// `Connection` is no list of tokens, or names a field that framing or routing rests on.
    case invalidConnectionOption
    /// `Expect` asks for anything but `100-continue`.
    case unsupportedExpectation

    // MARK: Body

    /// More body than `bodyBytesMax`.
    case bodyTooLarge
    /// A chunk size that is no hexadecimal number, or has more than 16 digits.
    case invalidChunkSize
    /// A chunk size beyond 63 bits.
    case chunkSizeOverflow
    /// Chunk extensions that do not follow RFC 9112 §7.1.1.
    case invalidChunkExtension
    /// More chunk extensions than `chunkExtensionBytesMax`.
    case chunkExtensionsTooLarge
    /// No CRLF behind a chunk's size or data.
    case invalidChunkTerminator
    /// The connection ended before the body did.
    case truncatedBody

    // MARK: HTTP/2 only

    /// A pseudo-header field that does not exist, comes twice, or does not belong in this message (RFC 9113 §8.3).
    case invalidPseudoHeader
    /// A pseudo-header field that every such message has is missing (RFC 9113 §8.3.1).
    case missingPseudoHeader
    /// A pseudo-header field behind a regular one (RFC 9113 §8.3).
    case latePseudoHeader
    /// A field name with an upper-case letter (RFC 9113 §8.2.1).
    case uppercaseName
    /// White space at an end of a field value (RFC 9113 §8.2.1).
    case spaceAroundValue
    /// A field that is about the connection, which HTTP/2 speaks of in other ways (RFC 9113 §8.2.2).
    case connectionField
    /// The body is not as long as `Content-Length` says (RFC 9113 §8.1.1).
    case contentLengthMismatch
    /// A body before the head of the message, or a head that neither begins nor ends it (RFC 9113 §8.1).
    case misplacedFrame

    /// The status that answers a request refused for this reason.
    public var status: HTTPStatus {
        switch self {
        case .emptyLineBeforeRequest, .invalidMethod, .invalidRequestLine, .missingVersion, .invalidVersion,
            .invalidTarget, .fragmentInTarget, .invalidAbsoluteTarget, .unsupportedScheme, .invalidAuthority,
            .asteriskTarget, .invalidConnectTarget, .bareLineFeed, .bareCarriageReturn, .controlByte, .lineFolding,
            .missingColon, .emptyName, .spaceBeforeColon, .invalidName, .missingHost, .repeatedHost, .invalidHost,
            .hostMismatch, .invalidContentLength, .repeatedContentLength, .contentLengthOverflow,
            .contentLengthAndTransferEncoding, .transferEncodingInHTTP10, .invalidTransferEncoding,
            .bodyInConnect, .invalidConnectionOption, .invalidChunkSize, .chunkSizeOverflow, .invalidChunkExtension,
            .chunkExtensionsTooLarge, .invalidChunkTerminator, .truncatedBody, .invalidPseudoHeader,
            .missingPseudoHeader, .latePseudoHeader, .uppercaseName, .spaceAroundValue, .connectionField,
            .contentLengthMismatch, .misplacedFrame:
            .badRequest
        case .lengthRequired:
            .lengthRequired
        case .bodyTooLarge:
            .contentTooLarge
        case .targetTooLong:
            .uriTooLong
        case .unsupportedExpectation:
            .expectationFailed
        case .http10NotAccepted:
            .upgradeRequired
        case .headersTooLarge, .tooManyHeaders:
            .requestHeaderFieldsTooLarge
        case .methodTooLong, .unsupportedTransferEncoding:
            .notImplemented
        case .invalidStatusLine, .invalidStatus, .unexpectedSwitch:
            .badGateway
        case .unsupportedVersion, .http2Preface:
            .httpVersionNotSupported
        }
    }

    /// The reason in metrics and logs: snake_case, never changed once released.
    public var label: StaticString {
        switch self {
        case .emptyLineBeforeRequest: "empty_line_before_request"
        case .invalidMethod: "invalid_method"
        case .methodTooLong: "method_too_long"
        case .invalidRequestLine: "invalid_request_line"
        case .missingVersion: "missing_version"
        case .invalidVersion: "invalid_version"
        case .unsupportedVersion: "unsupported_version"
        case .http2Preface: "http2_preface"
        case .http10NotAccepted: "http10_not_accepted"
        case .targetTooLong: "target_too_long"
        case .invalidTarget: "invalid_target"
        case .fragmentInTarget: "fragment_in_target"
        case .invalidAbsoluteTarget: "invalid_absolute_target"
        case .unsupportedScheme: "unsupported_scheme"
        case .invalidAuthority: "invalid_authority"
        case .asteriskTarget: "asterisk_target"
        case .invalidConnectTarget: "invalid_connect_target"
        case .invalidStatusLine: "invalid_status_line"
        case .invalidStatus: "invalid_status"
        case .unexpectedSwitch: "unexpected_switch"
        case .headersTooLarge: "headers_too_large"
        case .tooManyHeaders: "too_many_headers"
        case .bareLineFeed: "bare_line_feed"
        case .bareCarriageReturn: "bare_carriage_return"
        case .controlByte: "control_byte"
        case .lineFolding: "line_folding"
        case .missingColon: "missing_colon"
        case .emptyName: "empty_name"
        case .spaceBeforeColon: "space_before_colon"
        case .invalidName: "invalid_name"
        case .missingHost: "missing_host"
        case .repeatedHost: "repeated_host"
        case .invalidHost: "invalid_host"
        case .hostMismatch: "host_mismatch"
        case .invalidContentLength: "invalid_content_length"
        case .repeatedContentLength: "repeated_content_length"
        case .contentLengthOverflow: "content_length_overflow"
        case .contentLengthAndTransferEncoding: "content_length_and_transfer_encoding"
        case .transferEncodingInHTTP10: "transfer_encoding_in_http10"
        case .invalidTransferEncoding: "invalid_transfer_encoding"
        case .unsupportedTransferEncoding: "unsupported_transfer_encoding"
        case .lengthRequired: "length_required"
        case .bodyInConnect: "body_in_connect"
        case .invalidConnectionOption: "invalid_connection_option"
        case .unsupportedExpectation: "unsupported_expectation"
        case .bodyTooLarge: "body_too_large"
        case .invalidChunkSize: "invalid_chunk_size"
        case .chunkSizeOverflow: "chunk_size_overflow"
        case .invalidChunkExtension: "invalid_chunk_extension"
        case .chunkExtensionsTooLarge: "chunk_extensions_too_large"
        case .invalidChunkTerminator: "invalid_chunk_terminator"
        case .truncatedBody: "truncated_body"
        case .invalidPseudoHeader: "invalid_pseudo_header"
        case .missingPseudoHeader: "missing_pseudo_header"
        case .latePseudoHeader: "late_pseudo_header"
        case .uppercaseName: "uppercase_name"
        case .spaceAroundValue: "space_around_value"
        case .connectionField: "connection_field"
        case .contentLengthMismatch: "content_length_mismatch"
        case .misplacedFrame: "misplaced_frame"
        }
    }
}
