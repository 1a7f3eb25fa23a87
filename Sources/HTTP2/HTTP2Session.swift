internal import CNghttp2
package import HTTP

/// One side of an HTTP/2 connection without its socket (RFC 9113): bytes in, events out; messages in, bytes out.
///
///     while offset < bytes.count {
///         offset += session.receive(bytes[offset..<bytes.count], nowNs: now)   // one frame at most
///         while let event = session.nextEvent() { … }                         // each event at once
///         if session.failure != nil { break }
///     }
///     session.write(to: output, bodyBytesMax: …)                               // at the end of the turn
///     while let event = session.nextEvent() { … }
///
/// Frames, compression and flow control are nghttp2's. What messages may say is judged by `HTTP2FieldBlock`, and what a
/// peer may do in numbers by `HTTP2FloodLimits`. Bodies do not pass through here in either direction: what comes is
/// named by its place in the bytes received, what goes is counted, and put between the frames by the owner.
@safe
package final class HTTP2Session {
    private let core: UnsafeMutablePointer<HTTP2SessionCore>

    /// Our SETTINGS wait to be written from the beginning. Nil without memory.
    ///
    /// - Parameter workspace: may be shared by all sessions of a thread
    package init?(server isServer: Bool, settings: HTTP2Settings, workspace: HTTP2Output) {
        unsafe core = .allocate(capacity: 1)
        unsafe core.initialize(
            to: HTTP2SessionCore(isServer: isServer, settings: settings, workspace: workspace))
        guard let library = unsafe HTTP2Library.makeSession(core) else { return nil }
        unsafe core.pointee.library = library
        guard submitSettings(settings, isServer: isServer) else { return nil }
    }

    deinit {
        unsafe nghttp2_session_del(library)
        unsafe core.pointee.releasePages()
        unsafe core.deinitialize(count: 1)
        unsafe core.deallocate()
    }

    private var library: OpaquePointer? {
        if unsafe core.pointee.isResting { unsafe core.pointee.wake() }
        return unsafe core.pointee.library
    }

    private func submitSettings(_ settings: HTTP2Settings, isServer: Bool) -> Bool {
        func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
            nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
        }
        var entries = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(settings.streamWindowBytes)),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(settings.limits.headerBytesMax)),
        ]
        if isServer {
            entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.concurrentStreamsMax))
            // RFC 9218 §2.1: dependencies between streams are not looked at.
            entries.append(entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1))
            if settings.allowsExtendedConnect {
                entries.append(entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1))
            }
        } else {
            entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
        }
        guard unsafe nghttp2_submit_settings(library, 0, entries, entries.count) == 0 else { return false }
        return unsafe nghttp2_session_set_local_window_size(library, 0, 0, settings.connectionWindowBytes) == 0
    }

    // MARK: Receiving

    /// Reads the beginning of `bytes`, of which there is at least one: at most one frame. Answers how many were read;
    /// all of them when the session has failed.
    package func receive(_ bytes: ByteSlice, nowNs: UInt64) -> Int {
        guard unsafe core.pointee.failure == nil,
            let length = unsafe core.pointee.beginChunk(bytes, nowNs: nowNs)
        else { return bytes.count }
        let base = unsafe bytes.baseAddress.assumingMemoryBound(to: UInt8.self)
        let read = unsafe nghttp2_session_mem_recv(library, base, length)
        if read >= 0 { return length }
        switch Int32(read) {
        case NGHTTP2_ERR_FLOODED.rawValue: unsafe core.pointee.fail(.abuse(.acknowledgementFlood))
        case NGHTTP2_ERR_NOMEM.rawValue: unsafe core.pointee.fail(.internalError)
        default: unsafe core.pointee.fail(.protocolError(.protocolError))
        }
        return bytes.count
    }

    /// The next thing that was found. Bytes of bodies that nobody waits for are given back on the way.
    package func nextEvent() -> HTTP2Event? {
        while let event = unsafe core.pointee.takeEvent() {
            switch event {
            case .head(let stream, _), .trailers(let stream), .malformed(let stream, _):
                if isIgnored(stream) { continue }
                if case .malformed = event { refuse(stream) }
                return event
            case .body(let stream, _, let length):
                // The connection's window is for all streams: one that stands still must not stop the others.
                unsafe nghttp2_session_consume_connection(library, length)
                if unsafe core.pointee.windows.received(length, nowNs: core.pointee.nowNs) { ping(.bandwidth) }
                if isIgnored(stream) { continue }
                if let error = bodyReceived(stream, UInt64(length)) {
                    refuse(stream)
                    return .malformed(stream, error)
                }
                return event
            case .end(let stream):
                if isIgnored(stream) { continue }
                guard unsafe core.pointee.streams[stream.slot].contentLeft <= 0 else {
                    refuse(stream)
                    return .malformed(stream, .contentLengthMismatch)
                }
                return event
            case .closed(let stream, _):
                unsafe core.pointee.dropTrailers(of: stream.slot)
                let window = unsafe core.pointee.streams[stream.slot].grownWindow
                if window > 0 { unsafe core.pointee.windows.release(Int(window)) }
                unsafe core.pointee.streams.giveBack(stream.slot)
                return event
            case .drained(let stream):
                if unsafe core.pointee.streams[stream.slot].flags.contains(.isClosed) { continue }
                return event
            case .pong(.bandwidth): bandwidthMeasured()
            case .goAway, .settings, .pong: return event
            }
        }
        return nil
    }

    private func bandwidthMeasured() {
        guard unsafe core.pointee.windows.answered(nowNs: core.pointee.nowNs) else { return }
        // Two streams at full speed. What the connection's window lets in goes on to streams at once.
        let twoStreams = unsafe core.pointee.windows.streamWindow * 2
        let window = unsafe min(max(Int(core.pointee.settings.connectionWindowBytes), twoStreams), Int(Int32.max))
        unsafe nghttp2_session_set_local_window_size(library, 0, 0, Int32(window))
    }

    private func isIgnored(_ stream: HTTP2Stream) -> Bool {
        unsafe !core.pointee.streams[stream.slot].flags.isDisjoint(with: [.isIgnored, .isReset])
    }

    private func refuse(_ stream: HTTP2Stream) {
        unsafe core.pointee.streams[stream.slot].flags.insert(.isIgnored)
        unsafe core.pointee.countReset()
    }

    private func bodyReceived(_ stream: HTTP2Stream, _ length: UInt64) -> HTTPMessageError? {
        guard unsafe core.pointee.streams[stream.slot].flags.contains(.headReceived) else { return .misplacedFrame }
        unsafe core.pointee.streams[stream.slot].received += length
        if unsafe core.pointee.streams[stream.slot].received > core.pointee.settings.limits.bodyBytesMax {
            return .bodyTooLarge
        }
        if unsafe core.pointee.streams[stream.slot].contentLeft >= 0 {
            unsafe core.pointee.streams[stream.slot].contentLeft -= Int64(length)
            if unsafe core.pointee.streams[stream.slot].contentLeft < 0 { return .contentLengthMismatch }
        }
        return nil
    }

    /// Reads the head of a request after its event. Its bytes are good until the next `receive`: keep a copy.
    ///
    /// - Returns: the bytes, to be copied; or why the request is refused, and nothing more of it comes.
    package func finishRequest(_ stream: HTTP2Stream, into head: inout RequestHead) -> Result<
        ByteSlice, HTTPMessageError
    > {
        let settings = unsafe core.pointee.settings
        let error = unsafe core.pointee.block.finishRequest(
            into: &head, limits: settings.limits, endsStream: hasEnded(stream),
            allowsExtendedConnect: settings.allowsExtendedConnect)
        if error == nil { prioritize(stream, head.headers) }
        return finish(stream, error, head.method == .connect || head.offersUpgrade ? .unknown : head.bodyLength)
    }

    /// RFC 9218 §5: what the request says of its priority. It goes on to the endpoint as well.
    private func prioritize(_ stream: HTTP2Stream, _ headers: borrowing HeaderTable) {
        let isKnown = unsafe core.pointee.takeEarlyPriority(stream.slot)
        guard let field = headers[.priority], !isKnown, let priority = HTTP2Priority(field) else { return }
        var wanted = nghttp2_extpri(urgency: UInt32(priority.urgency), inc: priority.isIncremental ? 1 : 0)
        unsafe nghttp2_session_change_extpri_stream_priority(
            library, core.pointee.streams[stream.slot].id, &wanted, 0)
    }

    /// The same for a response to a request with `method`.
    package func finishResponse(
        _ stream: HTTP2Stream, answering method: HTTPMethod, into head: inout ResponseHead
    ) -> Result<ByteSlice, HTTPMessageError> {
        let error = unsafe core.pointee.block.finishResponse(
            into: &head, answering: method, limits: core.pointee.settings.limits, endsStream: hasEnded(stream))
        let leavesLengthOpen = head.status.isInformational || head.switchesProtocol
        return finish(stream, error, leavesLengthOpen ? .unknown : head.bodyLength)
    }

    /// The same for trailers.
    package func finishTrailers(_ stream: HTTP2Stream, into table: inout HeaderTable) -> Result<
        ByteSlice, HTTPMessageError
    > {
        let error = unsafe core.pointee.block.finishTrailers(into: &table)
        return finish(stream, error, nil)
    }

    private func finish(
        _ stream: HTTP2Stream, _ error: HTTPMessageError?, _ length: BodyLength?
    ) -> Result<ByteSlice, HTTPMessageError> {
        if let error {
            refuse(stream)
            return .failure(error)
        }
        switch length {
        case BodyLength.none?: unsafe core.pointee.streams[stream.slot].contentLeft = 0
        case .exactly(let count): unsafe core.pointee.streams[stream.slot].contentLeft = Int64(count)
        case .unknown, nil: break
        }
        return .success(unsafe core.pointee.block.text)
    }

    /// Bytes of a body have gone on: the peer may send as many again on this stream.
    package func consume(_ stream: HTTP2Stream, _ count: Int) {
        guard unsafe !core.pointee.streams[stream.slot].flags.contains(.isClosed) else { return }
        unsafe nghttp2_session_consume_stream(library, core.pointee.streams[stream.slot].id, count)
        growWindow(of: stream)
    }

    /// A stream whose bytes go on gets the window that the path asks for, once it has used half of what it has. One that
    /// stands still keeps what it was given.
    private func growWindow(of stream: HTTP2Stream) {
        let initial = unsafe core.pointee.settings.streamWindowBytes
        guard unsafe core.pointee.windows.streamWindow > Int(initial) else { return }
        let window = unsafe max(core.pointee.streams[stream.slot].grownWindow, initial)
        guard unsafe core.pointee.streams[stream.slot].received >= UInt64(window / 2) else { return }
        let count = unsafe core.pointee.windows.grow(Int(window))
        guard count > 0 else { return }
        unsafe core.pointee.streams[stream.slot].grownWindow = window + Int32(count)
        unsafe nghttp2_session_set_local_window_size(
            library, 0, core.pointee.streams[stream.slot].id, window + Int32(count))
    }

    // MARK: Facts

    /// Why the session cannot go on: write what there is, and close.
    package var failure: HTTP2Failure? { unsafe core.pointee.failure }

    /// Nothing more will be read or written.
    package var isFinished: Bool {
        unsafe nghttp2_session_want_read(library) == 0 && nghttp2_session_want_write(library) == 0
    }

    /// Something waits to be written, and may be.
    package var wantsToWrite: Bool { unsafe nghttp2_session_want_write(library) != 0 }

    /// Streams that are open, or whose end has not been taken as an event.
    package var streamCount: Int { unsafe core.pointee.streams.inUse }

    /// One more than the highest slot of any stream so far.
    package var slotCount: Int { unsafe core.pointee.streams.slots }

    /// Streams that the peer opened beyond the limit; they were refused.
    package var streamsRefused: UInt64 { unsafe core.pointee.streamsRefused }

    /// The peer's message on this stream is complete.
    package func hasEnded(_ stream: HTTP2Stream) -> Bool {
        unsafe core.pointee.streams[stream.slot].flags.contains(.endReceived)
    }

    /// Streams that the peer lets us have open at once; 100 until it has told.
    package var peerStreamsMax: Int {
        let value = unsafe nghttp2_session_get_remote_settings(library, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        return Int(min(value, 65_536))
    }

    /// The peer has said that it takes no more streams (GOAWAY, RFC 9113 §6.8).
    package var peerIsLeaving: Bool { unsafe core.pointee.goAwayReceived }

    /// The peer that is leaving has taken some streams.
    package var peerTookStreams: Bool { unsafe core.pointee.lastStreamTaken > 0 }

    /// Another request may be sent.
    package var takesRequests: Bool {
        guard failure == nil, !peerIsLeaving else { return false }
        return unsafe nghttp2_session_check_request_allowed(library) != 0
    }

    /// The peer understands `:protocol` (RFC 8441).
    package var peerAllowsExtendedConnect: Bool {
        unsafe nghttp2_session_get_remote_settings(library, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
    }

    /// Gives back the memory that is not needed until the next call: for a session that nothing has happened to for a
    /// while. The slots of earlier streams mean nothing any more. Without effect while there is a stream.
    package func rest() { unsafe core.pointee.rest() }

    /// Nothing has been asked of the session since it was told to rest.
    package var isResting: Bool { unsafe core.pointee.isResting }

    // MARK: Sending messages

    /// Sends the head of a request.
    ///
    /// - Parameters:
    ///   - scheme: in place of what the head names; it may name none
    ///   - connectProtocol: ask for this protocol by extended CONNECT (RFC 8441), in place of the head's `Upgrade`
    ///   - hasBody: `queueBody`, `queueTrailers` and `endBody` follow
    /// - Returns: nil when no request can be sent.
    package func sendRequest(
        _ head: borrowing RequestHead, scheme: RequestHead.Scheme, connectProtocol: ByteSlice? = nil, hasBody: Bool
    ) -> HTTP2Stream? {
        let slot = unsafe core.pointee.streams.take(id: 0)
        unsafe core.pointee.list.begin(textBytes: head.path.count + (head.query?.count ?? 0) + 64)
        unsafe core.pointee.appendRequest(head, scheme: scheme, connectProtocol: connectProtocol)
        let id = unsafe submit(hasBody ? slot : nil) { list, count, body in
            unsafe nghttp2_submit_request(library, nil, list, count, body, HTTP2SessionCore.userData(slot))
        }
        guard id > 0 else {
            unsafe core.pointee.streams.giveBack(slot)
            return nil
        }
        unsafe core.pointee.streams[slot].id = id
        unsafe core.pointee.streams[slot].flags.insert(.headSent)
        if !hasBody { unsafe core.pointee.streams[slot].flags.insert(.endQueued) }
        return HTTP2Stream(slot: slot)
    }

    /// Sends an informational head (1xx), before the final one.
    package func sendInformational(_ stream: HTTP2Stream, _ head: borrowing ResponseHead) {
        guard isSendable(stream) else { return }
        let id = unsafe core.pointee.streams[stream.slot].id
        unsafe core.pointee.appendResponse(head)
        _ = unsafe submit(nil) { list, count, _ in
            unsafe nghttp2_submit_headers(library, 0, id, nil, list, count, nil)
        }
    }

    /// Sends the head of a response.
    ///
    /// - Parameter hasBody: `queueBody`, `queueTrailers` and `endBody` follow
    package func sendResponse(_ stream: HTTP2Stream, _ head: borrowing ResponseHead, hasBody: Bool) {
        guard isSendable(stream), unsafe !core.pointee.streams[stream.slot].flags.contains(.headSent) else { return }
        let id = unsafe core.pointee.streams[stream.slot].id
        unsafe core.pointee.streams[stream.slot].flags.insert(.headSent)
        if !hasBody { unsafe core.pointee.streams[stream.slot].flags.insert(.endQueued) }
        unsafe core.pointee.appendResponse(head)
        _ = unsafe submit(hasBody ? stream.slot : nil) { list, count, body in
            unsafe nghttp2_submit_response(library, id, list, count, body)
        }
    }

    /// Submits the fields that were listed, with the body of `slot` behind them.
    @unsafe
    private func submit(
        _ slot: UInt32?, _ call: (UnsafePointer<nghttp2_nv>, Int, UnsafePointer<nghttp2_data_provider>?) -> Int32
    ) -> Int32 {
        guard let slot else { return unsafe call(core.pointee.list.base, core.pointee.list.count, nil) }
        // The library copies it.
        return unsafe withUnsafePointer(to: HTTP2Library.body(of: slot)) { body in
            unsafe call(core.pointee.list.base, core.pointee.list.count, body)
        }
    }

    /// Whether anything more can be sent on the stream.
    private func isSendable(_ stream: HTTP2Stream) -> Bool {
        unsafe core.pointee.streams[stream.slot].flags.isDisjoint(with: [.isReset, .isClosed, .endQueued])
    }

    /// More bytes of our body are there, kept by the owner until `write` asks for them.
    ///
    /// - Returns: false when they will never be asked for.
    package func queueBody(_ stream: HTTP2Stream, _ count: Int) -> Bool {
        guard isSendable(stream) else { return false }
        unsafe core.pointee.streams[stream.slot].queuedBytes += count
        resume(stream)
        return true
    }

    /// So much is queued that the owner should wait for `drained`, which comes once then.
    package func isAboveHighMark(_ stream: HTTP2Stream) -> Bool {
        let isAbove = unsafe core.pointee.streams[stream.slot].queuedBytes > HTTP2SessionCore.highMarkBytes
        if isAbove { unsafe core.pointee.streams[stream.slot].flags.insert(.isAboveHighMark) }
        return isAbove
    }

    /// Trailers go behind the body. `endBody` follows.
    package func queueTrailers(_ stream: HTTP2Stream, _ table: borrowing HeaderTable) {
        guard isSendable(stream), unsafe core.pointee.streams[stream.slot].trailers < 0 else { return }
        unsafe core.pointee.keepTrailers(table, for: stream.slot)
    }

    /// Our body is complete.
    package func endBody(_ stream: HTTP2Stream) {
        guard isSendable(stream) else { return }
        unsafe core.pointee.streams[stream.slot].flags.insert(.endQueued)
        resume(stream)
    }

    private func resume(_ stream: HTTP2Stream) {
        guard unsafe core.pointee.streams[stream.slot].flags.contains(.isDeferred) else { return }
        unsafe core.pointee.streams[stream.slot].flags.remove(.isDeferred)
        unsafe nghttp2_session_resume_data(library, core.pointee.streams[stream.slot].id)
    }

    /// Ends a stream before its messages are complete. Without effect when it is closed or reset already.
    package func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard unsafe core.pointee.streams[stream.slot].flags.isDisjoint(with: [.isReset, .isClosed]) else { return }
        unsafe core.pointee.streams[stream.slot].flags.insert(.isReset)
        unsafe nghttp2_submit_rst_stream(library, 0, core.pointee.streams[stream.slot].id, code.rawValue)
    }

    // MARK: The connection

    /// Asks the peer to open no more streams, while those on their way are still taken (RFC 9113 §6.8).
    package func announceGoAway() { unsafe nghttp2_submit_shutdown_notice(library) }

    /// No stream is taken any more but those that have come.
    package func goAway() {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(library)
        unsafe nghttp2_submit_goaway(library, 0, last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    }

    /// Ends the connection: GOAWAY is the last thing to be written.
    package func terminate(_ code: HTTP2ErrorCode) { unsafe nghttp2_session_terminate_session(library, code.rawValue) }

    /// Asks the peer for an answer, `pong`. Each kind is for the owner to have under way once at most.
    package func ping(_ ping: HTTP2Ping) {
        let payload: [UInt8] = [ping.rawValue, 0, 0, 0, 0, 0, 0, 0]
        unsafe nghttp2_submit_ping(library, 0, payload)
    }

    /// Writes what there is. Bodies end when more than `bodyBytesMax` of them were written.
    package func write(to output: HTTP2Output, bodyBytesMax: Int) {
        unsafe core.pointee.output = Unmanaged.passUnretained(output)
        unsafe core.pointee.outputBodyMax = bodyBytesMax
        while true {
            var data: UnsafePointer<UInt8>?
            let length = unsafe nghttp2_session_mem_send(library, &data)
            guard length > 0, let data = unsafe data else {
                if length < 0 { unsafe core.pointee.fail(.internalError) }
                break
            }
            unsafe output.append(data, length)
        }
        unsafe core.pointee.output = nil
    }
}

extension HTTP2SessionCore {
    mutating func appendRequest(
        _ head: borrowing RequestHead, scheme: RequestHead.Scheme, connectProtocol: ByteSlice?
    ) {
        if let connectProtocol {
            list.append(":method", ByteSlice("CONNECT"))
            list.append(":protocol", connectProtocol)
        } else {
            list.append(":method", head.methodText)
        }
        if head.targetForm != .authority {
            list.append(":scheme", scheme == .https ? ByteSlice("https") : ByteSlice("http"))
            let path = head.path
            if let query = head.query {
                list.append(":path") { writer in
                    writer.append(path)
                    writer.append(UInt8(ascii: "?"))
                    writer.append(query)
                }
            } else {
                list.append(":path", head.targetForm == .asterisk ? ByteSlice("*") : path)
            }
        }
        list.append(":authority", head.authority)
        // RFC 8441 §5: there is nothing that a key would have to prove.
        head.headers.forEachHTTP2Field(leaving: connectProtocol == nil ? nil : .secWebsocketKey) { list.append($0) }
        if head.acceptsTrailers { list.append("te", ByteSlice("trailers")) }
        appendLength(head.bodyLength)
    }

    mutating func appendResponse(_ head: borrowing ResponseHead) {
        list.begin(textBytes: 64)
        let status = head.status.rawValue
        list.append(":status") { $0.append(decimal: UInt64(status)) }
        // RFC 9110 §8.6: without a body, the length is that of the answer that was not sent.
        let keepsLength = head.bodyLength == .none && !head.status.isInformational && head.status != .noContent
        head.headers.forEachHTTP2Field(keepingContentLength: keepsLength) { list.append($0) }
        appendLength(head.bodyLength)
    }

    private mutating func appendLength(_ length: BodyLength) {
        guard case .exactly(let count) = length else { return }
        list.append("content-length") { $0.append(decimal: count) }
    }
}
