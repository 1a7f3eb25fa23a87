/// A piece of a head that is no field: a location as in `HeaderTable`, and a length.
struct TextRange {
    var location: UInt32 = 0
    var length: UInt32 = 0

    init() {}

    init(location: UInt32, length: UInt32) {
        self.location = location
        self.length = length
    }

    @inline(__always)
    init(_ range: Range<Int>) {
        location = UInt32(truncatingIfNeeded: range.lowerBound)
        length = UInt32(truncatingIfNeeded: range.count)
    }
}
