/// The samples of one scrape of `/metrics`, read back: those of the families that somebody looks at.
///
/// Found by the first label, which says whose they are, so that a look at thousands of clusters reads each sample a few
/// times and not as often as there are clusters.
struct ScrapedSamples {
    struct Series {
        /// A few: looking through them takes less than making a table of them.
        let labels: [(key: String, value: String)]
        let value: Double

        subscript(_ key: String) -> String? { labels.first { $0.key == key }?.value }
    }

    private struct Family {
        var series: [Series] = []
        /// Where those of an owner are, by the first label: `cluster=web`. They stand together, or at least among these.
        var places: [String: Range<Int>] = [:]
        /// In the order of the scrape.
        var owners: [String] = []

        mutating func append(_ new: Series) {
            let place = series.count
            series.append(new)
            guard let first = new.labels.first else { return }
            let start = places[ScrapedSamples.owner(first.key, first.value), default: place..<place].lowerBound
            places[ScrapedSamples.owner(first.key, first.value)] = start..<place + 1
            if start == place { owners.append(first.value) }
        }
    }

    private var families: [String: Family] = [:]

    /// Lines that are no samples, or of none of the families, are left out.
    init(_ text: [UInt8], of wanted: Set<String>) {
        var name: ArraySlice<UInt8> = []
        var key = ""
        var family = Family()
        var isWanted = false
        for line in text.split(separator: UInt8(ascii: "\n")) where line.first != UInt8(ascii: "#") {
            // The samples of a family stand together.
            if !line.starts(with: name) || name.count != Self.nameCount(line) {
                if isWanted { families[key] = family }
                name = line.prefix(Self.nameCount(line))
                key = String(decoding: name, as: UTF8.self)
                isWanted = wanted.contains(key)
                family = families.removeValue(forKey: key) ?? Family()
            }
            guard isWanted, let space = line.lastIndex(of: UInt8(ascii: " ")),
                let value = Double(String(decoding: line[(space + 1)...], as: UTF8.self))
            else { continue }
            family.append(Series(labels: Self.labels(line[..<space].dropFirst(name.count)), value: value))
        }
        if isWanted { families[key] = family }
    }

    private static func owner(_ key: String, _ value: String) -> String { "\(key)=\(value)" }

    private static func nameCount(_ line: ArraySlice<UInt8>) -> Int {
        (line.firstIndex { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: " ") } ?? line.endIndex) - line.startIndex
    }

    /// `{a="b",c="d"}`, with the escapes of values undone.
    private static func labels(_ text: ArraySlice<UInt8>) -> [(key: String, value: String)] {
        var labels: [(key: String, value: String)] = []
        var rest = text.dropFirst()
        while let equals = rest.firstIndex(of: UInt8(ascii: "=")) {
            let key = rest[..<equals].drop { $0 == UInt8(ascii: ",") }
            rest = rest[equals...].dropFirst(2)
            var value: [UInt8] = []
            while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
                guard byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() else {
                    value.append(byte)
                    continue
                }
                value.append(escaped == UInt8(ascii: "n") ? UInt8(ascii: "\n") : escaped)
            }
            labels.append((String(decoding: key, as: UTF8.self), String(decoding: value, as: UTF8.self)))
        }
        return labels
    }

    func series(_ name: String) -> [Series] { families[name]?.series ?? [] }

    /// Those whose first label is this one.
    func series(_ name: String, _ key: String, _ value: String) -> [Series] {
        guard let family = families[name], let places = family.places[Self.owner(key, value)] else { return [] }
        return family.series[places].filter { $0[key] == value }
    }

    /// All that have these labels, whatever others they have. The first one is the one that the samples begin with.
    func sum(_ name: String, _ labels: KeyValuePairs<String, String> = [:]) -> Double {
        guard let owner = labels.first else { return series(name).reduce(0) { $0 + $1.value } }
        return series(name, owner.key, owner.value).reduce(0) { sum, series in
            labels.allSatisfy { series[$0.key] == $0.value } ? sum + series.value : sum
        }
    }

    /// The values of the first label, in the order of the scrape.
    func owners(_ name: String) -> [String] { families[name]?.owners ?? [] }
}

/// What happened between two scrapes.
struct ScrapedChange {
    let before: ScrapedSamples
    let after: ScrapedSamples
    let seconds: Double

    /// Of counters, each second. One that went down began anew.
    func rate(_ name: String, _ labels: KeyValuePairs<String, String> = [:]) -> Double {
        let (old, new) = (before.sum(name, labels), after.sum(name, labels))
        return (new >= old ? new - old : new) / seconds
    }

    /// In seconds, of the values between the scrapes; nil without any.
    func quantile(_ share: Double, of name: String, _ key: String, _ value: String) -> Double? {
        func counts(_ samples: ScrapedSamples) -> [Double: Double] {
            var counts: [Double: Double] = [:]
            for series in samples.series(name + "_bucket", key, value) {
                let bound = series["le"].map { $0 == "+Inf" ? .infinity : Double($0) ?? .nan } ?? .nan
                counts[bound] = series.value
            }
            return counts
        }
        let (old, new) = (counts(before), counts(after))
        let buckets = new.map { (bound: $0.key, count: $0.value - (old[$0.key] ?? 0)) }.sorted { $0.bound < $1.bound }
        guard let total = buckets.last?.count, total > 0 else { return nil }
        var lower = (bound: 0.0, count: 0.0)
        for bucket in buckets {
            if bucket.count >= share * total {
                guard bucket.bound.isFinite, bucket.count > lower.count else { return lower.bound }
                let part = (share * total - lower.count) / (bucket.count - lower.count)
                return lower.bound + (bucket.bound - lower.bound) * part
            }
            lower = bucket
        }
        return lower.bound
    }
}
