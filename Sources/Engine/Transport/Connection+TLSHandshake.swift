internal import CTLS

/// TLS begins: a session for a connection, and the steps of its handshake.
///
/// A step may cost a millisecond (a signature with an RSA key), so none is taken where bytes arrive. The worker takes
/// them at the end of its turn, oldest first, until its time for them is spent (`Worker.advanceSessions`): those who
/// are connected already go on in between.
extension Connection {
    /// A client's hello fits, also with a post-quantum key share.
    private static let copiedBytesMax = 4096

    /// Begins as a server. The connection was just accepted.
    func secure(_ context: TLSServerContext) {
        guard attach(context, sessions: nil) else { return close(.limit, reset: true) }
        state.flags.insert(.handshaking)
        setTimer(atNs: worker.nowNs + context.handshakeTimeoutNs)
        armReceive()
    }

    /// Makes a session for a connection that is being made. The handshake begins when it is there.
    func secure(_ sessions: TLSClientSessions) {
        if !attach(sessions.context, sessions: sessions) { close(.limit) }
    }

    private func attach(_ context: TLSContext, sessions: TLSClientSessions?) -> Bool {
        guard let session = unsafe TLSSession.make(context, sessions: sessions) else { return false }
        unsafe state.secure = session
        // Nothing that is queued stands in a receive buffer.
        state.flags.insert(.copiedOut)
        return true
    }

    /// The connect has succeeded: the client says hello. Its time-out goes on.
    func startClientHandshake() {
        state.flags.insert(.handshaking)
        armReceive()
        scheduleSession()
    }

    func scheduleSession() {
        guard let session = unsafe state.secure, unsafe !session.pointee.isScheduled else { return }
        unsafe session.pointee.isScheduled = true
        worker.core.value.sessions.append(id(.receive))
    }

    /// Ciphertext that cannot be looked at now. A little of it is copied: thousands of clients that say hello in the
    /// same moment must not keep the receive buffers from those who are connected.
    func keepWaiting(_ lease: consuming Lease) {
        guard lease.count > 0 else { return worker.discard(lease) }
        if lease.count <= Self.copiedBytesMax, lease.buffer < BufferPool.heapBase {
            let copy = worker.copy(lease.bytes)
            worker.discard(lease)
            keepWaiting(copy)
            return
        }
        guard let session = unsafe state.secure else { return worker.discard(lease) }
        let isQueued = unsafe session.pointee.waiting.append(
            lease.start, lease.count, lease.buffer, in: &worker.core.value.segments)
        guard isQueued else {
            worker.discard(lease)
            return close(.limit)
        }
        if unsafe session.pointee.waiting.bytes > TLSSession.waitingBytesMax, !state.flags.contains(.readPaused) {
            unsafe session.pointee.isThrottled = true
            state.flags.insert(.readPaused)
            cancelReceive()
        }
        if unsafe state.flags.contains(.handshaking) || session.pointee.isStarted { scheduleSession() }
    }

    /// One step: of the handshake, or of what waited for its end.
    func advanceSession() {
        guard let session = unsafe state.secure, isOpen else { return }
        unsafe session.pointee.isScheduled = false
        if state.flags.contains(.lingering) { return }
        if state.flags.contains(.handshaking) {
            unsafe continueHandshake(session)
        } else {
            unsafe takeWaiting(session)
        }
    }

