/// A status code (RFC 9110 §15 and the IANA registry of status codes).
public struct HTTPStatus: RawRepresentable, Hashable, Sendable {
    /// 100–999; codes without a name here are carried as they are.
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// First digit: 2 for every success, 5 for every server error.
    public var codeClass: Int { Int(rawValue) / 100 }

    /// 1xx: another response to the same request follows, except after 101.
    public var isInformational: Bool { rawValue < 200 }

    /// Responses with this status never have a body, whatever their headers say (RFC 9112 §6.3).
    public var neverHasBody: Bool { isInformational || self == .noContent || self == .notModified }

    public static let `continue` = HTTPStatus(rawValue: 100)
    public static let switchingProtocols = HTTPStatus(rawValue: 101)
    public static let processing = HTTPStatus(rawValue: 102)
    public static let earlyHints = HTTPStatus(rawValue: 103)
    public static let ok = HTTPStatus(rawValue: 200)
    public static let created = HTTPStatus(rawValue: 201)
    public static let accepted = HTTPStatus(rawValue: 202)
    public static let nonAuthoritativeInformation = HTTPStatus(rawValue: 203)
    public static let noContent = HTTPStatus(rawValue: 204)
    public static let resetContent = HTTPStatus(rawValue: 205)
    public static let partialContent = HTTPStatus(rawValue: 206)
    public static let multiStatus = HTTPStatus(rawValue: 207)
    public static let alreadyReported = HTTPStatus(rawValue: 208)
    public static let imUsed = HTTPStatus(rawValue: 226)
    public static let multipleChoices = HTTPStatus(rawValue: 300)
    public static let movedPermanently = HTTPStatus(rawValue: 301)
    public static let found = HTTPStatus(rawValue: 302)
    public static let seeOther = HTTPStatus(rawValue: 303)
    public static let notModified = HTTPStatus(rawValue: 304)
    public static let useProxy = HTTPStatus(rawValue: 305)
    public static let temporaryRedirect = HTTPStatus(rawValue: 307)
    public static let permanentRedirect = HTTPStatus(rawValue: 308)
    public static let badRequest = HTTPStatus(rawValue: 400)
    public static let unauthorized = HTTPStatus(rawValue: 401)
    public static let paymentRequired = HTTPStatus(rawValue: 402)
    public static let forbidden = HTTPStatus(rawValue: 403)
    public static let notFound = HTTPStatus(rawValue: 404)
    public static let methodNotAllowed = HTTPStatus(rawValue: 405)
    public static let notAcceptable = HTTPStatus(rawValue: 406)
    public static let proxyAuthenticationRequired = HTTPStatus(rawValue: 407)
    public static let requestTimeout = HTTPStatus(rawValue: 408)
    public static let conflict = HTTPStatus(rawValue: 409)
    public static let gone = HTTPStatus(rawValue: 410)
    public static let lengthRequired = HTTPStatus(rawValue: 411)
    public static let preconditionFailed = HTTPStatus(rawValue: 412)
    public static let contentTooLarge = HTTPStatus(rawValue: 413)
    public static let uriTooLong = HTTPStatus(rawValue: 414)
    public static let unsupportedMediaType = HTTPStatus(rawValue: 415)
    public static let rangeNotSatisfiable = HTTPStatus(rawValue: 416)
    public static let expectationFailed = HTTPStatus(rawValue: 417)
    public static let misdirectedRequest = HTTPStatus(rawValue: 421)
    public static let unprocessableContent = HTTPStatus(rawValue: 422)
    public static let locked = HTTPStatus(rawValue: 423)
    public static let failedDependency = HTTPStatus(rawValue: 424)
    public static let tooEarly = HTTPStatus(rawValue: 425)
    public static let upgradeRequired = HTTPStatus(rawValue: 426)
    public static let preconditionRequired = HTTPStatus(rawValue: 428)
    public static let tooManyRequests = HTTPStatus(rawValue: 429)
    public static let requestHeaderFieldsTooLarge = HTTPStatus(rawValue: 431)
    public static let unavailableForLegalReasons = HTTPStatus(rawValue: 451)
    public static let internalServerError = HTTPStatus(rawValue: 500)
    public static let notImplemented = HTTPStatus(rawValue: 501)
    public static let badGateway = HTTPStatus(rawValue: 502)
    public static let serviceUnavailable = HTTPStatus(rawValue: 503)
    public static let gatewayTimeout = HTTPStatus(rawValue: 504)
    public static let httpVersionNotSupported = HTTPStatus(rawValue: 505)
    public static let variantAlsoNegotiates = HTTPStatus(rawValue: 506)
    public static let insufficientStorage = HTTPStatus(rawValue: 507)
    public static let loopDetected = HTTPStatus(rawValue: 508)
    public static let networkAuthenticationRequired = HTTPStatus(rawValue: 511)

    /// The registered reason phrase, empty for codes that have none.
    public var reasonPhrase: StaticString {
        switch rawValue {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 102: "Processing"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 203: "Non-Authoritative Information"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 207: "Multi-Status"
        case 208: "Already Reported"
        case 226: "IM Used"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 305: "Use Proxy"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 407: "Proxy Authentication Required"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 423: "Locked"
        case 424: "Failed Dependency"
        case 425: "Too Early"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 506: "Variant Also Negotiates"
        case 507: "Insufficient Storage"
        case 508: "Loop Detected"
        case 511: "Network Authentication Required"
        default: ""
        }
    }
}
