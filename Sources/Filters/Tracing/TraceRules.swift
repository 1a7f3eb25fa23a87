internal import Config
internal import HTTP

/// The rules of a sampling manifest, compiled: shared by all workers.
final class TraceRules: Sendable {
    private struct Share: Sendable {
        /// nil where every request is left to the rate.
        let reservoir: TokenBucket?
        let partsPerMillion: UInt32

        init(_ share: TraceShare) {
            reservoir = share.perSecond > 0 ? TokenBucket(perSecond: share.perSecond, burst: share.perSecond) : nil
            partsPerMillion = share.rate.partsPerMillion
        }

        func takes(_ pivot: UInt32, nowNs: UInt64) -> Bool {
            if let reservoir, reservoir.take(nowNs: nowNs) { return true }
            return pivot < partsPerMillion
        }
    }

    private struct Rule: Sendable {
        let host: WildcardPattern
        let method: WildcardPattern
        let path: WildcardPattern
        let share: Share
    }

    let source: TraceSamplingRules
    private let rules: [Rule]
    private let fallback: Share

    init(_ source: TraceSamplingRules) {
        self.source = source
        rules = source.rules.map {
            Rule(
                host: WildcardPattern($0.host), method: WildcardPattern($0.method), path: WildcardPattern($0.path),
                share: Share($0.share))
        }
        fallback = Share(source.fallback)
    }

    /// Whether chance has it that a request is traced.
    ///
    /// - Parameter pivot: 0 to 999,999, of the request's id
    func takes(_ head: borrowing RequestHead, pivot: UInt32, nowNs: UInt64) -> Bool {
        for rule in rules
        where rule.host.matches(head.authority) && rule.method.matches(head.methodText) && rule.path.matches(head.path)
        {
            return rule.share.takes(pivot, nowNs: nowNs)
        }
        return fallback.takes(pivot, nowNs: nowNs)
    }
}

/// Text with `*` for any text and `?` for any character, compared without case.
struct WildcardPattern: Sendable {
    private let pattern: [UInt8]

    init(_ text: String) { pattern = Array(text.lowercased().utf8) }

    /// In time that grows with the product of both lengths at worst: after a mismatch only the last `*` takes more.
    func matches(_ text: ByteSlice) -> Bool {
        var (index, place) = (0, 0)
        var star: Int?
        var starIndex = 0
        while index < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = place
                starIndex = index
                place += 1
            } else if place < pattern.count, Self.fits(pattern[place], text[index]) {
                index += 1
                place += 1
            } else if let last = star {
                starIndex += 1
                index = starIndex
                place = last + 1
            } else {
                return false
            }
        }
        while place < pattern.count, pattern[place] == UInt8(ascii: "*") { place += 1 }
        return place == pattern.count
    }

    private static func fits(_ pattern: UInt8, _ byte: UInt8) -> Bool {
        let isCapital = byte &- UInt8(ascii: "A") < 26
        return pattern == UInt8(ascii: "?") || pattern == (isCapital ? byte | 0x20 : byte)
    }
}
