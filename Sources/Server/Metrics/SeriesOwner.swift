internal import Config
internal import Engine
internal import Upstream

/// What has series of its own: a listener, a cluster, a worker. Its labels are written out once, not with each sample.
struct SeriesOwner: Sendable {
    /// Its place among all owners of a plan, for counting; `process` has the first.
    let number: Int
    /// `cluster="web"`, escaped; empty for the process.
    let labels: [UInt8]
    /// What stands before a stat of it in Envoy's spelling: `cluster.web`. Empty where Envoy has no such scope.
    let dotted: [UInt8]
    /// Where it counts. Several when it stands for several.
    let ranges: [StatsRegistry.Range]

    init(
        number: Int, labels: KeyValuePairs<String, String>, dotted: String = "", ranges: [StatsRegistry.Range] = []
    ) {
        self.number = number
        self.labels = Self.written(labels)
        self.dotted = Array(dotted.utf8)
        self.ranges = ranges
    }

    static let process = SeriesOwner(number: 0, labels: [:])

    /// The same owner under other names.
    func renamed(_ labels: KeyValuePairs<String, String>, dotted: String) -> SeriesOwner {
        SeriesOwner(number: number, labels: labels, dotted: dotted, ranges: ranges)
    }

    private static func written(_ labels: KeyValuePairs<String, String>) -> [UInt8] {
        var bytes: [UInt8] = []
        for (key, value) in labels {
            if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: key.utf8)
            bytes.append(contentsOf: "=\"".utf8)
            escape(value, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        return bytes
    }

    /// As all of Prometheus' text formats ask for label values.
    static func escape(_ value: String, to bytes: inout [UInt8]) {
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            default: bytes.append(byte)
            }
        }
    }
}

/// An owner, and what of the snapshot it stands for: one thing, or all that the budget of series had no room for.
struct Owned<Member: Sendable>: Sendable {
    let owner: SeriesOwner
    let name: String
    let members: [Member]
}

extension StatsRegistry {
    /// The sum over workers and over all that the owner stands for.
    func sum(_ owner: SeriesOwner, _ stat: some RawRepresentable<Int>) -> UInt64 {
        owner.ranges.reduce(0) { $0 &+ sum($1, stat) }
    }

    /// The same of what the background thread counts.
    func backgroundSum(_ owner: SeriesOwner, _ stat: some RawRepresentable<Int>) -> UInt64 {
        owner.ranges.reduce(0) { $0 &+ backgroundScope($1).read(stat) }
    }

    func histogram(_ owner: SeriesOwner, _ stat: some RawRepresentable<Int>) -> HistogramCounts {
        var counts = HistogramCounts()
        for range in owner.ranges { add(range, stat, to: &counts) }
        return counts
    }
}
