internal import Engine

/// Writes samples in one of the formats that a scrape may ask for, or only counts them.
struct MetricWriter {
    enum Format {
        /// Prometheus' text format 0.0.4.
        case text
        /// OpenMetrics 1.0.
        case openMetrics
        /// `name: value` lines and `P50(…)`, as Envoy's `/stats`.
        case lines
        /// The same as the elements of Envoy's JSON.
        case json
        /// None: samples are counted by owner.
        case count
    }

    let format: Format
    /// Keeps what it matches, by the whole name; of lines and JSON only.
    private let filter: StatFilter?
    /// Leaves out what is zero; of lines and JSON only.
    private let usedOnly: Bool
    /// Of histograms: seconds here, milliseconds under Envoy's names.
    private var scale = HistogramScale.native
    private(set) var bytes: [UInt8] = []
    /// Samples by the number of their owner, when they are counted.
    private(set) var counts: [Int]
    private var family = ""
    private var stat: String?
    private var name: [UInt8] = []
    /// Elements of JSON are separated.
    private var isFirstElement = true

    init(_ format: Format, filter: StatFilter? = nil, usedOnly: Bool = false, ownerCount: Int = 0) {
        self.format = format
        self.usedOnly = usedOnly
        self.filter = filter
        counts = Array(repeating: 0, count: ownerCount)
    }

    mutating func takeBytes() -> [UInt8] {
        var taken: [UInt8] = []
        taken.reserveCapacity(bytes.count + 4096)
        swap(&taken, &bytes)
        return taken
    }

    mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    // MARK: Families

    mutating func begin(_ family: MetricFamily) {
        self.family = family.name
        stat = family.stat
        scale = family.stat == nil ? .native : .envoy
        switch format {
        case .lines, .json, .count: break
        case .text:
            let kind = family.kind == .info ? .gauge : family.kind
            if !family.help.isEmpty { append("# HELP \(family.name) \(family.help)\n") }
            append("# TYPE \(family.name) \(kind.rawValue)\n")
        case .openMetrics:
            // Samples have the suffix, families do not (OpenMetrics 1.0, "Suffixes").
            let name = family.openMetricsName
            append("# TYPE \(name) \(family.kind.rawValue)\n")
            if let unit = family.unit { append("# UNIT \(name) \(unit)\n") }
            append("# HELP \(name) \(family.help)\n")
        }
    }

    // MARK: Samples

    mutating func sample(_ owner: SeriesOwner, _ value: UInt64) {
        if usedOnly, value == 0 { return }
        put(owner, nil, nil) { $0.append(decimal: value) }
    }

    /// - Parameter dotted: what the stat is called in Envoy's spelling, where the label is part of that
    mutating func sample(
        _ owner: SeriesOwner, _ key: StaticString, _ label: String, dotted: String? = nil, _ value: UInt64
    ) {
        if usedOnly, value == 0 { return }
        put(owner, (key, label), dotted) { $0.append(decimal: value) }
    }

    /// A series that begins with its first event.
    mutating func sampleIfAny(
        _ owner: SeriesOwner, _ key: StaticString, _ label: String, dotted: String? = nil, _ value: UInt64
    ) {
        if value > 0 || format == .count { sample(owner, key, label, dotted: dotted, value) }
    }

    mutating func sample(
        _ owner: SeriesOwner, _ label: (StaticString, String)? = nil, seconds: Double
    ) {
        if usedOnly, seconds == 0 { return }
        put(owner, label, nil) { $0.append("\(seconds)") }
    }

    mutating func sample(_ owner: SeriesOwner, ratio: Double) { sample(owner, nil, seconds: ratio) }

    private mutating func put(
        _ owner: SeriesOwner, _ label: (StaticString, String)?, _ dotted: String?, _ value: (inout MetricWriter) -> Void
    ) {
        switch format {
        case .count:
            counts[owner.number] += 1
        case .text, .openMetrics:
            append(family)
            writeLabels(owner, label)
            bytes.append(UInt8(ascii: " "))
            value(&self)
            bytes.append(UInt8(ascii: "\n"))
        case .lines, .json:
            guard makeName(owner, label, dotted) else { return }
            if format == .lines {
                bytes.append(contentsOf: name)
                append(": ")
                value(&self)
                bytes.append(UInt8(ascii: "\n"))
            } else {
                separate()
                append("{\"name\":")
                JSON.quote(name, to: &bytes)
                append(",\"value\":")
                value(&self)
                append("}")
            }
        }
    }

    // MARK: Histograms

    mutating func histogram(_ owner: SeriesOwner, _ counts: @autoclosure () -> HistogramCounts) {
        switch format {
        case .count: self.counts[owner.number] += scale.bounds.count + 3
        case .text, .openMetrics: writeBuckets(owner, counts())
        case .lines, .json: writeQuantiles(owner, counts())
        }
    }

