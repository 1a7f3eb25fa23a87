internal import CTLS
internal import Glibc

/// Records of sessions that OpenSSL's session object is not needed for any more (`TLSRecordLayer`).
///
/// A record is decrypted where it was received. One whose parts came in different receive buffers is put together in a
/// block first. What is written is encrypted from where it lies into a block, which is sent: nothing is copied.
extension Connection {
    private typealias Layer = UnsafeMutablePointer<TLSRecordLayer>

    @safe
    private enum OpenedRecord {
        case data(UnsafeMutableRawPointer, Int)
        case nothing
        case ended
        /// With the alert that the peer is told by, if any.
        case failed(CloseReason, alert: Int32?)
    }

    private enum Outcome {
        case more, ended
        case failed(CloseReason, alert: Int32?)
    }

    private static let headerBytes = RW_RECORD_HEADER_BYTES

    // MARK: Receiving

    /// Takes what the socket brought after the handshake.
    func openRecords(_ lease: consuming Lease, _ session: UnsafeMutablePointer<TLSSession>) {
        guard let layer = unsafe session.pointee.records else { return worker.discard(lease) }
        var place = unsafe lease.start
        var left = lease.count
        var outcome = Outcome.more
        let first = unsafe completePartial(layer, &place, &left, &outcome)
        // The plaintext of all whole records, moved together where the first one begins.
        var start = unsafe place
        var count = 0
        while case .more = outcome, left >= Self.headerBytes {
            guard let length = unsafe wholeLength(layer, place) else {
                outcome = .failed(.tlsProtocolError, alert: SSL_AD_RECORD_OVERFLOW)
                break
            }
            guard length <= left else { break }
            switch unsafe open(layer, place, length) {
            case .data(let plain, let plainCount):
                if count == 0 {
                    unsafe start = plain
                } else {
                    unsafe memmove(start + count, plain, plainCount)
                }
                count += plainCount
            case .nothing: break
            case .ended: outcome = .ended
            case .failed(let reason, let alert): outcome = .failed(reason, alert: alert)
            }
            unsafe place += length
            left -= length
        }
        if case .more = outcome, left > 0 { unsafe keepPartial(layer, place, left) }
        // From here on handlers run, which may end the connection.
        if let first { deliverOpened(first) }
        if count > 0 {
            deliverOpened(unsafe Lease(start: start, count: count, buffer: lease.buffer))
        } else {
            worker.discard(lease)
        }
        guard isOpen else { return }
        switch outcome {
        case .more: break
        case .ended: sawEnd()
        case .failed(let reason, let alert):
            if let alert { unsafe queueAlert(session, level: SSL3_AL_FATAL, alert) }
            if isOpen { unsafe fail(session, reason) }
        }
    }

    private func deliverOpened(_ lease: consuming Lease) {
        if isOpen { deliver(plain: lease) } else { worker.discard(lease) }
    }

    /// Of a record with its header; nil when it is longer than any may be (RFC 8446 §5.2, RFC 5246 §6.2.3).
    private func wholeLength(_ layer: Layer, _ record: UnsafeMutableRawPointer) -> Int? {
        let bytes = unsafe record.assumingMemoryBound(to: UInt8.self)
        let length = unsafe Int(bytes[3]) << 8 | Int(bytes[4])
        guard length <= RW_RECORD_PLAIN_MAX + 256 else { return nil }
        return Self.headerBytes + length
    }

    private func open(_ layer: Layer, _ record: UnsafeMutableRawPointer, _ length: Int) -> OpenedRecord {
        let context = unsafe worker.tlsMemory.contexts.context(
            layer.pointee.incomingTag, &layer.pointee.protection, &layer.pointee.incoming, seals: false)
        guard let context = unsafe context else { return .failed(.limit, alert: SSL_AD_INTERNAL_ERROR) }
        var opened = unsafe rw_tls_opened()
        let result = unsafe rw_tls_open(
            context, &layer.pointee.protection, &layer.pointee.incoming,
            record.assumingMemoryBound(to: UInt8.self), length, &opened)
        if result == Int32(RW_BAD_RECORD) { return .failed(.tlsProtocolError, alert: SSL_AD_BAD_RECORD_MAC) }
        if result == Int32(RW_TOO_LONG) { return .failed(.tlsProtocolError, alert: SSL_AD_RECORD_OVERFLOW) }
        let count = unsafe opened.count
        guard let plain = unsafe opened.plain else { return .nothing }
        if unsafe Int(opened.type) == RW_RECORD_DATA, count > 0 {
            unsafe layer.pointee.emptyRecords = 0
            return unsafe .data(UnsafeMutableRawPointer(plain), count)
        }
        unsafe layer.pointee.emptyRecords += 1
        guard unsafe layer.pointee.emptyRecords <= TLSRecordLayer.emptyRecordsMax else {
            return .failed(.tlsProtocolError, alert: SSL_AD_UNEXPECTED_MESSAGE)
        }
        let content = unsafe UnsafeBufferPointer(start: plain, count: count)
        switch unsafe Int(opened.type) {
        case RW_RECORD_DATA: return .nothing
        case RW_RECORD_ALERT: return unsafe alert(layer, content)
        case RW_RECORD_HANDSHAKE: return unsafe handshake(layer, content)
        default: return .failed(.tlsProtocolError, alert: SSL_AD_UNEXPECTED_MESSAGE)
        }
    }

