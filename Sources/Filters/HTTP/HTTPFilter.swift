public import Engine
public import HTTP

/// A filter at layer 7. Subclass it, override the hooks that matter, and add one registration line.
///
/// One instance serves all requests of a listener on one worker; what it needs to know about one request it
/// keeps in the stream (`HTTPStream.filterState`). Request hooks run in the order of the configuration,
/// response hooks in the reverse order. Bodies do not pass through filters: they go from one side to the other
/// as they come.
open class HTTPFilter: TimerTask {
    /// What becomes of a request after a hook.
    public enum Status {
        /// On to the next filter.
        case proceed
        /// The filter resumes the stream later (`HTTPStream.resume`), or answers it (`HTTPStream.respond`).
        case pause
        /// The filter answers by itself; the request goes no further.
        case respond(LocalResponse, ResponseFlag)
    }

    /// The place of this filter in the configuration, from 0: where it keeps its word of a stream.
    public internal(set) final var index = 0

    /// The head of a request is complete. It may be changed.
    open func onRequestHeaders(_ stream: HTTPStream) -> Status { .proceed }

    /// The head of the final response, from upstream or from this proxy, is about to be sent. It may be changed.
    /// Called for requests that this filter has seen.
    open func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) {}

    /// The exchange is over, however it ended. A paused one must not be resumed any more.
    open func onStreamEnd(_ stream: HTTPStream) {}
}

/// An answer that the proxy gives itself.
public struct LocalResponse: Sendable {
    public var status: HTTPStatus
    /// Fields besides Server, Date, Content-Length and Connection.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(_ status: HTTPStatus, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public init(_ status: HTTPStatus, text: String, type: String = "text/plain; charset=utf-8") {
        self.init(status, headers: [("content-type", type)], body: Array(text.utf8))
    }
}

/// What was special about an exchange, in Envoy's words (`%RESPONSE_FLAGS%`).
public enum ResponseFlag: UInt8, CaseIterable, Sendable {
    case none
    case noRouteFound
    case noClusterFound
    case noHealthyUpstream
    case upstreamConnectionFailure
    case upstreamConnectionTermination
    case upstreamRequestTimeout
    case upstreamOverflow
    case downstreamConnectionTermination
    case downstreamProtocolError
    case streamIdleTimeout
    case rateLimited

    /// As access logs and `x-ringway-reason` write it; `-` for none.
    public var label: StaticString {
        switch self {
        case .none: "-"
        case .noRouteFound: "NR"
        case .noClusterFound: "NC"
        case .noHealthyUpstream: "UH"
        case .upstreamConnectionFailure: "UF"
        case .upstreamConnectionTermination: "UC"
        case .upstreamRequestTimeout: "UT"
        case .upstreamOverflow: "UO"
        case .downstreamConnectionTermination: "DC"
        case .downstreamProtocolError: "DPE"
        case .streamIdleTimeout: "SI"
        case .rateLimited: "RL"
        }
    }
}
