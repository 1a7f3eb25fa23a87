internal import Engine

/// Which bounds a histogram is shown with, and in which unit.
struct HistogramScale {
    struct Bound {
        let ns: UInt64
        /// In the unit.
        let text: String
    }

    let bounds: [Bound]
    let unitNs: Double

    /// Powers of two from about 16 µs to 275 s. Each is the edge of a bucket, so the counts are exact.
    static let native = HistogramScale(
        bounds: (0..<Histogram.bucketCount).compactMap { bucket in
            guard let ns = Histogram.upperBound(of: bucket), ns >= 1 << 14, ns <= 1 << 38, ns & (ns - 1) == 0 else {
                return nil
            }
            return Bound(ns: ns, text: "\(Double(ns) / 1e9)")
        }, unitNs: 1e9)

    /// Those that Envoy has unless it is told otherwise, in milliseconds. They lie within buckets, whose values are
    /// taken to be spread evenly.
    static let envoy = HistogramScale(
        bounds: [
            "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000",
            "300000", "600000", "1800000", "3600000",
        ].map { Bound(ns: UInt64((Double($0) ?? 0) * 1e6), text: $0) }, unitNs: 1e6)
}

/// The buckets of a histogram, summed.
struct HistogramCounts {
    fileprivate(set) var buckets = [UInt64](repeating: 0, count: Histogram.bucketCount)
    /// Of all values, in nanoseconds.
    fileprivate(set) var sum: UInt64 = 0

    var total: UInt64 { buckets.reduce(0, &+) }

    /// Where the given share of the values lies below, in nanoseconds. Off by at most a bucket, a quarter of the value.
    func quantile(_ share: Double) -> Double {
        let total = total
        guard total > 0 else { return .nan }
        let wanted = share * Double(total)
        var below: Double = 0
        var last: Double = 0
        for (bucket, count) in buckets.enumerated() where count > 0 {
            let lower = Double(bucket == 0 ? 0 : Histogram.upperBound(of: bucket - 1) ?? 0)
            let upper = Double(Histogram.upperBound(of: bucket) ?? UInt64(lower))
            if below + Double(count) >= wanted {
                return lower + (upper - lower) * max(wanted - below, 0) / Double(count)
            }
            below += Double(count)
            last = upper
        }
        return last
    }

    /// How many values lie below one bound after another, from the smallest to the largest.
    struct Cumulative {
        private let counts: HistogramCounts
        private var next = 0
        private var passed: UInt64 = 0

        init(_ counts: HistogramCounts) { self.counts = counts }

        mutating func count(below ns: UInt64) -> UInt64 {
            while let upper = Histogram.upperBound(of: next), upper <= ns {
                passed &+= counts.buckets[next]
                next += 1
            }
            // Values of the last bucket may be as large as they like.
            guard let upper = Histogram.upperBound(of: next) else { return passed }
            let lower = next == 0 ? 0 : Histogram.upperBound(of: next - 1) ?? 0
            guard ns > lower else { return passed }
            let share = Double(ns - lower) / Double(upper - lower)
            return passed &+ UInt64(Double(counts.buckets[next]) * share)
        }
    }
}

extension StatsRegistry {
    /// Adds a histogram of all workers.
    func add(_ range: Range, _ stat: some RawRepresentable<Int>, to counts: inout HistogramCounts) {
        let first = range.base + stat.rawValue
        for block in summed {
            for bucket in 0..<Histogram.bucketCount { counts.buckets[bucket] &+= block.read(first + bucket) }
            counts.sum &+= block.read(first + Histogram.sumCell)
        }
    }
}