    /// RFC 8446 §6, RFC 5246 §7.2.
    private func alert(_ layer: Layer, _ content: UnsafeBufferPointer<UInt8>) -> OpenedRecord {
        guard content.count == 2 else { return .failed(.tlsProtocolError, alert: SSL_AD_DECODE_ERROR) }
        let number = unsafe Int32(content[1])
        if number == SSL_AD_CLOSE_NOTIFY { return .ended }
        let isWarning =
            unsafe layer.pointee.protection.is_tls13 == 1
            ? number == SSL_AD_USER_CANCELLED : Int32(content[0]) == SSL3_AL_WARNING
        return isWarning ? .nothing : .failed(TLSFailure.alert(number), alert: nil)
    }

    private func handshake(_ layer: Layer, _ content: UnsafeBufferPointer<UInt8>) -> OpenedRecord {
        guard unsafe layer.pointee.protection.is_tls13 == 1 else {
            // RFC 5246 §7.4.1.1: a client asks to renegotiate by a new hello.
            guard unsafe content.first == UInt8(SSL3_MT_CLIENT_HELLO) else {
                return .failed(.tlsProtocolError, alert: SSL_AD_UNEXPECTED_MESSAGE)
            }
            if let session = unsafe state.secure {
                unsafe queueAlert(session, level: SSL3_AL_WARNING, SSL_AD_NO_RENEGOTIATION)
            }
            return .failed(.tlsRenegotiation, alert: nil)
        }
        // RFC 8446 §4.6.3: KeyUpdate is all that a client may say, and nothing follows it under the old keys.
        guard unsafe content.first == UInt8(SSL3_MT_KEY_UPDATE) else {
            return .failed(.tlsProtocolError, alert: SSL_AD_UNEXPECTED_MESSAGE)
        }
        guard content.count == 5, unsafe content[1] == 0, unsafe content[2] == 0, unsafe content[3] == 1,
            unsafe content[4] <= 1
        else { return .failed(.tlsProtocolError, alert: SSL_AD_DECODE_ERROR) }
        guard unsafe rw_tls_next_secret(&layer.pointee.protection, &layer.pointee.incoming) == 1 else {
            return .failed(.limit, alert: SSL_AD_INTERNAL_ERROR)
        }
        unsafe layer.pointee.incomingTag = worker.tlsMemory.contexts.nextTag()
        if unsafe content[4] == 1, let session = unsafe state.secure, unsafe !session.pointee.isEnded {
            unsafe updateOutgoingKeys(session, layer)
        }
        return .nothing
    }

    // MARK: Records in parts

    /// Adds to the record that an earlier buffer began. The plaintext when that makes it whole and it is data.
    private func completePartial(
        _ layer: Layer, _ place: inout UnsafeMutableRawPointer, _ left: inout Int, _ outcome: inout Outcome
    ) -> Lease? {
        guard let partial = unsafe layer.pointee.partial else { return nil }
        unsafe fillPartial(layer, upTo: Self.headerBytes, &place, &left)
        guard unsafe layer.pointee.partialCount >= Self.headerBytes else { return nil }
        guard let length = unsafe wholeLength(layer, partial.start) else {
            outcome = .failed(.tlsProtocolError, alert: SSL_AD_RECORD_OVERFLOW)
            return nil
        }
        unsafe fillPartial(layer, upTo: length, &place, &left)
        guard unsafe layer.pointee.partialCount == length else { return nil }
        unsafe layer.pointee.partial = nil
        switch unsafe open(layer, partial.start, length) {
        case .data(let plain, let count): return unsafe Lease(start: plain, count: count, buffer: partial.buffer)
        case .nothing: break
        case .ended: outcome = .ended
        case .failed(let reason, let alert): outcome = .failed(reason, alert: alert)
        }
        unsafe worker.core.value.buffers.release(partial.buffer, on: worker.backend)
        return nil
    }

