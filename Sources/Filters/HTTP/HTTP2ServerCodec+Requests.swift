internal import Engine
internal import HTTP
internal import HTTP2
internal import Upstream

/// What the client says: events of the session become requests on their streams.
extension HTTP2ServerCodec {
    func take(_ event: HTTP2Event, _ data: borrowing Lease, at base: Int) {
        guard case .body(let stream, let offset, let length) = event else { return take(event) }
        let slot = Int(stream.slot)
        guard let exchange = entries[slot].stream else { return session.consume(stream, length) }
        entries[slot].lastActiveNs = worker.nowNs
        entries[slot].unconsumed += length
        if !entries[slot].isHeld, wantsBody(exchange, slot) {
            exchange.requestBody(worker.slice(data, offset: base + offset, count: length))
            giveBack(stream)
            return
        }
        data.withBytes { span in
            unsafe span.withUnsafeBytes { bytes in
                let part = unsafe bytes[(base + offset)..<(base + offset + length)]
                unsafe hold(slot).bytes.append(contentsOf: part)
            }
        }
    }

    func take(_ event: HTTP2Event) {
        switch event {
        case .head(let stream, let endsStream): begin(stream, endsStream: endsStream)
        case .body: break  // comes with the bytes it is in
        case .trailers(let stream): takeTrailers(stream)
        case .end(let stream): requestEnded(stream)
        case .malformed(let stream, let error): refuse(stream, error)
        case .closed(let stream, let code): closed(stream, code)
        case .drained(let stream): entries[Int(stream.slot)].stream?.clientBlocked(false)
        case .pong(.roundTrip): finishDrain()
        case .pong: break
        case .goAway, .settings: break
        }
    }

    private func begin(_ stream: HTTP2Stream, endsStream: Bool) {
        let slot = Int(stream.slot)
        let newest = manager.currentChain()
        let exchange = newest.takeStream()
        exchange.begin(self)
        exchange.codecSlot = stream.slot
        keep(exchange, of: newest, at: slot)
        requestCount += 1
        cancelIdleTimer()
        if manager.hasServedEnough(requests: requestCount, newest.settings) { onDrain() }
        if newest.isRetired { onDrain() }
        switch session.finishRequest(stream, into: &exchange.request) {
        case .failure(let error): refuse(stream, error)
        case .success(let bytes):
            exchange.keepHead(bytes)
            entries[slot].isConnect = exchange.request.method == .connect || exchange.request.offersUpgrade
            if exchange.request.isExtendedConnect { addWebSocketKey(&exchange.request, newest) }
            // What follows an extended CONNECT is no body but the other protocol, as behind an `Upgrade`.
            exchange.headArrived(isComplete: endsStream || exchange.request.isExtendedConnect)
        }
    }

    /// An endpoint that speaks HTTP/1.1 wants one (RFC 6455 §4.2.1); clients of HTTP/2 send none (RFC 8441 §5).
    private func addWebSocketKey(_ head: inout RequestHead, _ chain: HTTPChain) {
        guard head.headers[.upgrade]?.equalsIgnoringCase("websocket") ?? false else { return }
        let key = WebSocketHandshake.makeKey((chain.requestIDs.next(), chain.requestIDs.next()))
        ByteSlice.withBytes(of: key) { _ = head.headers.set(.secWebsocketKey, $0) }
    }

    private func takeTrailers(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        guard let exchange = entries[slot].stream else { return }
        chain.trailers.reset()
        switch session.finishTrailers(stream, into: &chain.trailers) {
        case .failure(let error): refuse(stream, error)
        case .success:
            if !entries[slot].isHeld, wantsBody(exchange, slot) {
                exchange.requestTrailers(&chain.trailers)
            } else {
                let held = hold(slot)
                held.trailers = chain.trailers.copy()
                held.hasTrailers = true
            }
        }
    }

    private func requestEnded(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        guard let exchange = entries[slot].stream, entries[slot].isConnect || !exchange.requestEnded else { return }
        if !entries[slot].isHeld, wantsBody(exchange, slot) {
            endRequest(exchange, slot)
        } else {
            hold(slot).isEnd = true
        }
    }

    func endRequest(_ exchange: HTTPStream, _ slot: Int) {
        if entries[slot].isTunnel {
            unsafe exchange.route.upstream?.finishWriting(for: exchange)
        } else {
            exchange.requestEnd()
        }
    }

    /// What the client says is not a request that can be served. Where it is a matter of size or of policy the client
    /// is told; what breaks the protocol ends the stream (RFC 9113 §8.1.1).
    private func refuse(_ stream: HTTP2Stream, _ error: HTTPMessageError) {
        let slot = Int(stream.slot)
        guard slot < entries.count, let exchange = entries[slot].stream else {
            return session.reset(stream, .protocolError)
        }
        chain(at: slot)?.counters.add(to: HTTPStat.refused(error))
        exchange.hot.value.info.details = "http2.codec_error"
        if error.status != .badRequest, !exchange.responseStarted {
            exchange.respond(error.status, flag: .downstreamProtocolError, text: error.label)
        } else {
            session.reset(stream, .protocolError)
            end(exchange, at: slot, .downstreamProtocolError)
        }
    }

    private func closed(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        let slot = Int(stream.slot)
        transport.drop(stream)
        guard slot < entries.count, entries[slot].isOpen else { return }
        if let exchange = takeExchange(slot) {
            if entries[slot].isTunnel {
                unsafe exchange.route.upstream?.downstreamClosed(.remoteReset, of: exchange)
                unsafe exchange.route.upstream = nil
            }
            end(exchange, at: slot, .downstreamRemoteReset)
        }
        forget(slot)
        if session.streamCount == 0, phase == .serving { startIdleTimer() }
    }

    func end(_ exchange: HTTPStream, at slot: Int, _ flag: ResponseFlag) {
        _ = slot < entries.count ? takeExchange(slot) : nil
        if exchange.flag == .none { exchange.flag = flag }
        exchange.end()
    }

    // MARK: Request bodies

    func wantsBody(_ exchange: HTTPStream, _ slot: Int) -> Bool {
        // Bytes behind CONNECT belong to the tunnel: before it is there they would be taken for something else.
        (!entries[slot].isConnect || entries[slot].isTunnel) && exchange.wantsRequestBody
    }

    /// Opens the stream's window again as far as what came has gone on.
    func giveBack(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        let count = entries[slot].unconsumed
        guard !entries[slot].isBodyBlocked, !entries[slot].isHeld, count > 0 else { return }
        entries[slot].unconsumed = 0
        session.consume(stream, count)
        connection.requestFlush()
    }
}
