internal import Config
internal import Engine
internal import HTTP
internal import Glibc

/// The argument of `%START_TIME(...)%`: the conversions of strftime(3) in UTC, `%f` for nanoseconds, `%1f` to `%9f` for
/// so many digits of the second's fraction, `%s` for seconds since the epoch. Without one RFC 3339 with milliseconds.
struct TimeFormat: Sendable {
    enum Piece: Sendable {
        /// A pattern of strftime, ended by zero. Its text is the same for a whole second.
        case pattern([CChar])
        case fraction(digits: Int)
        case epochSeconds
    }

    let pieces: [Piece]

    /// What strftime(3) makes of a broken-down time in UTC. Without `%n` and `%t`: a time stays on its line. `%s` would
    /// be taken for local time there.
    private static let conversions = Set("aAbBcCdDeFgGhHIjklmMpPrRSTuUVwWxXyYzZ")
    private static let bytesMax = 256

    init(_ argument: String?) throws(ConfigProblem) {
        var pieces: [Piece] = []
        var pattern = ""
        func close() {
            if !pattern.isEmpty { pieces.append(.pattern(pattern.utf8CString.map { $0 })) }
            pattern = ""
        }
        let text = argument.flatMap { $0.isEmpty ? nil : $0 } ?? "%Y-%m-%dT%H:%M:%S.%3fZ"
        guard text.utf8.count <= Self.bytesMax else { throw ConfigProblem("where a time format is too long") }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw ConfigProblem("where a time format has control characters")
        }
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "%" else {
                pattern.append(character)
                continue
            }
            let conversion = rest.popFirst()
            switch conversion {
            case "%": pattern += "%%"
            case "s":
                close()
                pieces.append(.epochSeconds)
            case "f":
                close()
                pieces.append(.fraction(digits: 9))
            case .some(let digit) where "123456789".contains(digit) && rest.first == "f":
                rest = rest.dropFirst()
                close()
                pieces.append(.fraction(digits: digit.wholeNumberValue ?? 9))
            case .some(let conversion) where Self.conversions.contains(conversion): pattern += "%\(conversion)"
            default:
                let shown = "%" + (conversion.map(String.init) ?? "")
                throw ConfigProblem("where a time format has the unknown conversion \(shown.quotedForMessage)")
            }
        }
        close()
        self.pieces = pieces
    }
}

/// The text of times on one worker. What does not change within a second is made once for it.
final class TimeText {
    private enum Step {
        /// A range of `text`.
        case text(start: Int, end: Int)
        case fraction(digits: Int)
        case epochSeconds
    }

    private let format: TimeFormat
    private var second = Int64.min
    /// What the patterns come to in `second`, one behind the other.
    private var text: [UInt8] = []
    private var steps: [Step] = []
    private static let patternBytesMax = 512

    init(_ format: TimeFormat) { self.format = format }

    /// - Parameter epochNs: nanoseconds since 1970 in UTC
    func write(epochNs: UInt64, _ append: (ByteSlice) -> Void) {
        let seconds = Int64(epochNs / 1_000_000_000)
        let fraction = epochNs % 1_000_000_000
        if seconds != second { render(seconds) }
        ByteSlice.withBytes(of: text) { text in
            for step in steps {
                switch step {
                case .text(let start, let end): append(text[start..<end])
                case .fraction(let digits): Self.withDigits(fraction, width: 9) { append($0.prefix(digits)) }
                case .epochSeconds: Self.withDigits(UInt64(seconds), width: 1, append)
                }
            }
        }
    }

    private func render(_ seconds: Int64) {
        second = seconds
        text.removeAll(keepingCapacity: true)
        steps.removeAll(keepingCapacity: true)
        var time = time_t(seconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&time, &parts)
        for piece in format.pieces {
            switch piece {
            case .fraction(let digits): steps.append(.fraction(digits: digits))
            case .epochSeconds: steps.append(.epochSeconds)
            case .pattern(let pattern):
                let start = text.count
                unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.patternBytesMax) { memory in
                    let count = unsafe strftime(memory.baseAddress!, memory.count, pattern, &parts)
                    unsafe text.append(contentsOf: UnsafeRawBufferPointer(memory).prefix(count))
                }
                steps.append(.text(start: start, end: text.count))
            }
        }
    }

    /// A number in decimal with leading zeros.
    private static func withDigits(_ value: UInt64, width: Int, _ body: (ByteSlice) -> Void) {
        unsafe withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("twenty bytes are on the stack") }
            var first = 20
            var rest = value
            while rest > 0 || first > 20 - width {
                first -= 1
                unsafe start.storeBytes(of: UInt8(ascii: "0") + UInt8(rest % 10), toByteOffset: first, as: UInt8.self)
                rest /= 10
            }
            body(unsafe ByteSlice(start: start + first, count: 20 - first))  // written just now
        }
    }
}

/// The time of day, from the monotonic time that workers read once a turn.
struct WallClock {
    private var offsetNs: UInt64 = 0
    private var readAtNs: UInt64 = 0

    /// Nanoseconds since 1970 in UTC at a moment of monotonic time. Looks at the system's clock once a second, which
    /// is how soon a clock that was set shows.
    mutating func epochNs(of monotonicNs: UInt64, nowNs: UInt64) -> UInt64 {
        if readAtNs == 0 || nowNs &- readAtNs > 1_000_000_000 {
            var now = timespec()
            unsafe clock_gettime(CLOCK_REALTIME, &now)
            offsetNs = UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec) &- monotonicNowNs()
            readAtNs = max(nowNs, 1)
        }
        return monotonicNs &+ offsetNs
    }
}
