internal import Engine

/// A scrape on its way: makes the next part of its text when it is asked, so that no more than a part of it is held.
///
/// Used by one thread at a time, the one of scrapes.
final class Exposition: @unchecked Sendable {
    /// Of text, before it is compressed.
    private static let partBytes = 48 * 1024

    private let makeFamilies: @Sendable () -> [MetricFamily]
    private let format: MetricWriter.Format
    private let gzip: GzipStream?
    private var writer: MetricWriter
    /// nil until the first part is asked for.
    private var families: [MetricFamily]?
    private var family = 0
    private var row = 0
    /// A part may end right behind the head of a family.
    private var begunFamily = -1
    /// Of JSON: the families from here on are histograms.
    private var histogramsStart = 0

    /// - Parameter makeFamilies: called when the first part is made
    init(
        _ format: MetricWriter.Format, filter: StatFilter? = nil, usedOnly: Bool = false, compressed: Bool,
        _ makeFamilies: @escaping @Sendable () -> [MetricFamily]
    ) {
        self.format = format
        self.makeFamilies = makeFamilies
        gzip = compressed ? GzipStream() : nil
        writer = MetricWriter(format, filter: filter, usedOnly: usedOnly)
    }

    var isCompressed: Bool { gzip != nil }

    func nextPart() -> (bytes: [UInt8], isLast: Bool) {
        let families = families ?? begin()
        while family < families.count, writer.bytes.count < Self.partBytes {
            let current = families[family]
            if family > begunFamily {
                begunFamily = family
                if format == .json, family == histogramsStart { writer.beginHistograms() }
                // Families without samples are left out.
                if current.rowCount > 0 { writer.begin(current) }
            }
            while row < current.rowCount, writer.bytes.count < Self.partBytes {
                current.write(&writer, row)
                row += 1
            }
            if row >= current.rowCount {
                row = 0
                family += 1
            }
        }
        let isLast = family >= families.count
        if isLast { end() }
        let text = writer.takeBytes()
        guard let gzip else { return (text, isLast) }
        return (gzip.compress(text, isLast: isLast), isLast)
    }

    private func begin() -> [MetricFamily] {
        var made = makeFamilies()
        if format == .json {
            // Envoy's shape: the plain stats, then one element with all histograms.
            let histograms = made.filter { $0.kind == .histogram }
            made.removeAll { $0.kind == .histogram }
            histogramsStart = made.count
            made += histograms
            writer.append("{\"stats\":[")
        }
        families = made
        return made
    }

    private func end() {
        switch format {
        case .text, .lines, .count: break
        case .openMetrics: writer.append("# EOF\n")
        case .json:
            if let families, histogramsStart == families.count { writer.beginHistograms() }
            writer.append("]}}]}\n")
        }
    }

    /// Series by the number of their owner, all that there may ever be.
    static func count(_ families: [MetricFamily], owners: Int) -> [Int] {
        var writer = MetricWriter(.count, ownerCount: owners)
        for family in families {
            writer.begin(family)
            for row in 0..<family.rowCount { family.write(&writer, row) }
        }
        return writer.counts
    }
}
