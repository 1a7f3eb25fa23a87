public import Engine
public import HTTP
package import Upstream

/// A filter at layer 7. Subclass it, override the hooks that matter, and add one registration line.
///
/// One instance serves all requests of a listener on one worker; what it needs to know about one request it
/// keeps in the stream (`HTTPStream.filterState`). Request hooks run in the order of the configuration,
/// response hooks in the reverse order.
///
///     head ─▶ onRequestHeaders ─▶ … ─▶ router      router ─▶ … ─▶ onResponseHeaders ─▶ client
///     body ─▶ onRequestBody    ─▶ … ─▶ router      router ─▶ … ─▶ onResponseBody    ─▶ client
///
/// Bodies pass a filter only if it says so (`interests`); otherwise they go from one side to the other as they come.
/// All hooks run on the worker and must not block. What takes time is begun in a hook that answers `.pause`, and ends
/// with `HTTPStream.resumeRequest()` or `resumeResponse()`: in a timer of the stream, or wherever an answer arrives;
/// `HTTPStream.ticket` tells whether the stream is still there by then.
open class HTTPFilter: TimerTask {
    /// What becomes of a message after a hook that has seen its head.
    public enum Status {
        /// On to the next filter.
        case proceed
        /// The head stays here until the filter resumes the stream, or answers it (`HTTPStream.respond`). What follows
        /// the head is not read meanwhile, unless the filter is interested in bodies.
        case pause
        /// The filter answers by itself; the message goes no further.
        case respond(LocalResponse, ResponseFlag)
    }

    /// What becomes of a piece of a body, or of its end, after a hook that has seen it.
    public enum BodyStatus {
        /// On to the next filter, after everything that this filter has held back.
        case proceed
        /// Stays here, up to `limits.buffer_bytes`, with all that follows, until a later hook or the filter lets it go.
        case hold
        /// As `hold`, and no more is read until the filter resumes the stream.
        case pause
        /// The filter answers by itself; the message goes no further.
        case respond(LocalResponse, ResponseFlag)
    }

    /// Which hooks besides those for heads are called. What no filter wants costs nothing.
    public struct Interests: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `onRequestBody` and `onRequestEnd`.
        public static let requestBody = Interests(rawValue: 1)
        /// `onResponseBody` and `onResponseEnd`.
        public static let responseBody = Interests(rawValue: 2)
        /// `onRequestTrailers` and `onResponseTrailers`.
        public static let trailers = Interests(rawValue: 4)
    }

    /// The place of this filter in the configuration, from 0: where it keeps its word of a stream.
    public internal(set) final var index = 0

    /// The clusters that `ConfigurableHTTPFilter.clusters(in:)` names, in its order, as this worker reaches them.
    public internal(set) final var clusters: [HTTPFilterCluster] = []
    /// Whether this process wants requests: false while it drains, and after `POST /healthcheck/fail`.
    public final var isProcessServing: Bool { serving?.isServing ?? true }

    private var counters: HTTPFilterCounters?
    private var serving: ServingState?

    /// Counts one of `ConfigurableHTTPFilter.events`, by its place there.
    public final func count(_ event: some RawRepresentable<Int>) { counters?.add(event.rawValue) }

    /// Gives the filter what it has beside its settings, before the first request.
    package final func attach(clusters: [HTTPConnectionPool], counters: HTTPFilterCounters?, serving: ServingState) {
        self.clusters = clusters.map(HTTPFilterCluster.init)
        self.counters = counters
        self.serving = serving
    }

    /// Asked once, when the filter has been made.
    open var interests: Interests { [] }

    // MARK: Requests

    /// The head of a request is complete. It may be changed.
    open func onRequestHeaders(_ stream: HTTPStream) -> Status { .proceed }

    /// A piece of the request's body, which may be exchanged for another (`HTTPStream.replace`). Heads and bodies pass
    /// a filter in order, so its `onRequestHeaders` was called before.
    open func onRequestBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus { .proceed }

    /// The trailers, right before the end. They may be changed.
    open func onRequestTrailers(_ stream: HTTPStream, _ fields: inout HeaderTable) {}

    /// The request is complete. Not called for one without a body: `onRequestHeaders` sees `HTTPStream.requestEnded`.
    open func onRequestEnd(_ stream: HTTPStream) -> BodyStatus { .proceed }

    // MARK: Responses

    /// The head of the final response, from upstream or from this proxy, is about to be sent. It may be changed.
    /// Called for requests that this filter has seen. An answer of the proxy (`HTTPStream.isLocalResponse`) is not
    /// answered again: there `.respond` is as `.proceed`.
    open func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status { .proceed }

    /// A piece of the response's body, as for `onRequestBody`.
    open func onResponseBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus { .proceed }

    open func onResponseTrailers(_ stream: HTTPStream, _ fields: inout HeaderTable) {}

    open func onResponseEnd(_ stream: HTTPStream) -> BodyStatus { .proceed }

    // MARK: Both

    /// The timer that this filter has started for the stream (`HTTPStream.startTimer`).
    open func onTimer(_ stream: HTTPStream) {}

    /// The request that this filter has sent for the stream (`HTTPStream.subrequest`) is over, with or without a
    /// response. Not called once the exchange is over or answered: the request is given up then.
    open func onSubrequestEnd(_ stream: HTTPStream, _ subrequest: HTTPSubrequest, _ outcome: HTTPSubrequest.Outcome) {}

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
