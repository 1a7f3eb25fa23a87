/// Log-linear buckets for durations: each power of two is cut into four, so a bucket is at most a quarter
/// as wide as its lower edge and the sum over workers is exact.
///
/// Values are nanoseconds. Below 8.2 µs (2^13 ns) everything falls into the first bucket, from 9 minutes (2^39 ns) on
/// into the last.
package enum Histogram {
    private static let subBits: UInt64 = 2
    private static let firstExponent: UInt64 = 13
    private static let lastExponent: UInt64 = 39

    package static let bucketCount = Int((lastExponent - firstExponent) << subBits) + 2
    /// Where the sum of all values is kept, after the buckets.
    package static let sumCell = bucketCount
    package static let cellCount = bucketCount + 1

    @inline(__always)
    package static func bucket(of value: UInt64) -> Int {
        if value < 1 << firstExponent { return 0 }
        if value >= 1 << lastExponent { return bucketCount - 1 }
        let exponent = UInt64(63 - value.leadingZeroBitCount)
        let fraction = (value >> (exponent - subBits)) & ((1 << subBits) - 1)
        return Int((exponent - firstExponent) << subBits | fraction) + 1
    }

    /// The smallest value that no longer belongs to `bucket`; nil for the last bucket, which has no end.
    package static func upperBound(of bucket: Int) -> UInt64? {
        if bucket == 0 { return 1 << firstExponent }
        if bucket >= bucketCount - 1 { return nil }
        let position = UInt64(bucket - 1)
        let exponent = position >> subBits + firstExponent
        let fraction = position & ((1 << subBits) - 1)
        return (1 << subBits + fraction + 1) << (exponent - subBits)
    }
}
