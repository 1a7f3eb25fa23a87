internal import CTLS

/// Why certificates, keys or TLS settings cannot be used. Never has key material in its text.
package struct TLSProblem: Error, Sendable, Equatable {
    /// Which of the things that were given is at fault.
    package enum Part: Sendable, Equatable {
        case certificate, key, authorities, staple, versions, ciphers, cipherSuites, groups, library
    }

    package var part: Part
    /// What is wrong, without a full stop.
    package var reason: String

    package init(_ part: Part, _ reason: String) {
        self.part = part
        self.reason = reason
    }

    /// A problem with OpenSSL's own words for it, if it has any.
    static func ofLibrary(_ part: Part, _ what: String) -> TLSProblem {
        let words = OpenSSLErrors.take()
        return TLSProblem(part, words.isEmpty ? what : "\(what): \(words)")
    }
}

/// OpenSSL's queue of errors, one a thread. Whoever fails empties it: the next call on the thread must not find it.
enum OpenSSLErrors {
    /// The text of the first error; the queue is empty afterwards.
    static func take() -> String {
        let first = ERR_get_error()
        ERR_clear_error()
        guard first != 0, let text = unsafe ERR_reason_error_string(first) else { return "" }
        return unsafe String(cString: text)
    }

    /// The number of the first error, 0 without one; the queue is empty afterwards.
    static func takeNumber() -> UInt {
        let first = ERR_peek_error()
        ERR_clear_error()
        return UInt(first)
    }
}