    private func continueHandshake(_ session: UnsafeMutablePointer<TLSSession>) {
        let isServer = unsafe session.pointee.isServer
        if isServer, unsafe speaksPlainHTTP(session) { return unsafe answerPlainHTTP(session) }
        while true {
            let remarks = unsafe worker.tlsMemory.remarks
            unsafe session.pointee.io.out = remarks.assumingMemoryBound(to: UInt8.self)
            unsafe session.pointee.io.out_left = TLSMemory.remarksBytes
            let offered = unsafe offerFront(session)
            let result = unsafe SSL_do_handshake(session.pointee.ssl)
            let consumed = unsafe offered - session.pointee.io.in_left
            unsafe session.pointee.io.in_left = 0
            unsafe session.pointee.waiting.advance(by: consumed, in: &worker.core.value.segments) { buffer in
                worker.core.value.buffers.release(buffer, on: worker.backend)
            }
            let isQueued = unsafe queueRemarks(session)
            guard isQueued, isOpen else { return }
            if result == 1 { return unsafe finishHandshake(session) }
            switch unsafe SSL_get_error(session.pointee.ssl, result) {
            case SSL_ERROR_WANT_WRITE: continue
            case SSL_ERROR_WANT_READ:
                // What a server of TLS 1.3 writes behind the client's last flight is under the keys for data.
                unsafe session.pointee.io.written_data_records = 0
                if unsafe !session.pointee.waiting.isEmpty { continue }
                unsafe releaseThrottle(session)
                if unsafe session.pointee.endIsWaiting { close(.tlsHandshakeAborted) }
                return
            default: return unsafe failHandshake(session)
            }
        }
    }

    /// Lets OpenSSL read the first slice that waits. Answers its length.
    private func offerFront(_ session: UnsafeMutablePointer<TLSSession>) -> Int {
        let head = unsafe session.pointee.waiting.head
        guard head != Segment.none else {
            unsafe session.pointee.io.in_left = 0
            return 0
        }
        let segment = worker.core.value.segments[head]
        unsafe session.pointee.io.in = UnsafePointer(segment.start.assumingMemoryBound(to: UInt8.self))
        unsafe session.pointee.io.in_left = Int(segment.count)
        return Int(segment.count)
    }

    private func finishHandshake(_ session: UnsafeMutablePointer<TLSSession>) {
        guard let ssl = unsafe session.pointee.ssl else { return }
        if let client = unsafe session.pointee.context.takeUnretainedValue() as? TLSClientContext,
            unsafe !client.accepts(ssl, at: peerAddress)
        {
            return unsafe fail(session, .tlsNameMismatch)
        }
        state.flags.remove(.handshaking)
        cancelTimer()
        if state.idleTimeoutNs > 0 { setTimer(atNs: worker.nowNs + state.idleTimeoutNs) }
        unsafe releaseThrottle(session)
        let isNewest = unsafe SSL_version(ssl) == TLSVersion.tls13.rawValue
        state.counters.add(to: isNewest ? ConnectionStat.tls13Handshakes : .tls12Handshakes)
        if unsafe SSL_session_reused(ssl) == 1 { state.counters.add(to: ConnectionStat.tlsResumptions) }
        unsafe session.pointee.settle(isVerified: true)
        unsafe session.pointee.takeOverRecords(worker.tlsMemory.contexts)
        // The handler has not asked for bytes yet, and may not for a while.
        state.flags.insert(.readPaused)
        notify { $0.onConnected(self) }
        guard isOpen else { return }
        if state.flags.contains(.readPaused) { cancelReceive() }
        if unsafe session.pointee.plain.bytes > 0 { markDirty() }
        // Somebody may have ended our stream while there was none yet.
        if state.flags.contains(.finishing) {
            endSession()
            finishIfSent()
        }
        if unsafe session.pointee.isStarted, unsafe session.pointee.hasWaiting { scheduleSession() }
    }

    private func releaseThrottle(_ session: UnsafeMutablePointer<TLSSession>) {
        guard unsafe session.pointee.isThrottled else { return }
        unsafe session.pointee.isThrottled = false
        state.flags.remove(.readPaused)
        armReceive()
    }

