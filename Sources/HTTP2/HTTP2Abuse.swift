/// What a peer does that costs us more than it costs the peer. Each ends the connection with ENHANCE_YOUR_CALM
/// (RFC 9113 §10.5). Raw values are dense, so that counters can be an array; `label` is stable.
package enum HTTP2Abuse: UInt8, CaseIterable, Hashable, Sendable {
    /// Streams opened and given up, or made to fail, over and over (CVE-2023-44487, CVE-2025-8671).
    case rapidReset
    /// A header block in more pieces than any needs (CVE-2024-27316).
    case continuationFlood
    /// A header block that says far more than the limit, most of it from the compression table.
    case headerBomb
    case settingsFlood
    case pingFlood
    case priorityFlood
    case emptyDataFlood
    case windowUpdateFlood
    /// Frames of types that do not exist.
    case unknownFrameFlood
    /// Does not read the acknowledgements that it makes us send.
    case acknowledgementFlood

    /// The value of the `reason` label.
    package var label: StaticString {
        switch self {
        case .rapidReset: "rapid_reset"
        case .continuationFlood: "continuation_flood"
        case .headerBomb: "header_bomb"
        case .settingsFlood: "settings_flood"
        case .pingFlood: "ping_flood"
        case .priorityFlood: "priority_flood"
        case .emptyDataFlood: "empty_data_flood"
        case .windowUpdateFlood: "window_update_flood"
        case .unknownFrameFlood: "unknown_frame_flood"
        case .acknowledgementFlood: "acknowledgement_flood"
        }
    }
}

/// How much of what is legal by itself counts as abuse when it comes in numbers.
package struct HTTP2FloodLimits: Sendable {
    /// So many at once, and so many more a second.
    package struct Rate: Sendable {
        package var burst: UInt32
        package var perSecond: UInt32

        package init(burst: UInt32, perSecond: UInt32) {
            self.burst = burst
            self.perSecond = perSecond
        }
    }

    /// Streams that ended with an error, whoever found it. A browser that leaves a page cancels what it had asked for,
    /// and a busy client of gRPC gives up some of its calls: each stream that ends well allows one more.
    package var resets = Rate(burst: 1_000, perSecond: 100)
    package var settings = Rate(burst: 50, perSecond: 10)
    /// gRPC clients measure the round trip while data comes: each DATA frame that we send allows one more.
    package var pings = Rate(burst: 400, perSecond: 100)
    /// Deprecated (RFC 9113 §5.3.2) and still sent by browsers, a few for each stream.
    package var priorities = Rate(burst: 1_000, perSecond: 200)
    package var emptyData = Rate(burst: 100, perSecond: 10)
    /// Each DATA frame that we send allows ten more.
    package var windowUpdates = Rate(burst: 2_000, perSecond: 1_000)
    package var unknownFrames = Rate(burst: 100, perSecond: 10)
    /// CONTINUATION frames of one header block.
    package var continuationsMax = 32
    /// Acknowledgements of SETTINGS and PING that the peer has not read.
    package var acknowledgementsMax = 500

    package init() {}
}

/// One rate's state: when all of its burst will be there again (the generic cell rate algorithm, ITU-T I.371).
struct HTTP2RateMeter {
    private var fullAtNs: UInt64 = 0

    /// Takes one; false when none is left.
    mutating func take(_ rate: HTTP2FloodLimits.Rate, nowNs: UInt64) -> Bool {
        let intervalNs = 1_000_000_000 / UInt64(rate.perSecond)
        let next = max(fullAtNs, nowNs) + intervalNs
        guard next <= nowNs + intervalNs * UInt64(rate.burst) else { return false }
        fullAtNs = next
        return true
    }

    /// Gives `count` more.
    mutating func give(_ count: UInt64, _ rate: HTTP2FloodLimits.Rate) {
        let earnedNs = 1_000_000_000 / UInt64(rate.perSecond) * count
        fullAtNs = fullAtNs > earnedNs ? fullAtNs - earnedNs : 0
    }
}
