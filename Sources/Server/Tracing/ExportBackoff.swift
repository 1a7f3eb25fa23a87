internal import Glibc
internal import HTTP

/// When a backend that failed is asked again: after pauses that grow, and not before it wants that.
struct ExportBackoff {
    private static let pauseMinNs: UInt64 = 250_000_000
    private static let pauseMaxNs: UInt64 = 30_000_000_000

    private(set) var nextTryNs: UInt64 = 0
    private var pauseNs = ExportBackoff.pauseMinNs

    mutating func succeeded() { pauseNs = Self.pauseMinNs }

    /// - Parameter retryAfterNs: what the backend asked for. The pause comes on top, so that those who were told the same
    ///   moment do not all come at it; both together are no longer than the longest pause.
    mutating func failed(nowNs: UInt64, retryAfterNs: UInt64) {
        // Half of it by chance, so that many proxies do not come back at once.
        let own = pauseNs / 2 + .random(in: 0...(pauseNs / 2))
        nextTryNs = nowNs + min(own + min(retryAfterNs, Self.pauseMaxNs), Self.pauseMaxNs)
        pauseNs = min(pauseNs * 2, Self.pauseMaxNs)
    }
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date in the format that is generated today.
enum RetryAfter {
    /// How long the value asks to wait from now: 0 when that time has come, or the value is neither.
    static func delayNs(_ value: ByteSlice) -> UInt64 {
        if let seconds = value.decimal { return nanoseconds(seconds) }
        guard value.count == HTTPDate.byteCount, let date = epochSeconds(value.text) else { return 0 }
        return nanoseconds(UInt64(max(0, date - time(nil))))
    }

    private static func nanoseconds(_ seconds: UInt64) -> UInt64 {
        let (ns, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : ns
    }

    private static let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(separator: " ")

    /// IMF-fixdate (RFC 9110 §5.6.7).
    private static func epochSeconds(_ date: String) -> Int? {
        let words = date.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let day = Int32(words[1]),
            let month = months.firstIndex(of: words[2]),
            let year = Int32(words[3]), (1970...9999).contains(year)
        else { return nil }
        let clock = words[4].split(separator: ":").compactMap { Int32($0) }
        guard clock.count == 3 else { return nil }
        var parts = unsafe tm()
        unsafe parts.tm_year = year - 1900
        unsafe parts.tm_mon = Int32(month)
        unsafe parts.tm_mday = day
        unsafe parts.tm_hour = clock[0]
        unsafe parts.tm_min = clock[1]
        unsafe parts.tm_sec = clock[2]
        return unsafe timegm(&parts)
    }
}
