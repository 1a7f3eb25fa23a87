internal import CTLS
internal import Glibc
internal import Synchronization

/// The keys that session tickets are sealed with (RFC 5077), shared by all workers of the process, so that a session
/// can be resumed on any of them.
///
/// The newest key seals; older ones still open, and what they open gets a new ticket. A key that left is gone for
/// good, and with it what recorded tickets could be opened with. The lock is taken twice a handshake at most, for a
/// copy of 80 bytes.
package final class TicketKeys: Sendable {
    struct Key: Sendable {
        var name: [UInt8]
        var aes: [UInt8]
        var mac: [UInt8]

        static func random() -> Key? {
            guard let name = bytes(16), let aes = bytes(32), let mac = bytes(32) else { return nil }
            return Key(name: name, aes: aes, mac: mac)
        }

        private static func bytes(_ count: Int) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: count)
            let made = unsafe bytes.withUnsafeMutableBufferPointer {
                unsafe RAND_priv_bytes($0.baseAddress, Int32(count))
            }
            return made == 1 ? bytes : nil
        }
    }

    /// Nanoseconds between two rotations.
    package static let rotationNs: UInt64 = 8 * 3600 * 1_000_000_000
    /// The newest and those that still open: a ticket lives between two and three rotations.
    static let kept = 3
    /// Seconds for which a ticket is good; no longer than the oldest key lives.
    static let lifetimeSeconds = 16 * 3600

    private let keys: Mutex<[Key]>

    /// - Returns: nil when the system has no randomness
    package init?() {
        guard let first = Key.random() else { return nil }
        keys = Mutex([first])
    }

    /// Makes a new key the one that seals.
    package func rotate() {
        guard let next = Key.random() else { return }
        keys.withLock { $0 = [next] + $0.prefix(Self.kept - 1) }
    }

    var newest: Key { keys.withLock { $0[0] } }

    /// The key of that name, and whether it is the newest.
    func key(named name: UnsafePointer<UInt8>) -> (key: Key, isNewest: Bool)? {
        keys.withLock { keys in
            for (index, key) in keys.enumerated() {
                let isSame = unsafe key.name.withUnsafeBytes { unsafe memcmp($0.baseAddress!, name, 16) == 0 }
                if isSame { return (key, index == 0) }
            }
            return nil
        }
    }

    /// OpenSSL's callback: 1 sealed or opened, 2 opened and to be renewed, 0 no such key, -1 failed.
    func prepare(
        name: UnsafeMutablePointer<UInt8>, iv: UnsafeMutablePointer<UInt8>, cipher: OpaquePointer?,
        mac: OpaquePointer?, seals: Bool
    ) -> Int32 {
        guard seals else {
            guard let found = unsafe key(named: name) else { return 0 }
            guard unsafe rw_tls_ticket_ciphers(cipher, mac, found.key.aes, iv, found.key.mac, 0) == 1 else { return -1 }
            return found.isNewest ? 1 : 2
        }
        let key = newest
        guard unsafe RAND_bytes(iv, 16) == 1 else { return -1 }
        unsafe key.name.withUnsafeBytes {
            unsafe name.update(from: $0.bindMemory(to: UInt8.self).baseAddress!, count: 16)
        }
        return unsafe rw_tls_ticket_ciphers(cipher, mac, key.aes, iv, key.mac, 1) == 1 ? 1 : -1
    }
}
