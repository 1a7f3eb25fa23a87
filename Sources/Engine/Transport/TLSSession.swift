internal import CTLS

/// TLS on one connection: an `SSL`, the memory it reads and writes, and what waits on either side of it.
///
/// A connection without TLS has none; one with TLS points at it from its slot. It never moves, because OpenSSL holds
/// its address.
///
///     receive lease ─▶ waiting ─▶ handshake                    until it is finished
///     receive lease ─▶ decrypted in place ─▶ handler           then
///     handler ─▶ plain ─(end of turn)─▶ records ─▶ send queue
@safe
struct TLSSession {
    /// What the next call of OpenSSL reads and writes.
    var io = unsafe rw_tls_io()
    /// nil once `records` has taken over.
    private(set) var ssl: OpaquePointer?
    /// Of a server's session: made when the handshake has its secrets, in charge once there is no `ssl`.
    private(set) var records: UnsafeMutablePointer<TLSRecordLayer>?
    private(set) var facts: TLSFacts?
    /// Retained.
    let context: Unmanaged<TLSContext>
    /// Where a client keeps sessions to resume. Retained.
    let sessions: Unmanaged<TLSClientSessions>?
    /// Bytes to be encrypted at the end of the turn.
    var plain = SendQueue()
    /// Ciphertext that is not looked at yet: it came in the handshake, whose steps are put off, or before the handler
    /// began to read.
    var waiting = SendQueue()

    /// In the worker's list of sessions with a step to take.
    var isScheduled = false
    /// The handler reads: what is decrypted may be delivered.
    var isStarted = false
    /// Reading stopped because too much is waiting.
    var isThrottled = false
    /// Our close_notify is sent or queued: nothing is encrypted after it.
    var isEnded = false
    /// Nothing can be said on this session any more.
    var isDead = false
    /// The socket ended while ciphertext was waiting.
    var endIsWaiting = false
    var refusedRenegotiation = false

    /// The most ciphertext that waits before reading stops. A flight of a client's handshake is far smaller.
    static let waitingBytesMax = 64 * 1024

    init(ssl: OpaquePointer, context: TLSContext, sessions: TLSClientSessions?) {
        unsafe self.ssl = ssl
        unsafe self.context = Unmanaged.passRetained(context)
        unsafe self.sessions = sessions.map { unsafe Unmanaged.passRetained($0) }
    }

    /// A session at an address of its own, wired to OpenSSL. nil without memory.
    static func make(_ context: TLSContext, sessions: TLSClientSessions?) -> UnsafeMutablePointer<TLSSession>? {
        guard let ssl = unsafe context.makeSession() else {
            ERR_clear_error()
            return nil
        }
        let session = UnsafeMutablePointer<TLSSession>.allocate(capacity: 1)
        unsafe session.initialize(to: unsafe TLSSession(ssl: ssl, context: context, sessions: sessions))
        guard let bio = unsafe rw_tls_bio_new(&session.pointee.io) else {
            unsafe destroy(session)
            return nil
        }
        unsafe SSL_set_bio(ssl, bio, bio)
        unsafe rw_tls_set_app_data(ssl, session)
        unsafe sessions?.offer(on: ssl)
        return unsafe session
    }

    /// The queues must be empty.
    static func destroy(_ session: UnsafeMutablePointer<TLSSession>) {
        unsafe SSL_free(session.pointee.ssl)
        if let records = unsafe session.pointee.records { unsafe TLSRecordLayer.destroy(records) }
        unsafe X509_free(session.pointee.facts?.certificate)
        unsafe session.pointee.context.release()
        unsafe session.pointee.sessions?.release()
        unsafe session.deinitialize(count: 1)
        unsafe session.deallocate()
    }

    /// The session that a callback of OpenSSL is about.
    static func of(_ ssl: OpaquePointer?) -> UnsafeMutablePointer<TLSSession>? {
        guard let ssl = unsafe ssl else { return nil }
        return unsafe rw_tls_app_data(ssl)?.assumingMemoryBound(to: TLSSession.self)
    }

    /// OpenSSL tells a secret of the handshake.
    mutating func note(keyLog line: UnsafePointer<CChar>) {
        let layer = unsafe records ?? TLSRecordLayer.make()
        unsafe records = layer
        unsafe layer.pointee.note(keyLog: line)
    }

    /// The handshake is over. What it has settled outlives the session object.
    mutating func settle(isVerified: Bool) {
        if let ssl = unsafe ssl, facts == nil { facts = unsafe TLSFacts(ssl, isVerified: isVerified) }
    }

    /// The handshake of a server has just finished: lets go of OpenSSL's session object where that can be.
    mutating func takeOverRecords(_ contexts: TLSRecordContexts) {
        guard let ssl = unsafe ssl, isServer, unsafe rw_tls_is_mid_record(&io) == 0 else { return }
        let layer = unsafe records ?? TLSRecordLayer.make()
        unsafe records = layer
        let recordsSent = unsafe UInt64(io.written_data_records)
        guard unsafe layer.pointee.takeOver(ssl, recordsSent: recordsSent, contexts) else {
            unsafe TLSRecordLayer.destroy(layer)
            unsafe records = nil
            return
        }
        unsafe SSL_free(ssl)
        unsafe self.ssl = nil
    }

    /// Something came that was not looked at.
    var hasWaiting: Bool { !waiting.isEmpty || endIsWaiting }

    var isServer: Bool { unsafe context._withUnsafeGuaranteedRef { $0.isServer } }
}

/// Memory that all sessions of a worker use in turn.
@safe
struct TLSMemory {
    /// Where small writes are put together to one record.
    let gathering: UnsafeMutableRawPointer
    /// Where OpenSSL may write when nothing but an alert or a key update is to be expected.
    let remarks: UnsafeMutableRawPointer
    let contexts = TLSRecordContexts()

    /// RFC 8446 §5.1: the most plaintext of one record.
    static let recordBytesMax = 16 * 1024
    /// Header, nonce, tag and padding of a record, rounded up.
    static let recordOverheadMax = 128
    static let remarksBytes = 4096
    /// Records from this on are not copied. Smaller ones would each keep a block for a whole one.
    static let takenBytesMin = 4096

    init() {
        unsafe gathering = .allocate(byteCount: Self.recordBytesMax, alignment: 64)
        unsafe remarks = .allocate(byteCount: Self.remarksBytes, alignment: 64)
    }
}
