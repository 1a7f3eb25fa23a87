internal import Filters
internal import HTTP

/// The span that called this proxy, as its `sw8` told: what a segment refers to.
struct SkyWalkingCaller {
    let traceID: String
    let segmentID: String
    let spanIndex: Int32
    let service: String
    let instance: String
    let endpoint: String
    let address: String

    /// nil for what is no `sw8`.
    init?(_ header: String) {
        let parts = header.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 8, let index = Int32(parts[3]) else { return nil }
        var texts: [String] = []
        for number in [1, 2, 4, 5, 6, 7] {
            let bytes = ByteSlice.withBytes(of: String(parts[number])) { Base64.decode($0) }
            guard let bytes else { return nil }
            texts.append(String(decoding: bytes, as: UTF8.self))
        }
        traceID = texts[0]
        segmentID = texts[1]
        spanIndex = index
        service = texts[2]
        instance = texts[3]
        endpoint = texts[4]
        address = texts[5]
    }

    /// What `SkyWalkingContext` tells the next service.
    static func segmentID(_ traceHigh: UInt64, _ traceLow: UInt64, _ spanID: UInt64) -> String {
        traceHigh.hex16 + traceLow.hex16 + spanID.hex16
    }
}
