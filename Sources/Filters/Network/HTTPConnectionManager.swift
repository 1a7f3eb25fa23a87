package import Engine
internal import HTTP
internal import Upstream

/// Speaks HTTP/1.1 with a client: the terminal network filter of an `http:` listener.
///
/// Owns the codec of its connection and hands each request, as a stream, to the filters and the router. One request
/// is worked on at a time, so answers leave in the order of the requests (RFC 9112 §9.3.2); what a client pipelines
/// behind waits here, unread beyond a bound.
///
/// Bytes go from the receive buffer to the upstream connection and back without a copy. They are copied only where
/// they have to wait: a head in pieces, pipelined requests, and a body whose connection is still being made.
package final class HTTPConnectionManager: NetworkFilter {
    enum Phase {
        /// Between requests, or in the middle of a head.
        case head
        /// The head is complete, its body is not.
        case body
        /// The request is complete, its response is not.
        case waiting
        /// The connection has left HTTP.
        case tunnel
        /// No further request is taken from this connection.
        case closing
    }

    var chain: HTTPChain
    var phase = Phase.head
    /// The request that is received or answered.
    var stream: HTTPStream?
    /// Received and not yet consumed.
    private var input: [UInt8] = []
    private var parser = HTTP1RequestParser()
    private var decoder = HTTP1BodyDecoder(.none)
    /// Bytes are being consumed further up the stack: what becomes possible meanwhile is done there.
    private var isConsuming = false
    /// All of the body is at hand, so it will be read even if nobody wants it.
    var bodyIsAtHand = false
    var keepsAlive = true
    var isDraining = false
    private var clientEnded = false
    /// The client does not take its responses as fast as they come.
    private var isBlocked = false
    /// The endpoint does not take the body as fast as it comes.
    private var isUpstreamBlocked = false
    private var requestCount: UInt64 = 0
    private var idleTimeoutNs: UInt64 = 0
    var closeReason = CloseReason.finished
    var response = ResponseState()
    /// The address of the client as text, made when the first request needs it.
    private var addressText: [UInt8]?
    /// The value of `x-forwarded-client-cert`, made when the connection is there.
    private(set) var clientCertificateText: [UInt8] = []

    package init(connection: Connection, chain: HTTPChain) {
        self.chain = chain
        super.init(connection: connection)
    }

    var worker: Worker { connection.worker }

    // MARK: Connection hooks

    package override func onConnected(_ connection: Connection) {
        if let certificate = connection.peerCertificate { clientCertificateText = ClientCertificate.text(certificate) }
        setIdleTimeout(ns: chain.settings.idleTimeoutNs)
        connection.startReading()
    }

    package override func onData(_ data: consuming Lease, on connection: Connection) {
        switch phase {
        case .closing: worker.discard(data)
        case .tunnel:
            if let upstream = stream?.route.upstream { upstream.write(data) } else { worker.discard(data) }
        case .head where input.isEmpty && !isBlocked: consume(data)
        case .body where input.isEmpty && isBodyWanted: consume(data)
        case .head, .body, .waiting:
            keep(data)
            advance()
        }
    }

    package override func onEnd(_ connection: Connection) {
        clientEnded = true
        if phase == .tunnel { stream?.route.upstream?.finishWriting() } else { clientHasEnded() }
    }

    package override func onAboveHighWatermark(_ connection: Connection) {
        isBlocked = true
        stream?.route.upstream?.pauseReading()
    }

    package override func onBelowLowWatermark(_ connection: Connection) {
        isBlocked = false
        stream?.route.upstream?.resumeReading()
        advance()
    }

    /// Between requests the connection ends; within one the client is told.
    package override func onIdle(_ connection: Connection) {
        guard let stream else {
            connection.close(.idleTimeout)
            return
        }
        if phase == .tunnel || phase == .closing || stream.responseStarted {
            stream.flag = .streamIdleTimeout
            connection.close(.idleTimeout, reset: true)
        } else {
            closeReason = .idleTimeout
            keepsAlive = false
            stream.respond(
                stream.requestEnded ? .gatewayTimeout : .requestTimeout, flag: .streamIdleTimeout,
                text: "nothing came for too long\n")
        }
    }

    package override func onDrain(_ connection: Connection) {
        isDraining = true
        if phase == .head, input.isEmpty, stream == nil {
            phase = .closing
            connection.closeWhenSent(.drained)
        }
    }

    package override func onClose(_ connection: Connection, _ reason: CloseReason) {
        phase = .closing
        input = []
        guard let stream else { return }
        self.stream = nil
        if stream.route.isTunnel {
            stream.route.upstream?.downstreamClosed(reason)
            stream.route.upstream = nil
        } else if stream.flag == .none {
            stream.flag = .downstreamConnectionTermination
        }
        stream.end()
    }

    // MARK: Receiving

    /// Bytes of the body can be handed on, or thrown away.
    private var isBodyWanted: Bool { response.isEnded || (stream?.route.isReady ?? false) }

    private func keep(_ data: consuming Lease) {
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
        worker.discard(data)
        // A head in pieces goes on being read, to its limit; everything else waits in the client's socket.
        if phase != .head || isBlocked { connection.pauseReading() }
    }

    /// What was received and not consumed, for a tunnel.
    func takeInput() -> [UInt8] {
        let bytes = input
        input = []
        return bytes
    }

    /// Consumes a buffer, as far as it goes, where it lies. What is left is kept.
    private func consume(_ data: consuming Lease) {
        isConsuming = true
        var data = data
        if phase == .head, let length = data.withBytes({ ByteSlice.withBytes(of: $0) { readHead($0) } }) {
            worker.dropFirst(length, of: &data)
        }
        if phase == .body, isBodyWanted, data.count > 0 {
            let consumed = readBody(data)
            worker.dropFirst(consumed, of: &data)
        }
        if data.count > 0, phase != .closing { keep(data) } else { worker.discard(data) }
        isConsuming = false
        settle()
        advance()
    }

    /// Consumes what was kept, as far as it goes.
    func advance() {
        if !isConsuming, !input.isEmpty, canConsume {
            isConsuming = true
            let bytes = input
            input = []
            let consumed = ByteSlice.withBytes(of: bytes) { consumeKept($0) }
            if phase != .closing, consumed < bytes.count {
                input = consumed == 0 ? bytes : Array(bytes[consumed...])
            }
            isConsuming = false
            settle()
        }
        guard !isConsuming else { return }
        if input.isEmpty || phase == .head { resumeReading() }
        if clientEnded { clientHasEnded() }
    }

    private func consumeKept(_ all: ByteSlice) -> Int {
        var offset = 0
        while offset < all.count, canConsume {
            let rest = all[offset..<all.count]
            if phase == .head {
                guard let length = readHead(rest) else { break }
                offset += length
            } else {
                let length = readBody(rest)
                offset += length
                if phase == .body, length == rest.count { break }
            }
            // A request that was answered on the spot makes room for the next one.
            if response.isEnded, phase == .waiting, offset < all.count { endExchange(hasMore: true) }
        }
        return offset
    }

    private var canConsume: Bool {
        switch phase {
        case .head: !isBlocked
        case .body: isBodyWanted
        case .waiting, .tunnel, .closing: false
        }
    }

    private func resumeReading() {
        guard phase != .closing, !isUpstreamBlocked, !isBlocked || phase == .body else { return }
        connection.resumeReading()
    }

    /// The client has ended its stream: once all that it sent is consumed, what is incomplete stays so.
    private func clientHasEnded() {
        switch phase {
        case .head where input.isEmpty || !isBlocked:
            let unfinished = stream
            stream = nil
            phase = .closing
            input = []
            unfinished?.end()
            connection.closeWhenSent(.finished)
        case .body where input.isEmpty:
            // The endpoint must not take what it got for the whole body.
            failRequest(.badRequest, .truncatedBody)
        case .head, .body, .waiting, .tunnel, .closing:
            break  // what is here is answered, then the connection ends
        }
    }

    // MARK: Heads

    /// Reads a head. Answers its length; nil when it is not complete, or refused.
    private func readHead(_ bytes: ByteSlice) -> Int? {
        if stream == nil { beginStream() }
        guard let stream else { return nil }
        switch parser.parse(bytes, limits: chain.settings.limits, into: &stream.request) {
        case .incomplete:
            stream.startRequestTimer(afterNs: chain.settings.requestTimeoutNs)
            return nil
        case .malformed(let error):
            failRequest(error.status, error)
            return nil
        case .complete(let length):
            stream.keepHead(bytes.prefix(length))
            headComplete(stream, bytesBehind: bytes.count - length)
            return length
        }
    }

    private func beginStream() {
        chain = chain.newest
        let stream = chain.takeStream()
        self.stream = stream
        stream.begin(self)
        parser.reset()
        response = ResponseState()
        bodyIsAtHand = false
        isUpstreamBlocked = false
        requestCount += 1
    }

    private func headComplete(_ stream: HTTPStream, bytesBehind: Int) {
        let settings = chain.settings
        keepsAlive = parser.isPersistent && !isDraining
        if let max = settings.requestsPerConnectionMax, requestCount >= max { keepsAlive = false }
        switch parser.bodyFraming {
        case .none, .length(0), .untilClose:
            phase = .waiting
            stream.requestArrived()
        case .length(let length):
            phase = .body
            decoder = HTTP1BodyDecoder(.length(length))
            bodyIsAtHand = length <= UInt64(bytesBehind)
            stream.headArrived()
        case .chunked:
            phase = .body
            decoder = HTTP1BodyDecoder(.chunked)
            stream.headArrived()
        }
        if let normalizer = settings.normalizer, stream.request.normalizePath(normalizer) != nil {
            stream.respond(.badRequest, flag: .downstreamProtocolError, text: "the path is not valid\n")
            return
        }
        setIdleTimeout(ns: settings.streamIdleTimeoutNs)
        ForwardingHeaders.apply(to: &stream.request, on: self)
        stream.runFilters()
    }

    /// The address of the peer without its port; empty for Unix sockets.
    var peerAddressText: [UInt8] {
        if let addressText { return addressText }
        let address = connection.peerAddress
        let text = address?.ipText ?? []
        addressText = text
        return text
    }

    // MARK: Bodies

    /// Hands the body in a buffer on. Answers how many bytes belonged to it.
    private func readBody(_ data: borrowing Lease) -> Int {
        var position = 0
        while let stream, phase == .body {
            let step = data.withBytes { span in
                ByteSlice.withBytes(of: span) { decoder.next($0, at: &position, limits: chain.settings.limits) }
            }
            guard case .event(.body(let offset, let length)) = step else {
                if bodyStep(step, stream) { continue }
                break
            }
            if !response.isEnded {
                chain.router.requestBody(stream, worker.slice(data, offset: offset, count: length))
            }
        }
        return phase == .closing ? data.count : position
    }

    /// The same from bytes that were kept, which are copied once more into memory that the upstream connection owns.
    private func readBody(_ bytes: ByteSlice) -> Int {
        var position = 0
        while let stream, phase == .body {
            let step = decoder.next(bytes, at: &position, limits: chain.settings.limits)
            guard case .event(.body(let offset, let length)) = step else {
                if bodyStep(step, stream) { continue }
                break
            }
            if !response.isEnded {
                chain.router.requestBody(
                    stream, bytes[offset..<(offset + length)].withSpan { worker.copy($0) })
            }
        }
        return phase == .closing ? bytes.count : position
    }

    /// False when there is nothing to read on for.
    private func bodyStep(_ step: HTTP1BodyStep, _ stream: HTTPStream) -> Bool {
        switch step {
        case .event(.trailers), .event(.body): return true
        case .event(.end):
            phase = .waiting
            // Nothing more goes there, so it stops nobody any more.
            isUpstreamBlocked = false
            stream.requestArrived()
            if !response.isEnded { chain.router.requestBodyEnd(stream, trailers: decoder.trailers) }
            return false
        case .event(.head), .event(.reset), .incomplete: return false
        case .malformed(let error):
            failRequest(error.status, error)
            return false
        }
    }

    /// The request cannot be read on: the client is told if it can still be, and the connection ends.
    private func failRequest(_ status: HTTPStatus, _ error: HTTP1Error) {
        chain.counters.add(to: HTTPStat.refused(error))
        closeReason = .protocolError
        keepsAlive = false
        guard let stream else { return }
        stream.respond(status, flag: .downstreamProtocolError, text: error.label)
    }

    // MARK: From the stream

    /// The upstream connection is there: the body can go.
    func upstreamReady() {
        isUpstreamBlocked = false
        if !isConsuming, phase == .body { advance() }
    }

    /// The upstream connection does not take the body as fast as it comes, or does again.
    func upstreamBlocked(_ isBlocked: Bool) {
        guard phase == .body || phase == .tunnel else { return }
        isUpstreamBlocked = isBlocked
        if isBlocked { connection.pauseReading() } else { advance() }
    }

    func requestTimedOut() {
        guard let stream, !stream.requestEnded else { return }
        closeReason = .idleTimeout
        keepsAlive = false
        stream.respond(.requestTimeout, flag: .none, text: "the request did not come in time\n")
    }

    // MARK: The end of an exchange

    /// The response is complete; what comes next depends on whether the request is.
    func settle() {
        guard !isConsuming, response.isEnded else { return }
        endExchange(hasMore: !input.isEmpty)
    }

    /// - Parameter hasMore: bytes of the next request have been received
    private func endExchange(hasMore: Bool) {
        guard let stream, phase != .closing else { return }
        self.stream = nil
        let requestEnded = stream.requestEnded
        stream.end()
        guard requestEnded, keepsAlive, !isDraining, hasMore || !clientEnded else {
            phase = .closing
            input = []
            let reason = !requestEnded && closeReason == .finished ? .localClose : closeReason
            connection.closeWhenSent(isDraining && reason == .finished ? .drained : reason)
            return
        }
        phase = .head
        isUpstreamBlocked = false
        setIdleTimeout(ns: chain.settings.idleTimeoutNs)
    }

    /// What counts as idle depends on whether a request is in progress, and on its route.
    func setIdleTimeout(ns: UInt64) {
        guard ns != idleTimeoutNs else { return }
        idleTimeoutNs = ns
        connection.setIdleTimeout(ns: ns)
    }
}

/// Makes the manager of each connection of a listener.
package final class HTTPConnectionManagerFactory: NetworkFilterFactory {
    private let chain: HTTPChain

    package init(chain: HTTPChain) {
        self.chain = chain
        super.init()
    }

    package override func makeFilter(for connection: Connection) -> NetworkFilter {
        HTTPConnectionManager(connection: connection, chain: chain.newest)
    }
}
