internal import Engine
internal import HTTP

/// Requests as they come in: what is received is consumed where it lies, or kept until it can be.
extension HTTP1ServerCodec {
    // MARK: Receiving

    /// Bytes of the body can be handed on, or thrown away.
    var isBodyWanted: Bool { hot.value.response.isEnded || (stream?.wantsRequestBody ?? false) }

    func keep(_ data: consuming Lease) {
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
        worker.discard(data)
        // A head in pieces goes on being read, to its limit; everything else waits in the client's socket.
        if hot.value.phase != .head || hot.value.isBlocked { connection.pauseReading() }
    }

    /// What was received and not consumed, for a tunnel.
    func takeInput() -> [UInt8] {
        let bytes = input
        input = []
        return bytes
    }

    /// Consumes a buffer, as far as it goes, where it lies. What is left is kept.
    func consume(_ data: consuming Lease) {
        hot.value.isConsuming = true
        var data = data
        if hot.value.phase == .head, let length = data.withBytes({ ByteSlice.withBytes(of: $0) { readHead($0) } }) {
            worker.dropFirst(length, of: &data)
        }
        if hot.value.phase == .body, data.count > 0, isBodyWanted {
            let consumed = readBody(data)
            worker.dropFirst(consumed, of: &data)
        }
        if data.count > 0, hot.value.phase != .closing { keep(data) } else { worker.discard(data) }
        hot.value.isConsuming = false
        settle()
        advance()
    }

    /// Consumes what was kept, as far as it goes.
    func advance() {
        if !hot.value.isConsuming, !input.isEmpty, canConsume {
            hot.value.isConsuming = true
            let bytes = takeInput()
            let consumed = ByteSlice.withBytes(of: bytes) { consumeKept($0) }
            if hot.value.phase != .closing, consumed < bytes.count {
                input = consumed == 0 ? bytes : Array(bytes[consumed...])
            }
            hot.value.isConsuming = false
            settle()
        }
        guard !hot.value.isConsuming else { return }
        if input.isEmpty || hot.value.phase == .head { resumeReading() }
        if hot.value.phase == .body { considerTransfer() }
        if hot.value.clientEnded { clientHasEnded() }
    }

    private func consumeKept(_ all: ByteSlice) -> Int {
        var offset = 0
        while offset < all.count, canConsume {
            let rest = all[offset..<all.count]
            if hot.value.phase == .head {
                guard let length = readHead(rest) else { break }
                offset += length
            } else {
                let length = readBody(rest)
                offset += length
                if hot.value.phase == .body, length == 0 || length == rest.count { break }
            }
            // A request that was answered on the spot makes room for the next one.
            if hot.value.response.isEnded, hot.value.phase == .waiting, offset < all.count {
                endExchange(hasMore: true)
            }
        }
        return offset
    }

    private var canConsume: Bool {
        switch hot.value.phase {
        case .head: !hot.value.isBlocked
        case .body: isBodyWanted
        case .waiting, .tunnel, .closing: false
        }
    }

    private func resumeReading() {
        guard hot.value.phase != .closing, !hot.value.isBodyBlocked,
            !hot.value.isBlocked || hot.value.phase == .body
        else { return }
        connection.resumeReading()
    }

