internal import CTLS

/// TLS on an established connection: records in, records out.
///
/// Plaintext is written over the ciphertext it came from, in the receive buffer, so that a message costs no memory of
/// its own: what is decrypted is shorter than what it was decrypted from, which OpenSSL has taken out already. The
/// exception is a record that began in an earlier buffer; it gets a block.
///
/// What is written waits until the end of the turn and leaves in as few records as it fits in.
extension Connection {
    // MARK: Receiving

    /// Takes what the socket brought.
    func unseal(_ lease: consuming Lease) {
        guard let session = unsafe state.secure else { return worker.discard(lease) }
        if state.flags.contains(.lingering) {
            worker.discard(lease)
        } else if unsafe state.flags.contains(.handshaking) || !session.pointee.isStarted
            || !session.pointee.waiting.isEmpty
        {
            keepWaiting(lease)
        } else {
            unsealNow(lease)
        }
    }

    private enum Unsealed {
        case more, waits, ended
        case failed(CloseReason)
    }

    func unsealNow(_ lease: consuming Lease) {
        guard let session = unsafe state.secure, unsafe !session.pointee.isDead,
            state.flags.isDisjoint(with: [.readEnded, .lingering, .closing])
        else { return worker.discard(lease) }
        if unsafe session.pointee.ssl == nil { return unsafe openRecords(lease, session) }
        let start = unsafe lease.start
        let count = lease.count
        unsafe session.pointee.io.in = UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
        unsafe session.pointee.io.in_left = count
        var outcome = Unsealed.more
        var block: Lease?
        if unsafe rw_tls_is_mid_record(&session.pointee.io) != 0, unsafe session.pointee.io.read.body_left <= count {
            let made = worker.core.value.buffers.allocateRecord()
            let length = unsafe read(session, into: made.start, room: TLSMemory.recordBytesMax, &outcome)
            if length > 0 {
                block = unsafe Lease(start: made.start, count: length, buffer: made.buffer)
            } else {
                worker.discard(made)
            }
        }
        var length = 0
        while case .more = outcome {
            length += unsafe read(session, into: start + length, room: count - length, &outcome)
        }
        unsafe session.pointee.io.in_left = 0
        if let block = block.take() { deliver(plain: block) }
        if length > 0 {
            deliver(plain: unsafe Lease(start: start, count: length, buffer: lease.buffer))
        } else {
            worker.discard(lease)
        }
        if unsafe session.pointee.refusedRenegotiation { outcome = .failed(.tlsRenegotiation) }
        switch outcome {
        case .more, .waits: break
        case .ended: if isOpen { sawEnd() }
        case .failed(let reason): if isOpen { unsafe fail(session, reason) }
        }
    }

    /// Reads one record's plaintext. Answers its length, 0 with an outcome that says why there is none.
    private func read(
        _ session: UnsafeMutablePointer<TLSSession>, into start: UnsafeMutableRawPointer, room: Int,
        _ outcome: inout Unsealed
    ) -> Int {
        while true {
            unsafe session.pointee.io.out = worker.tlsMemory.remarks.assumingMemoryBound(to: UInt8.self)
            unsafe session.pointee.io.out_left = TLSMemory.remarksBytes
            let length = unsafe SSL_read(session.pointee.ssl, start, Int32(truncatingIfNeeded: room))
            if unsafe session.pointee.io.out_left != TLSMemory.remarksBytes { unsafe _ = queueRemarks(session) }
            if length > 0 { return Int(length) }
            switch unsafe SSL_get_error(session.pointee.ssl, length) {
            case SSL_ERROR_WANT_WRITE: continue
            case SSL_ERROR_WANT_READ: outcome = .waits
            case SSL_ERROR_ZERO_RETURN: outcome = .ended
            default:
                outcome = unsafe .failed(TLSFailure.reason(of: OpenSSLErrors.takeNumber(), session.pointee.ssl))
            }
            return 0
        }
    }

    /// The socket's stream has ended. Without a close_notify before it somebody may have cut it short
    /// (RFC 8446 §6.1): handlers hear of it as a close, not as an end.
    func socketEnded() {
        guard let session = unsafe state.secure, !state.flags.contains(.lingering) else { return sawEnd() }
        if state.flags.contains(.readEnded) { return }
        if unsafe !session.pointee.waiting.isEmpty {
            unsafe session.pointee.endIsWaiting = true
        } else if state.flags.contains(.handshaking) {
            close(.tlsHandshakeAborted)
        } else {
            close(.tlsTruncated)
        }
    }

