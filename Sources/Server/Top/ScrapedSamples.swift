/// The samples of one scrape of `/metrics`, read back.
struct ScrapedSamples {
    struct Series {
        let labels: [String: String]
        let value: Double
    }

    private var families: [String: [Series]] = [:]

    /// Lines that are no samples are left out.
    init(_ text: String) {
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
                continue
            }
            let name = line[..<space].prefix { $0 != "{" }
            let labels = Self.labels(line[name.endIndex..<space])
            families[String(name), default: []].append(Series(labels: labels, value: value))
        }
    }

    /// `{a="b",c="d"}`, with the escapes of values undone.
    private static func labels(_ text: Substring) -> [String: String] {
        var labels: [String: String] = [:]
        var rest = text.dropFirst()
        while let equals = rest.firstIndex(of: "=") {
            let key = rest[..<equals].drop { $0 == "," }
            var value = ""
            rest = rest[equals...].dropFirst(2)
            while let character = rest.popFirst(), character != "\"" {
                guard character == "\\", let escaped = rest.popFirst() else {
                    value.append(character)
                    continue
                }
                value.append(escaped == "n" ? "\n" : escaped)
            }
            labels[String(key)] = value
        }
        return labels
    }

    func series(_ name: String) -> [Series] { families[name] ?? [] }

    /// All that have these labels, whatever others they have.
    func sum(_ name: String, _ labels: KeyValuePairs<String, String> = [:]) -> Double {
        series(name).reduce(0) { sum, series in
            labels.allSatisfy { series.labels[$0.key] == $0.value } ? sum + series.value : sum
        }
    }

    /// The values of a label, in the order of the scrape.
    func values(of label: String, in name: String) -> [String] {
        var seen: Set<String> = []
        return series(name).compactMap { $0.labels[label] }.filter { seen.insert($0).inserted }
    }
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
            for series in samples.series(name + "_bucket") where series.labels[key] == value {
                let bound = series.labels["le"].map { $0 == "+Inf" ? .infinity : Double($0) ?? .nan } ?? .nan
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