    /// The client has ended its stream: once all that it sent is consumed, what is incomplete stays so.
    func clientHasEnded() {
        switch hot.value.phase {
        case .head where input.isEmpty || !hot.value.isBlocked:
            let unfinished = stream
            stream = nil
            hot.value.phase = .closing
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
        let stream = stream ?? beginStream()
        switch stream.hot.value.parser.parse(bytes, limits: stream.settings.limits, into: &stream.request) {
        case .incomplete:
            stream.startRequestTimer(afterNs: stream.settings.requestTimeoutNs)
            return nil
        case .malformed(.http2Preface) where hot.value.requestCount == 1 && becomeHTTP2(bytes): return nil
        case .malformed(let error):
            failRequest(error.status, error)
            return nil
        case .complete(let length):
            stream.keepHead(bytes.prefix(length))
            headComplete(stream, bytesBehind: bytes.count - length)
            return length
        }
    }

    /// Leaves the connection to the codec of HTTP/2, with all that has come. This codec is told nothing any more.
    private func becomeHTTP2(_ bytes: ByteSlice) -> Bool {
        guard chain.settings.acceptsHTTP2 else { return false }
        hot.value.phase = .closing
        let unused = stream
        stream = nil
        unused?.hot.value.info.isNothing = true
        unused?.end()
        let received = bytes.withSpan { span in unsafe span.withUnsafeBytes { unsafe Array($0) } }
        manager.becomeHTTP2(received)
        return true
    }

    private func beginStream() -> HTTPStream {
        if chain.successor != nil || chain.isRetired { chain = manager.currentChain() }
        let stream = chain.takeStream()
        self.stream = stream
        stream.begin(self)
        hot.value.response = ResponseState()
        hot.value.bodyIsAtHand = false
        hot.value.isBodyBlocked = false
        hot.value.requestCount += 1
        return stream
    }

    private func headComplete(_ stream: HTTPStream, bytesBehind: Int) {
        hot.value.keepsAlive = stream.hot.value.parser.isPersistent && !isDraining
        let hasServedEnough = withManager {
            $0.hasServedEnough(requests: hot.value.requestCount, stream.settings)
        }
        if hasServedEnough { hot.value.keepsAlive = false }
        switch stream.hot.value.parser.bodyFraming {
        case .none, .length(0), .untilClose:
            hot.value.phase = .waiting
            if hot.value.isTransferable {
                hot.value.isTransferable = false
                connection.expectTransfer(false)
            }
            stream.headArrived(isComplete: true)
        case .length(let length):
            hot.value.phase = .body
            stream.hot.value.decoder = HTTP1BodyDecoder(.length(length))
            hot.value.isTransferable = false
            hot.value.refusesTransfer = false
            hot.value.bodyIsAtHand = length <= UInt64(bytesBehind)
            stream.headArrived(isComplete: false)
        case .chunked:
            hot.value.phase = .body
            stream.hot.value.decoder = HTTP1BodyDecoder(.chunked)
            hot.value.isTransferable = false
            hot.value.refusesTransfer = false
            stream.headArrived(isComplete: false)
        }
    }

    // MARK: Bodies

    /// Hands the body in a buffer on. Answers how many bytes belonged to it.
    private func readBody(_ data: borrowing Lease) -> Int {
        var position = 0
        while let stream, hot.value.phase == .body, isBodyWanted {
            let step = data.withBytes { span in
                ByteSlice.withBytes(of: span) { nextStep($0, at: &position, of: stream) }
            }
            guard case .event(.body(let offset, let length)) = step else {
                if bodyStep(step, stream) { continue }
                break
            }
            if !hot.value.response.isEnded {
                stream.requestBody(worker.slice(data, offset: offset, count: length))
            }
        }
        return hot.value.phase == .closing ? data.count : position
    }

    /// The same from bytes that were kept, which are copied once more into memory that the upstream connection owns.
    private func readBody(_ bytes: ByteSlice) -> Int {
        var position = 0
        while let stream, hot.value.phase == .body, isBodyWanted {
            let step = nextStep(bytes, at: &position, of: stream)
            guard case .event(.body(let offset, let length)) = step else {
                if bodyStep(step, stream) { continue }
                break
            }
            if !hot.value.response.isEnded {
                stream.requestBody(bytes[offset..<(offset + length)].withSpan { worker.copy($0) })
            }
        }
        return hot.value.phase == .closing ? bytes.count : position
    }

    func nextStep(_ bytes: ByteSlice, at position: inout Int, of stream: HTTPStream) -> HTTP1BodyStep {
        stream.hot.value.decoder.next(bytes, at: &position, limits: stream.settings.limits)
    }

    /// False when there is nothing to read on for.
    func bodyStep(_ step: HTTP1BodyStep, _ stream: HTTPStream) -> Bool {
        switch step {
        case .event(.trailers):
            if !hot.value.response.isEnded, let trailers = stream.hot.value.decoder.trailers {
                stream.requestTrailers(&trailers.fields)
            }
            return true
        case .event(.body): return true
        case .event(.end):
            hot.value.phase = .waiting
            // The rest may have come in buffers while the transfer of it waited for its turn.
            connection.cancelTransfer()
            connection.expectTransfer(hot.value.isTransferable)
            // Nothing more goes there, so it stops nobody any more.
            hot.value.isBodyBlocked = false
            if hot.value.response.isEnded { stream.hot.value.requestEnded = true } else { stream.requestEnd() }
            return false
        case .event(.head), .event(.reset), .incomplete: return false
        case .malformed(let error):
            failRequest(error.status, error)
            return false
        }
    }

    /// The request cannot be read on: the client is told if it can still be, and the connection ends.
    func failRequest(_ status: HTTPStatus, _ error: HTTPMessageError) {
        chain.counters.add(to: HTTPStat.refused(error))
        hot.value.closeReason = .protocolError
        hot.value.keepsAlive = false
        guard let stream else { return }
        // Where the body ends is not known, so nothing behind it can be read either.
        if hot.value.phase == .body { hot.value.phase = .waiting }
        guard !hot.value.response.isEnded else { return settle() }
        stream.hot.value.info.details = error.label
        stream.respond(status, flag: .downstreamProtocolError, text: error.label)
    }

    // MARK: The end of an exchange

    /// The response is complete; what comes next depends on whether the request is.
    func settle() {
        guard !hot.value.isConsuming, hot.value.response.isEnded else { return }
        endExchange(hasMore: !input.isEmpty)
    }

    /// - Parameter hasMore: bytes of the next request have been received
    private func endExchange(hasMore: Bool) {
        guard hot.value.phase != .closing else { return }
        accountForTransfer()
        guard let stream = stream.take() else { return }
        let requestEnded = stream.requestEnded
        stream.end()
        guard requestEnded, hot.value.keepsAlive, !isDraining, hasMore || !hot.value.clientEnded else {
            hot.value.phase = .closing
            input = []
            let reason: CloseReason =
                !requestEnded && hot.value.closeReason == .finished ? .localClose : hot.value.closeReason
            connection.closeWhenSent(isDraining && reason == .finished ? .drained : reason)
            return
        }
        hot.value.phase = .head
        hot.value.isBodyBlocked = false
        setIdleTimeout(ns: stream.settings.idleTimeoutNs)
    }
}
