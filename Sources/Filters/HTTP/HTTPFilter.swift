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
        /// The filter resumes the stream later (`HTTPStream.resume`), or answers it.
        case pause
        /// The filter answers by itself; the request goes no further.
        case respond(LocalResponse)
    }

    /// The head of a request is complete. It may be changed.
    open func onRequestHeaders(_ stream: HTTPStream) -> Status { .proceed }

    /// The head of the response, from upstream or from this proxy, is about to be sent. It may be changed.
    open func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) {}

    /// The exchange is over, however it ended. A paused one must not be resumed any more.
    open func onStreamEnd(_ stream: HTTPStream) {}
}