    // MARK: Sending

    /// Queues plaintext for the end of the turn.
    func writePlain(_ data: consuming Lease, _ session: UnsafeMutablePointer<TLSSession>) {
        let isQueued = unsafe session.pointee.plain.append(
            data.start, data.count, data.buffer, in: &worker.core.value.segments)
        guard isQueued else {
            worker.discard(data)
            close(.limit)
            return
        }
        markDirty()
        unsafe noteQueued(
            bytes: state.queue.bytes + session.pointee.plain.bytes,
            segments: state.queue.segments + session.pointee.plain.segments)
    }

    /// Encrypts all that waits.
    func seal() {
        guard let session = unsafe state.secure, unsafe session.pointee.plain.bytes > 0,
            state.flags.isDisjoint(with: [.handshaking, .connecting, .closing])
        else { return }
        if unsafe session.pointee.isDead { return unsafe dropPlain(session) }
        while unsafe session.pointee.plain.bytes > 0, isOpen { unsafe sealRecord(session) }
    }

    private func sealRecord(_ session: UnsafeMutablePointer<TLSSession>) {
        let head = worker.core.value.segments[unsafe session.pointee.plain.head]
        var count = unsafe min(session.pointee.plain.bytes, TLSMemory.recordBytesMax)
        var source = unsafe UnsafeRawPointer(head.start)
        // What would have to be copied to fill a record up goes with the next one, if there is enough without it.
        if Int(head.count) < count {
            if Int(head.count) >= TLSMemory.recordBytesMax * 3 / 4 {
                count = Int(head.count)
            } else {
                unsafe gather(session, count)
                unsafe source = UnsafeRawPointer(worker.tlsMemory.gathering)
            }
        }
        let written = unsafe encrypt(session, source, count)
        guard written > 0 else { return }
        unsafe session.pointee.plain.advance(by: written, in: &worker.core.value.segments) { buffer in
            worker.core.value.buffers.release(buffer, on: worker.backend)
        }
    }

    private func gather(_ session: UnsafeMutablePointer<TLSSession>, _ count: Int) {
        let memory = unsafe worker.tlsMemory.gathering
        var filled = 0
        var index = unsafe session.pointee.plain.head
        while filled < count, index != Segment.none {
            let segment = worker.core.value.segments[index]
            let part = min(Int(segment.count), count - filled)
            unsafe (memory + filled).copyMemory(from: segment.start, byteCount: part)
            filled += part
            index = segment.next
        }
    }

    /// Encrypts up to a record's worth into the send queue. Answers how much of it; 0 after a failure, which closes.
    private func encrypt(
        _ session: UnsafeMutablePointer<TLSSession>, _ source: UnsafeRawPointer, _ count: Int
    ) -> Int {
        if unsafe session.pointee.ssl == nil {
            return unsafe sealRecord(session, RW_RECORD_DATA, source, count) ? count : 0
        }
        // A large record is sent from where OpenSSL encrypted it. Only one that carries all of this write is longer
        // than it; OpenSSL has no use for the memory afterwards.
        unsafe session.pointee.io.take_above = count >= TLSMemory.takenBytesMin ? count : 0
        unsafe session.pointee.io.taken_count = 0
        unsafe session.pointee.io.out_left = 0
        var room: Lease? =
            count >= TLSMemory.takenBytesMin
            ? nil : worker.core.value.buffers.allocateRecord(count + TLSMemory.recordOverheadMax)
        while true {
            if let block = room.take() {
                unsafe session.pointee.io.out = block.start.assumingMemoryBound(to: UInt8.self)
                unsafe session.pointee.io.out_left = block.count
                room = consume block
            }
            let written = unsafe SSL_write(session.pointee.ssl, source, Int32(count))
            var isQueued = true
            if let block = room.take() {
                let used = unsafe block.count - session.pointee.io.out_left
                isQueued = queueCiphertext(unsafe Lease(start: block.start, count: used, buffer: block.buffer))
            }
            if unsafe session.pointee.io.taken_count > 0 {
                let isTaken = unsafe queueTaken(session)
                isQueued = isQueued && isTaken
            }
            unsafe session.pointee.io.out_left = 0
            guard isQueued else { return 0 }
            if written > 0 { return Int(written) }
            guard unsafe SSL_get_error(session.pointee.ssl, written) == SSL_ERROR_WANT_WRITE else {
                unsafe fail(session, TLSFailure.reason(of: OpenSSLErrors.takeNumber(), session.pointee.ssl))
                return 0
            }
            // OpenSSL has something to say besides, or sends smaller records than usual.
            room = worker.core.value.buffers.allocateRecord()
        }
    }

