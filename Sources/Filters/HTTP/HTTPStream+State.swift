internal import Engine
internal import HTTP

extension HTTPStream {
    /// What changes with every request. It lies at an address of its own: class properties cost a check an access.
    @safe
    struct State {
        /// There until the stream ends. See `withCodec`.
        var codec: Unmanaged<ServerCodec>?
        var filters: HTTPFilterList
        var requestFlow = BodyFlow()
        var responseFlow = BodyFlow()
        // How far an HTTP/1.1 request was read. Not with the codec: a connection that waits for a request needs none.
        var parser = HTTP1RequestParser()
        var decoder = HTTP1BodyDecoder(.none)
        /// Filters whose request hook has seen the head.
        var filtersPassed = 0
        /// Requests that this object has served: tells them apart.
        var use: UInt64 = 0
        var startedNs: UInt64 = 0
        var flag = ResponseFlag.none
        var status = HTTPStatus.ok
        var isEnded = true
        /// All of the request has arrived.
        var requestEnded = false
        /// A final response was chosen: the endpoint's, or one of our own.
        var hasResponse = false
        /// It is one of our own.
        var isLocalResponse = false
        /// Its head was sent.
        var responseStarted = false
        /// The client does not take the response as fast as it comes.
        var isClientBlocked = false
        /// The endpoint's response is not read.
        var isUpstreamPaused = false
        /// The endpoint does not take the request's body as fast as it comes.
        var isRequestBlocked = false
        /// For the head of the request, then for its body.
        var requestTimer = TaskTimer.none
        var bodyClock = RequestBodyClock()
        /// The memory of this object is cut to what a tunnel needs.
        var isShrunk = false
        /// What logs tell of this exchange.
        var info = StreamInfo()

        init(filters: HTTPFilterList) { self.filters = filters }
    }
}
