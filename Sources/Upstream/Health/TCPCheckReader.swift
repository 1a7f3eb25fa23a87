internal import HTTP

/// Looks for expected bytes in what an endpoint says, wherever they begin.
struct TCPCheckReader {
    enum Outcome { case found, incomplete, tooLong }

    /// An endpoint that has said so much without the expected bytes will not say them.
    private static let bytesMax = 64 << 10

    private let expected: [UInt8]
    /// The last bytes, fewer than `expected` has.
    private var tail: [UInt8] = []
    private var count = 0

    /// - Parameter expected: at least one byte
    init(expected: [UInt8]) { self.expected = expected }

    mutating func read(_ bytes: ByteSlice) -> Outcome {
        count += bytes.count
        var window = tail
        for index in 0..<bytes.count { window.append(bytes[index]) }
        for start in 0..<max(window.count - expected.count + 1, 0)
        where window[start..<start + expected.count].elementsEqual(expected) {
            return .found
        }
        tail = Array(window.suffix(expected.count - 1))
        return count > Self.bytesMax ? .tooLong : .incomplete
    }
}
