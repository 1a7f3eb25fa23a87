/// Finds the ends of field lines, 64 bytes at a time.
///
/// Where a line ends decides where the next begins, so whatever is on the way from one end to the next is paid in
/// full, while everything else about a line can be worked out beside it. Masks of whole blocks do not depend on where
/// the lines are; all that is left between two ends is a shift and a count of zeros.
struct HTTP1LineScanner {
    private let bytes: ByteSlice
    private var blockStart: Int
    private var controls: UInt64

    init(_ bytes: ByteSlice, from start: Int) {
        self.bytes = bytes
        blockStart = start
        controls = Self.controls(bytes, at: start)
    }

    /// Index of the first byte at or after `start` that may not stand in a field line, `bytes.count` when there is
    /// none. Searches only go forward.
    @inline(__always)
    mutating func endOfLine(from start: Int) -> Int {
        var index = start
        while true {
            let hits = controls &>> UInt64(truncatingIfNeeded: index &- blockStart)
            if index &- blockStart < 64, hits != 0 {
                index &+= hits.trailingZeroBitCount
                if bytes[index] != .tab { return index }
                index &+= 1
            } else {
                guard blockStart &+ 64 < bytes.count else { return bytes.count }
                blockStart &+= 64
                controls = Self.controls(bytes, at: blockStart)
                index = max(index, blockStart)
            }
        }
    }

    /// The control bytes among the 64 from `blockStart` on. Not inlined: it runs once in two searches, and the loop
    /// around it is short of registers.
    @inline(never)
    private static func controls(_ bytes: ByteSlice, at blockStart: Int) -> UInt64 {
        if let controls = bytes.controlsOfBlock(at: blockStart) { return controls }
        // A block that sticks out is read as the last 64 bytes, and what lies before its start shifted out.
        if let controls = bytes.controlsOfBlock(at: max(0, bytes.count &- 64)) {
            let skipped = blockStart &- (bytes.count &- 64)
            return skipped < 64 ? controls &>> UInt64(truncatingIfNeeded: skipped) : 0
        }
        var controls: UInt64 = 0
        for part in 0..<4 {
            controls |= bytes.vector(at: blockStart &+ part &* 16).controls &<< UInt64(truncatingIfNeeded: part &* 16)
        }
        // The zeros behind the end look like control bytes.
        return controls & ~(~0 << UInt64(max(0, bytes.count &- blockStart)))
    }
}
