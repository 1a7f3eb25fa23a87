internal import Glibc

/// The bytes of one stream: each tells its stream and its position, so that a byte that is lost, doubled or
/// in another's place shows.
///
/// The first eight bytes are the stream's number; a reader learns from them whose bytes these are. The rest
/// is cut from one random table, each stream from a different place.
struct StreamPattern {
    static let headerBytes = 8
    private static let period = 65_521
    private static let table = PatternTable(period: period)

    let stream: UInt32

    /// Writes the bytes of the stream from `position` on.
    func fill(_ target: UnsafeMutableRawPointer, from position: Int, count: Int) {
        unsafe forEachRun(from: position, count: count) { source, offset, run in
            unsafe memcpy(target + offset, source, run)
        }
    }

    /// Whether `bytes` are the stream's from `position` on.
    func matches(_ bytes: UnsafeRawPointer, from position: Int, count: Int) -> Bool {
        var isEqual = true
        unsafe forEachRun(from: position, count: count) { source, offset, run in
            if unsafe memcmp(bytes + offset, source, run) != 0 { isEqual = false }
        }
        return isEqual
    }

    private func forEachRun(from position: Int, count: Int, _ body: (UnsafeRawPointer, Int, Int) -> Void) {
        var offset = 0
        while offset < count {
            let here = position + offset
            if here < Self.headerBytes {
                var byte = here < 4 ? UInt8(truncatingIfNeeded: stream >> UInt32(here * 8)) : 0
                unsafe body(&byte, offset, 1)
                offset += 1
            } else {
                let start = (here + Int(stream) * 7_919) % Self.period
                let run = min(count - offset, Self.period - start)
                unsafe body(Self.table.bytes + start, offset, run)
                offset += run
            }
        }
    }

    @safe
    private final class PatternTable: Sendable {
        nonisolated(unsafe) let bytes: UnsafeRawPointer

        init(period: Int) {
            var random = SimulationRandom(seed: 7)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: period, alignment: 16)
            for index in 0..<period {
                unsafe memory.storeBytes(
                    of: UInt8(truncatingIfNeeded: random.next() >> 32), toByteOffset: index, as: UInt8.self)
            }
            unsafe bytes = UnsafeRawPointer(memory)
        }
    }
}
