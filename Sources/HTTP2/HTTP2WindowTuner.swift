/// Finds out how large the windows of a connection have to be for its peer to send without waiting for us: as large as
/// what is on its way in one round trip (the bandwidth-delay product), as the clients and servers of gRPC do it.
///
/// A measurement counts the bytes between a PING and its answer. Where they come near the window, the window was what
/// held the peer back, so it becomes twice what was counted, and is measured again. Where they do not, the next
/// measurement waits, longer each time: a connection at rest costs no PING, a busy one a few a minute.
///
/// Windows never shrink (RFC 9113 §6.9.2 has no way to take back what was granted). All that they have grown, on one
/// connection, stays within `growthMax`, so that a peer who is fast and then leaves everything unread holds a known
/// number of bytes here.
struct HTTP2WindowTuner {
    /// What a stream that receives as fast as the peer can send should have.
    private(set) var streamWindow: Int
    /// What all streams of the connection may have grown, together.
    private let growthMax: Int
    private let initialWindow: Int
    /// What they have grown.
    private(set) var grown = 0

    private var counted = 0
    private var isMeasuring = false
    private var startedNs: UInt64 = 0
    private var nextNs: UInt64 = 0
    private var pauseNs = Self.pauseMinNs
    /// Bytes a second, the most so far: a round trip that only became longer, because queues did, is no reason to grow.
    private var bestRate = 0.0

    private static let pauseMinNs: UInt64 = 100_000_000
    private static let pauseMaxNs: UInt64 = 10_000_000_000

    init(streamWindow: Int, growthMax: Int) {
        self.streamWindow = streamWindow
        initialWindow = streamWindow
        self.growthMax = growthMax
    }

    /// Bytes of bodies have come. True when a measurement begins with them: a PING is to be sent.
    mutating func received(_ count: Int, nowNs: UInt64) -> Bool {
        if isMeasuring {
            counted += count
            return false
        }
        guard growthMax > 0, nowNs >= nextNs else { return false }
        isMeasuring = true
        startedNs = nowNs
        counted = count
        return true
    }

    /// The PING was answered. True when the window has grown.
    mutating func answered(nowNs: UInt64) -> Bool {
        guard isMeasuring else { return false }
        isMeasuring = false
        let rate = Double(counted) / Double(max(nowNs - startedNs, 1)) * 1e9
        let largest = initialWindow + growthMax
        guard counted * 3 >= streamWindow * 2, rate > bestRate, streamWindow < largest else {
            nextNs = nowNs + pauseNs
            pauseNs = min(pauseNs * 2, Self.pauseMaxNs)
            return false
        }
        bestRate = rate
        streamWindow = min(max(counted * 2, streamWindow), largest)
        pauseNs = Self.pauseMinNs
        nextNs = 0
        return true
    }

    /// How much a stream with this window may grow now.
    mutating func grow(_ window: Int) -> Int {
        let count = min(streamWindow - window, growthMax - grown)
        guard count > 0 else { return 0 }
        grown += count
        return count
    }

    /// A stream that had grown is gone.
    mutating func release(_ window: Int) { grown -= window - initialWindow }
}
