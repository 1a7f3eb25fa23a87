internal import CTLS

/// The records of a server's session whose handshake is over, protected without OpenSSL's session object.
///
/// That object has 14 KB for each connection, most of it for versions, extensions and pipelines that an established
/// session has no use for. What is needed are the keys: 0.3 KB. OpenSSL goes on to do the cryptography; contexts for it
/// are the worker's (`TLSRecordContexts`). Sessions with a cipher suite that is not among the common AEADs, and those of
/// clients, which are sent tickets later, stay with OpenSSL.
@safe
struct TLSRecordLayer {
    var protection = rw_tls_protection()
    /// Before the handshake is over only the secrets are there.
    var incoming = rw_tls_direction()
    var outgoing = rw_tls_direction()
    var hasClientSecret = false
    var hasServerSecret = false
    /// What tells the keys from all others of the worker; 0 before there are any.
    var incomingTag: UInt64 = 0
    var outgoingTag: UInt64 = 0
    /// The beginning of a record whose rest has not come: a block of the buffer pool, and its bytes that are in use.
    var partial: (start: UnsafeMutableRawPointer, buffer: UInt32)?
    var partialCount = 0
    /// Records in a row that brought no data.
    var emptyRecords = 0

    /// A peer that sends more of these in a row means no good.
    static let emptyRecordsMax = 32
    /// Records under one key of AES-GCM: RFC 8446 §5.5 allows 2^24.5.
    static let recordsPerKeyMax: UInt64 = 1 << 24

    static func make() -> UnsafeMutablePointer<TLSRecordLayer> {
        let layer = UnsafeMutablePointer<TLSRecordLayer>.allocate(capacity: 1)
        unsafe layer.initialize(to: TLSRecordLayer())
        return unsafe layer
    }

    /// `partial` must have been given back.
    static func destroy(_ layer: UnsafeMutablePointer<TLSRecordLayer>) {
        unsafe OPENSSL_cleanse(layer, MemoryLayout<TLSRecordLayer>.size)
        unsafe layer.deallocate()
    }

    /// Takes a line of the key log, by which OpenSSL tells the secrets of TLS 1.3: `LABEL RANDOM SECRET`.
    mutating func note(keyLog line: UnsafePointer<CChar>) {
        if unsafe rw_tls_secret_of(line, "CLIENT_TRAFFIC_SECRET_0 ", &incoming) == 1 { hasClientSecret = true }
        if unsafe rw_tls_secret_of(line, "SERVER_TRAFFIC_SECRET_0 ", &outgoing) == 1 { hasServerSecret = true }
    }

    /// Takes the records over from a session whose handshake has just finished. False when OpenSSL has to go on.
    ///
    /// - Parameter recordsSent: under the keys of TLS 1.3 for data: tickets
    mutating func takeOver(_ ssl: OpaquePointer, recordsSent: UInt64, _ contexts: TLSRecordContexts) -> Bool {
        guard unsafe rw_tls_can_take(ssl, &protection) == 1, unsafe SSL_has_pending(ssl) == 0 else { return false }
        if protection.is_tls13 == 0 {
            guard unsafe rw_tls_use_master(ssl, &protection, &incoming, &outgoing) == 1 else { return false }
        } else {
            guard hasClientSecret, hasServerSecret, unsafe rw_tls_use_own_secret(&protection, &incoming) == 1,
                unsafe rw_tls_use_own_secret(&protection, &outgoing) == 1
            else { return false }
            outgoing.sequence = recordsSent
        }
        incomingTag = contexts.nextTag()
        outgoingTag = contexts.nextTag()
        return true
    }
}

/// What a handshake has settled, kept when its session object is gone.
@safe
struct TLSFacts {
    let version: UnsafePointer<CChar>?
    let cipher: UnsafePointer<CChar>?
    let applicationProtocol: String?
    let serverName: String?
    /// The peer's, an `X509 *`; nil when it was not asked for or sent none.
    let certificate: OpaquePointer?

    /// - Parameter isVerified: the handshake has succeeded
    init(_ ssl: OpaquePointer, isVerified: Bool) {
        // These two are constants of the library.
        unsafe version = SSL_get_version(ssl)
        unsafe cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl))
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &start, &count)
        applicationProtocol =
            unsafe start.map {
                unsafe String(decoding: UnsafeBufferPointer(start: $0, count: Int(count)), as: UTF8.self)
            }
        serverName = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { unsafe String(cString: $0) }
        unsafe certificate =
            isVerified && SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER != 0 ? SSL_get1_peer_certificate(ssl) : nil
    }
}

/// The contexts that a worker's record layers encrypt and decrypt with: a few dozen for all sessions. One that finds its
/// keys in another's place sets its own, which costs 0.2 µs.
@safe
final class TLSRecordContexts {
    @safe
    private struct Entry {
        var context: OpaquePointer?
        var tag: UInt64 = 0
    }

    /// Of each direction; a power of two.
    private static let countMax = 64
    private let entries: UnsafeMutablePointer<Entry>
    private var lastTag: UInt64 = 0

    init() {
        unsafe entries = .allocate(capacity: 2 * Self.countMax)
        unsafe entries.initialize(repeating: Entry(), count: 2 * Self.countMax)
    }

    deinit {
        for index in 0..<2 * Self.countMax { unsafe EVP_CIPHER_CTX_free(entries[index].context) }
        unsafe entries.deallocate()
    }

    func nextTag() -> UInt64 {
        lastTag += 1
        return lastTag
    }

    /// A context with the keys of `direction`; nil without memory.
    func context(
        _ tag: UInt64, _ protection: inout rw_tls_protection, _ direction: UnsafePointer<rw_tls_direction>, seals: Bool
    ) -> OpaquePointer? {
        let entry = unsafe entries + (Int(tag >> 1 & UInt64(Self.countMax - 1)) + (seals ? Self.countMax : 0))
        if unsafe entry.pointee.tag == tag { return unsafe entry.pointee.context }
        if unsafe entry.pointee.context == nil { unsafe entry.pointee.context = EVP_CIPHER_CTX_new() }
        unsafe entry.pointee.tag = 0
        guard let context = unsafe entry.pointee.context,
            unsafe rw_tls_key_context(context, &protection, direction, seals ? 1 : 0) == 1
        else { return nil }
        unsafe entry.pointee.tag = tag
        return unsafe context
    }
}