    /// What came before the handler read. It is decrypted as if it arrived now.
    private func takeWaiting(_ session: UnsafeMutablePointer<TLSSession>) {
        while unsafe !session.pointee.waiting.isEmpty {
            guard isOpen, unsafe session.pointee.isStarted,
                unsafe !state.flags.contains(.readPaused) || session.pointee.isThrottled
            else { return }
            let segment = worker.core.value.segments[unsafe session.pointee.waiting.head]
            worker.core.value.buffers.retain(segment.buffer)
            unsafe session.pointee.waiting.advance(by: Int(segment.count), in: &worker.core.value.segments) { buffer in
                worker.core.value.buffers.release(buffer, on: worker.backend)
            }
            unsealNow(unsafe Lease(start: segment.start, count: Int(segment.count), buffer: segment.buffer))
        }
        unsafe releaseThrottle(session)
        if unsafe session.pointee.endIsWaiting {
            unsafe session.pointee.endIsWaiting = false
            socketEnded()
        }
    }

    /// The socket failed in the middle of the handshake while something that came before waits to be looked at: often
    /// the alert that says why, behind which the peer has closed with our flight half read. That tells more than the
    /// reset does. False when nothing waits.
    func handshakeTakesEnd() -> Bool {
        guard state.flags.contains(.handshaking), let session = unsafe state.secure,
            unsafe !session.pointee.waiting.isEmpty
        else { return false }
        unsafe session.pointee.endIsWaiting = true
        scheduleSession()
        return true
    }

    // MARK: Failure

    /// The handshake ran out of time.
    func handshakeTimedOut() {
        let isServer = unsafe state.secure?.pointee.isServer ?? false
        close(isServer ? .tlsHandshakeTimeout : .connectTimeout)
    }

    private func failHandshake(_ session: UnsafeMutablePointer<TLSSession>) {
        let reason = unsafe TLSFailure.reason(of: OpenSSLErrors.takeNumber(), session.pointee.ssl)
        unsafe fail(session, reason)
    }

    /// Ends the connection after a failure of its session. The alert, if there is one, is queued already.
    func fail(_ session: UnsafeMutablePointer<TLSSession>, _ reason: CloseReason) {
        ERR_clear_error()
        unsafe session.pointee.settle(isVerified: false)
        unsafe session.pointee.isDead = true
        if unsafe session.pointee.isServer {
            // The peer is given a moment to read why: an end with unread bytes would reset what it has not read.
            state.flags.remove(.handshaking)
            cancelTimer()
            closeWhenSent(reason)
        } else {
            unsafe session.pointee.sessions?._withUnsafeGuaranteedRef { $0.forget() }
            close(reason)
        }
    }

    // MARK: HTTP without TLS

    /// The first bytes are those of a request: a method and a blank.
    private func speaksPlainHTTP(_ session: UnsafeMutablePointer<TLSSession>) -> Bool {
        let head = unsafe session.pointee.waiting.head
        guard unsafe SSL_in_before(session.pointee.ssl) == 1, head != Segment.none else { return false }
        let segment = worker.core.value.segments[head]
        return unsafe PlainHTTP.isRequest(UnsafeRawBufferPointer(start: segment.start, count: Int(segment.count)))
    }

    private func answerPlainHTTP(_ session: UnsafeMutablePointer<TLSSession>) {
        unsafe session.pointee.isDead = true
        state.flags.remove(.handshaking)
        cancelTimer()
        unsafe _ = queueCiphertext(worker.copy(Array(PlainHTTP.answer.utf8).span.bytes))
        closeWhenSent(.tlsPlainHTTP)
    }
}

/// HTTP on a port where TLS is spoken: a mistake that deserves an answer.
enum PlainHTTP {
    /// Whether bytes begin as a request does: 3 to 12 upper-case letters and a blank. A TLS record begins with 22.
    static func isRequest(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var count = 0
        for index in 0..<min(bytes.count, 13) {
            let byte = unsafe bytes[index]
            if byte == UInt8(ascii: " ") { return count >= 3 }
            guard byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") else { return false }
            count += 1
        }
        return false
    }

    static let answer =
        "HTTP/1.1 400 Bad Request\r\nServer: ringway\r\nContent-Type: text/plain; charset=utf-8\r\n"
        + "Content-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n\(text)"
    private static let text = "this port speaks TLS, and a request came without it: use https://\n"
}