    private mutating func writeBuckets(_ owner: SeriesOwner, _ counts: HistogramCounts) {
        var reader = HistogramCounts.Cumulative(counts)
        for bound in scale.bounds { writeBucket(owner, bound.text, reader.count(below: bound.ns)) }
        let total = counts.total
        writeBucket(owner, "+Inf", total)
        append(family)
        append("_sum")
        writeLabels(owner, nil)
        append(" \(Double(counts.sum) / scale.unitNs)\n")
        append(family)
        append("_count")
        writeLabels(owner, nil)
        append(" ")
        append(decimal: total)
        append("\n")
    }

    private mutating func writeBucket(_ owner: SeriesOwner, _ bound: String, _ count: UInt64) {
        append(family)
        append("_bucket{")
        bytes.append(contentsOf: owner.labels)
        append(owner.labels.isEmpty ? "le=\"" : ",le=\"")
        append(bound)
        append("\"} ")
        append(decimal: count)
        append("\n")
    }

    /// The quantiles that Envoy prints.
    static let quantiles: [(label: String, share: Double)] = [
        ("0", 0), ("25", 0.25), ("50", 0.5), ("75", 0.75), ("90", 0.9), ("95", 0.95), ("99", 0.99), ("99.5", 0.995),
        ("99.9", 0.999), ("100", 1),
    ]

    /// Envoy shows each quantile for the last interval and since the start. There are no intervals here.
    private mutating func writeQuantiles(_ owner: SeriesOwner, _ counts: HistogramCounts) {
        if usedOnly, counts.total == 0 { return }
        guard makeName(owner, nil, nil) else { return }
        if format == .lines {
            bytes.append(contentsOf: name)
            append(":")
            if counts.total == 0 {
                append(" No recorded values\n")
                return
            }
            for quantile in Self.quantiles {
                append(" P\(quantile.label)(nan,\(counts.quantile(quantile.share) / scale.unitNs))")
            }
            append("\n")
        } else {
            separate()
            append("{\"name\":")
            JSON.quote(name, to: &bytes)
            append(",\"values\":[")
            for (index, quantile) in Self.quantiles.enumerated() {
                if index > 0 { append(",") }
                let value = counts.total == 0 ? "null" : "\(counts.quantile(quantile.share) / scale.unitNs)"
                append("{\"interval\":null,\"cumulative\":\(value)}")
            }
            append("]}")
        }
    }

    // MARK: Parts of a line

    /// The element that has all histograms, of JSON.
    mutating func beginHistograms() {
        separate()
        isFirstElement = true
        append("{\"histograms\":{\"supported_quantiles\":[")
        append(Self.quantiles.map(\.label).joined(separator: ","))
        append("],\"computed_quantiles\":[")
    }

    private mutating func separate() {
        if !isFirstElement { bytes.append(UInt8(ascii: ",")) }
        isFirstElement = false
    }

    private mutating func writeLabels(_ owner: SeriesOwner, _ label: (StaticString, String)?) {
        guard !owner.labels.isEmpty || label != nil else { return }
        bytes.append(UInt8(ascii: "{"))
        bytes.append(contentsOf: owner.labels)
        if let (key, value) = label {
            if !owner.labels.isEmpty { bytes.append(UInt8(ascii: ",")) }
            append(key.description)
            bytes.append(contentsOf: "=\"".utf8)
            SeriesOwner.escape(value, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// The whole name of a sample, in `name`; false when the filter does not want it.
    private mutating func makeName(
        _ owner: SeriesOwner, _ label: (StaticString, String)?, _ dotted: String?
    ) -> Bool {
        swap(&bytes, &name)
        bytes.removeAll(keepingCapacity: true)
        if let stat {
            bytes.append(contentsOf: owner.dotted)
            if !owner.dotted.isEmpty { bytes.append(UInt8(ascii: ".")) }
            append(dotted ?? stat)
        } else {
            append(family)
            writeLabels(owner, label)
        }
        swap(&bytes, &name)
        return filter?.matches(name) ?? true
    }

    private mutating func append(decimal value: UInt64) {
        if value < 10 {
            bytes.append(UInt8(ascii: "0") + UInt8(value))
            return
        }
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var count = 0
        var rest = value
        while rest > 0 {
            digits[count] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
            count += 1
        }
        while count > 0 {
            count -= 1
            bytes.append(digits[count])
        }
    }
}

extension MetricFamily {
    /// Without the suffix that samples of its kind have.
    fileprivate var openMetricsName: String {
        switch kind {
        case .counter where name.hasSuffix("_total"): String(name.dropLast("_total".count))
        case .info where name.hasSuffix("_info"): String(name.dropLast("_info".count))
        default: name
        }
    }

    /// Part of the name where there is one (OpenMetrics 1.0, "Unit").
    fileprivate var unit: String? {
        ["seconds", "bytes"].first { openMetricsName.hasSuffix("_\($0)") }
    }
}
