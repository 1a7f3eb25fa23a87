public import Engine
public import HTTP
public import Upstream

/// One exchange: a request, the filters it passes, its way upstream, and the response.
///
/// Objects are kept in a pool of the worker and used again, so that a request allocates none. Between the
/// codec below (`HTTPConnectionManager`) and the upstream connection above everything passes through here, in
/// the same shape for every version: head, body, end, reset.
public final class HTTPStream: UpstreamRequest {
    /// The head of the request, as received and as changed by filters since.
    public var request: RequestHead
    unowned(unsafe) var manager: HTTPConnectionManager
    /// One word per filter of the chain for this request, at the filter's place in the configuration.
    public var filterState: [UInt64]
    public internal(set) var flag = ResponseFlag.none

    let chain: HTTPChain
    /// The bytes of the request's head. Copied out of the receive buffer, which is shared by all connections,
    /// because the head is needed as long as the request lasts: for retries, the route and the log.
    var headBytes: [UInt8] = []
    var nextFilter = 0
    var isPaused = false
    var router = RouterState()
    var startedNs: UInt64 = 0
    /// The response's head, or a local response, was sent.
    var responseStarted = false
    var isEnded = false

    public var worker: Worker { unsafe manager.connection.worker }
    /// The client's connection.
    public var connection: Connection { unsafe manager.connection }

    /// Passes the request on after a filter has paused it.
    public func resume() {
        guard isPaused, !isEnded else { return }
        isPaused = false
        runFilters()
    }

    /// Answers from this proxy. Without effect once a response has begun, except that the stream ends.
    public func respond(_ response: LocalResponse, flag: ResponseFlag) {
        guard !isEnded else { return }
        self.flag = flag
        isPaused = false
        chain.router.abandon(self)
        unsafe manager.respond(response, on: self)
    }

    // From upstream: onReady → router.ready, onResponseHead → router.responseHead (retry decision, response header
    // policy, response filters in reverse order, manager.responseHead), onResponseBody → manager.responseBody,
    // onResponseEnd → router.responseEnd → manager.responseEnd, onReset → router.reset, onUpstreamBlocked →
    // manager.requestBlocked, onTimer → router.timerFired.
}
