package import Engine
package import HTTP
internal import Synchronization

/// What a worker remembers of a request: a copy of the words of a `FlightRecorder`.
///
/// Owners are known by their first stats cell, which a registry finds the name of.
package struct RequestRecord: Sendable {
    /// 320 bytes: five cache lines.
    static let wordCount = 40

    /// The words that hold numbers.
    enum Field: Int {
        /// Monotonic nanoseconds.
        case startedNs = 1
        /// Nanoseconds from the start on; `never` for what did not happen.
        case durationNs, requestEndedNs, lastTryNs, upstreamHeadNs
        case bytesReceived, bytesSent
        /// `RecordFacts`.
        case facts
        /// First cells, 32 bits each; 0 for none.
        case listenerAndRoute, clusterAndEndpoint
        /// Text that lives as long as the process.
        case detailsAddress
        /// Lengths of texts, 16 bits each: details, id, trace, and 8 bits each of host and path.
        case lengths
    }

    /// Texts, in a number of words each. What is longer is cut.
    enum Text {
        case id, trace, host, path

        @inline(__always)
        var words: Range<Int> {
            switch self {
            case .id: 13..<18
            case .trace: 18..<22
            case .host: 22..<28
            case .path: 28..<40
            }
        }

        @inline(__always)
        var bytesMax: Int { words.count * 8 }
    }

    static let never = UInt64.max

    var words = InlineArray<40, UInt64>(repeating: 0)

    init() {}

    private func word(_ field: Field) -> UInt64 { words[field.rawValue] }

    private func optional(_ field: Field) -> UInt64? { word(field) == Self.never ? nil : word(field) }

    package var startedNs: UInt64 { word(.startedNs) }
    package var durationNs: UInt64 { word(.durationNs) }
    /// When all of the request was there.
    package var requestEndedNs: UInt64? { optional(.requestEndedNs) }
    /// When the last try began.
    package var lastTryNs: UInt64? { optional(.lastTryNs) }
    /// When the head of the last response from an endpoint came.
    package var upstreamHeadNs: UInt64? { optional(.upstreamHeadNs) }
    package var bytesReceived: UInt64 { word(.bytesReceived) }
    package var bytesSent: UInt64 { word(.bytesSent) }
    package var facts: RecordFacts { RecordFacts(word: word(.facts)) }
    package var listenerCell: Int { Int(word(.listenerAndRoute) >> 32) }
    package var routeCell: Int { Int(word(.listenerAndRoute) & 0xFFFF_FFFF) }
    package var clusterCell: Int { Int(word(.clusterAndEndpoint) >> 32) }
    package var endpointCell: Int { Int(word(.clusterAndEndpoint) & 0xFFFF_FFFF) }

    /// Why the response is as it is, as `%RESPONSE_CODE_DETAILS%`.
    package var details: String {
        let count = Int(word(.lengths) & 0xFFFF)
        guard count > 0, let start = unsafe UnsafePointer<UInt8>(bitPattern: UInt(word(.detailsAddress))) else {
            return ""
        }
        // A constant of the program, written by `RecordWriter.set(details:)`.
        return unsafe String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    }

    /// `x-request-id`.
    package var id: String { text(.id, Int(word(.lengths) >> 16 & 0xFF)) }
    /// The id of the trace, 32 digits.
    package var trace: String {
        guard facts.hasTraceNumber else { return text(.trace, Int(word(.lengths) >> 24 & 0xFF)) }
        let start = Text.trace.words.lowerBound
        return Self.hex(words[start]) + Self.hex(words[start + 1])
    }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
    package var host: String { text(.host, Int(word(.lengths) >> 32 & 0xFF)) }
    package var path: String { text(.path, Int(word(.lengths) >> 40 & 0xFF)) }
    /// Texts that were longer than there is room.
    package var isPathCut: Bool { word(.lengths) >> 48 & 1 != 0 }

    /// Whether this is its id, as far as that is remembered.
    package func hasID(_ id: String) -> Bool { self.id.utf8.elementsEqual(id.utf8.prefix(Text.id.bytesMax)) }

    /// Whether the path begins so, as far as it is remembered.
    package func hasPath(prefix: String) -> Bool { path.utf8.starts(with: prefix.utf8.prefix(Text.path.bytesMax)) }

    private func text(_ text: Text, _ count: Int) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for index in 0..<min(count, text.words.count * 8) {
            bytes.append(UInt8(truncatingIfNeeded: words[text.words.lowerBound + index / 8] >> UInt64(index % 8 * 8)))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What fits a few bits of a record.
package struct RecordFacts {
    package var status: UInt16 = 0
    package var flag = ResponseFlag.none
    package var method = HTTPMethod.get
    package var version = HTTPVersion.http11
    package var failure: CloseReason?
    package var tries: UInt8 = 0
    package var isLocal = false
    package var responseStarted = false
    package var isTunnel = false
    /// The trace's id is there as a number, of the trace that this proxy takes part in; else as the text it came with.
    var hasTraceNumber = false

    init() {}

    init(word: UInt64) {
        status = UInt16(truncatingIfNeeded: word)
        flag = ResponseFlag(rawValue: UInt8(truncatingIfNeeded: word >> 16)) ?? .none
        method = HTTPMethod(rawValue: UInt8(truncatingIfNeeded: word >> 24)) ?? .other
        version = HTTPVersion(rawValue: UInt8(truncatingIfNeeded: word >> 32)) ?? .http11
        tries = UInt8(truncatingIfNeeded: word >> 40)
        let reason = UInt8(truncatingIfNeeded: word >> 48)
        failure = reason == 0xFF ? nil : CloseReason(rawValue: reason)
        isLocal = word >> 56 & 1 != 0
        responseStarted = word >> 57 & 1 != 0
        isTunnel = word >> 58 & 1 != 0
        hasTraceNumber = word >> 59 & 1 != 0
    }

    @inline(__always)
    var word: UInt64 {
        var word = UInt64(status)
        word |= UInt64(flag.rawValue) << 16
        word |= UInt64(method.rawValue) << 24
        word |= UInt64(version.rawValue) << 32
        word |= UInt64(tries) << 40
        word |= UInt64(failure?.rawValue ?? 0xFF) << 48
        word |= isLocal ? 1 << 56 : 0
        word |= responseStarted ? 1 << 57 : 0
        word |= isTunnel ? 1 << 58 : 0
        word |= hasTraceNumber ? 1 << 59 : 0
        return word
    }
}

/// Writes the words of one record, between the two marks.
@safe
struct RecordWriter: ~Copyable {
    private let slot: UnsafeMutablePointer<Atomic<UInt64>>

    @inline(__always)
    init(slot: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.slot = slot }

    @inline(__always)
    func set(_ field: RequestRecord.Field, _ value: UInt64) {
        unsafe slot[field.rawValue].store(value, ordering: .relaxed)
    }

    /// What happened at a time, from `startNs` on; 0 has not happened.
    @inline(__always)
    func set(_ field: RequestRecord.Field, at timeNs: UInt64, from startNs: UInt64) {
        set(field, timeNs == 0 ? RequestRecord.never : timeNs &- startNs)
    }

    @inline(__always)
    func setPair(_ field: RequestRecord.Field, _ high: UInt32, _ low: UInt32) {
        set(field, UInt64(high) << 32 | UInt64(low))
    }

    @inline(__always)
    func setTrace(high: UInt64, low: UInt64) {
        let word = RequestRecord.Text.trace.words.lowerBound
        unsafe slot[word].store(high, ordering: .relaxed)
        unsafe slot[word + 1].store(low, ordering: .relaxed)
    }

    /// Copies as much of a text as there is room for, and answers how much.
    @inline(__always)
    func set(_ text: RequestRecord.Text, _ bytes: ByteSlice?) -> UInt64 {
        guard let bytes else { return 0 }
        let words = text.words
        let count = min(bytes.count, words.count * 8)
        bytes.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                var index = 0
                var word = words.lowerBound
                while index + 8 <= count {
                    let value = unsafe source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                    unsafe slot[word].store(value, ordering: .relaxed)
                    index += 8
                    word += 1
                }
                guard index < count else { return }
                var rest: UInt64 = 0
                while index < count {
                    rest |= unsafe UInt64(source[index]) << UInt64(index % 8 * 8)
                    index += 1
                }
                unsafe slot[word].store(rest, ordering: .relaxed)
            }
        }
        return UInt64(count)
    }
}