    /// Queues a record in the memory that OpenSSL made it in, or a copy where OpenSSL keeps the memory.
    private func queueTaken(_ session: UnsafeMutablePointer<TLSSession>) -> Bool {
        let count = unsafe session.pointee.io.taken_count
        let start = unsafe UnsafeMutableRawPointer(session.pointee.io.taken!)
        let block = unsafe rw_tls_take(&session.pointee.io)
        unsafe session.pointee.io.taken_count = 0
        guard let block = unsafe block else {
            return queueCiphertext(worker.copy(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start), byteCount: count)))
        }
        let lease = unsafe worker.core.value.buffers.adopt(record: block)
        return queueCiphertext(unsafe Lease(start: start, count: count, buffer: lease.buffer))
    }

    /// Says that nothing follows, behind all that is queued (close_notify, RFC 8446 §6.1). Once.
    func endSession() {
        guard let session = unsafe state.secure, unsafe !session.pointee.isEnded, unsafe !session.pointee.isDead,
            !state.flags.contains(.handshaking)
        else { return }
        seal()
        guard isOpen else { return }
        if unsafe session.pointee.ssl == nil {
            unsafe queueAlert(session, level: SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY)
            unsafe session.pointee.isEnded = true
            return
        }
        unsafe session.pointee.isEnded = true
        unsafe session.pointee.io.out = worker.tlsMemory.remarks.assumingMemoryBound(to: UInt8.self)
        unsafe session.pointee.io.out_left = TLSMemory.remarksBytes
        unsafe _ = SSL_shutdown(session.pointee.ssl)
        ERR_clear_error()
        unsafe _ = queueRemarks(session)
    }

    /// Before a close that waits for nothing: what OpenSSL has to say goes out if the socket takes it.
    func sendLastWords() {
        guard let session = unsafe state.secure, state.flags.isDisjoint(with: [.sending, .connecting, .resetOnClose])
        else { return }
        if state.queue.isEmpty, unsafe session.pointee.plain.isEmpty { endSession() }
        guard state.queue.segments == 1 else { return }
        let words = worker.core.value.segments[state.queue.head]
        guard Int(words.count) <= TLSMemory.recordOverheadMax else { return }
        worker.io { unsafe $0.sendNow(state.socket, words.start, Int(words.count)) }
    }

    /// Queues what OpenSSL wrote into the worker's memory for remarks.
    func queueRemarks(_ session: UnsafeMutablePointer<TLSSession>) -> Bool {
        let count = unsafe TLSMemory.remarksBytes - session.pointee.io.out_left
        unsafe session.pointee.io.out_left = 0
        guard count > 0 else { return true }
        let start = unsafe UnsafeRawPointer(worker.tlsMemory.remarks)
        return queueCiphertext(worker.copy(unsafe RawSpan(_unsafeStart: start, byteCount: count)))
    }

    /// Queues bytes for the socket as they are.
    func queueCiphertext(_ lease: consuming Lease) -> Bool {
        guard lease.count > 0 else {
            worker.discard(lease)
            return true
        }
        let isQueued = unsafe state.queue.append(
            lease.start, lease.count, lease.buffer, in: &worker.core.value.segments)
        guard isQueued else {
            worker.discard(lease)
            close(.limit)
            return false
        }
        markDirty()
        return true
    }

    private func dropPlain(_ session: UnsafeMutablePointer<TLSSession>) {
        unsafe session.pointee.plain.removeAll(in: &worker.core.value.segments) { buffer in
            worker.core.value.buffers.release(buffer, on: worker.backend)
        }
    }

    /// Gives everything back. Nothing is in flight any more.
    func releaseSession() {
        guard let session = unsafe state.secure else { return }
        unsafe releasePartial(session)
        unsafe dropPlain(session)
        unsafe session.pointee.waiting.removeAll(in: &worker.core.value.segments) { buffer in
            worker.core.value.buffers.release(buffer, on: worker.backend)
        }
        unsafe TLSSession.destroy(session)
        unsafe state.secure = nil
    }
}
