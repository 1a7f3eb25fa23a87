public import Config
public import Engine
public import HTTP

/// `body_limit`: bounds the bodies of requests and of responses, which pass as they come.
///
/// A request that says that it is too large, or turns out to be, is answered with 413; a response with 502, or cut off
/// where it has begun.
public final class BodyLimitFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        /// nil for no bound.
        fileprivate let requestBytesMax: UInt64?
        fileprivate let responseBytesMax: UInt64?
    }

    public static let name = "body_limit"
    public static var events: [String] { ["request_too_large", "response_too_large"] }

    private enum Event: Int { case requestTooLarge, responseTooLarge }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let request = object.optional("request_bytes", .size(in: ConfigLimits.bodyBytes))
        let response = object.optional("response_bytes", .size(in: ConfigLimits.bodyBytes))
        if object.entry("request_bytes") == nil, object.entry("response_bytes") == nil {
            object.reportMissing("\"request_bytes\" or \"response_bytes\"", expected: "at least one of them")
        }
        guard object.finish() else { return nil }
        return Settings(
            requestBytesMax: request.map { UInt64($0.bytes) }, responseBytesMax: response.map { UInt64($0.bytes) })
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override var interests: Interests {
        var interests: Interests = []
        if settings.requestBytesMax != nil { interests.insert(.requestBody) }
        if settings.responseBytesMax != nil { interests.insert(.responseBody) }
        return interests
    }

    // MARK: Requests

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard case .exactly(let length) = stream.request.bodyLength, let max = settings.requestBytesMax, length > max
        else { return .proceed }
        count(Event.requestTooLarge)
        return .respond(Self.requestRefusal, .downstreamProtocolError)
    }

    public override func onRequestBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        stream.filterState[index] += UInt64(data.count)
        guard let max = settings.requestBytesMax, stream.filterState[index] > max else { return .proceed }
        count(Event.requestTooLarge)
        return .respond(Self.requestRefusal, .downstreamProtocolError)
    }

    // MARK: Responses

    public override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        // The word counts the response from here on.
        stream.filterState[index] = 0
        guard !stream.isLocalResponse, stream.request.method != .head, let max = settings.responseBytesMax,
            case .exactly(let length) = head.bodyLength, length > max
        else { return .proceed }
        count(Event.responseTooLarge)
        return .respond(Self.responseRefusal, .none)
    }

    public override func onResponseBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        guard !stream.isLocalResponse, let max = settings.responseBytesMax else { return .proceed }
        stream.filterState[index] += UInt64(data.count)
        guard stream.filterState[index] > max else { return .proceed }
        count(Event.responseTooLarge)
        return .respond(Self.responseRefusal, .none)
    }

    private static let requestRefusal = LocalResponse(.contentTooLarge, text: "the request is too large\n")
    private static let responseRefusal = LocalResponse(.badGateway, text: "the response is too large\n")
}