    private func fillPartial(
        _ layer: Layer, upTo count: Int, _ place: inout UnsafeMutableRawPointer, _ left: inout Int
    ) {
        guard let partial = unsafe layer.pointee.partial else { return }
        let part = unsafe min(count - layer.pointee.partialCount, left)
        guard part > 0 else { return }
        unsafe (partial.start + layer.pointee.partialCount).copyMemory(from: place, byteCount: part)
        unsafe layer.pointee.partialCount += part
        unsafe place += part
        left -= part
    }

    /// A block for a record of which `count` bytes are there.
    private func keepPartial(_ layer: Layer, _ place: UnsafeMutableRawPointer, _ count: Int) {
        if unsafe layer.pointee.partial == nil {
            let block = worker.core.value.buffers.allocateRecord()
            unsafe layer.pointee.partial = unsafe (block.start, block.buffer)
            unsafe layer.pointee.partialCount = 0
        }
        var place = unsafe place
        var left = count
        unsafe fillPartial(layer, upTo: unsafe layer.pointee.partialCount + count, &place, &left)
    }

    func releasePartial(_ session: UnsafeMutablePointer<TLSSession>) {
        guard let layer = unsafe session.pointee.records, let partial = unsafe layer.pointee.partial else { return }
        unsafe layer.pointee.partial = nil
        unsafe worker.core.value.buffers.release(partial.buffer, on: worker.backend)
    }

    // MARK: Sending

    /// Encrypts up to a record's worth into the send queue. False after a failure, which closes.
    func sealRecord(
        _ session: UnsafeMutablePointer<TLSSession>, _ type: Int, _ source: UnsafeRawPointer, _ count: Int
    ) -> Bool {
        guard let layer = unsafe session.pointee.records else { return false }
        if unsafe layer.pointee.outgoing.sequence >= TLSRecordLayer.recordsPerKeyMax, type == RW_RECORD_DATA,
            unsafe layer.pointee.protection.is_tls13 == 1
        {
            unsafe updateOutgoingKeys(session, layer)
        }
        let context = unsafe worker.tlsMemory.contexts.context(
            layer.pointee.outgoingTag, &layer.pointee.protection, &layer.pointee.outgoing, seals: true)
        let block = worker.core.value.buffers.allocateRecord(
            count + Self.headerBytes + RW_RECORD_OVERHEAD_MAX)
        var written = 0
        if let context = unsafe context {
            written = unsafe rw_tls_seal(
                context, &layer.pointee.protection, &layer.pointee.outgoing, UInt8(type),
                source.assumingMemoryBound(to: UInt8.self), count, block.start.assumingMemoryBound(to: UInt8.self))
        }
        guard written > 0 else {
            worker.discard(block)
            ERR_clear_error()
            unsafe session.pointee.isDead = true
            close(.tlsProtocolError, reset: true)
            return false
        }
        return queueCiphertext(unsafe Lease(start: block.start, count: written, buffer: block.buffer))
    }

    /// RFC 8446 §4.6.3: says so under the old keys, and goes on with the next ones.
    private func updateOutgoingKeys(_ session: UnsafeMutablePointer<TLSSession>, _ layer: Layer) {
        let message: [UInt8] = [UInt8(SSL3_MT_KEY_UPDATE), 0, 0, 1, 0]
        let isQueued = unsafe message.withUnsafeBytes {
            unsafe sealRecord(session, RW_RECORD_HANDSHAKE, $0.baseAddress!, $0.count)
        }
        guard isQueued else { return }
        guard unsafe rw_tls_next_secret(&layer.pointee.protection, &layer.pointee.outgoing) == 1 else {
            return close(.limit, reset: true)
        }
        unsafe layer.pointee.outgoingTag = worker.tlsMemory.contexts.nextTag()
    }

    func queueAlert(_ session: UnsafeMutablePointer<TLSSession>, level: Int32, _ number: Int32) {
        guard unsafe !session.pointee.isEnded else { return }
        let message = [UInt8(level), UInt8(number)]
        unsafe message.withUnsafeBytes {
            unsafe _ = sealRecord(session, RW_RECORD_ALERT, $0.baseAddress!, $0.count)
        }
    }
}
