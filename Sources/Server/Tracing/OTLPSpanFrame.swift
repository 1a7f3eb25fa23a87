internal import FoundationEssentials
internal import HTTP
internal import SwiftProtobuf
internal import TracingProtocols

/// The fields of a fixed width that every span has, as the library writes them, with places for their values.
struct OTLPSpanFrame {
    private typealias Message = Opentelemetry_Proto_Trace_V1_Span

    private var bytes: [UInt8] = []
    // Where each value ends.
    private var traceID = 0
    private var spanID = 0
    private var started = 0
    private var ended = 0

    init(_ kind: Opentelemetry_Proto_Trace_V1_Span.SpanKind) {
        add { $0.kind = kind }
        traceID = add { $0.traceID = Data(count: 16) }
        spanID = add { $0.spanID = Data(count: 8) }
        // Not 0, which is not written at all.
        started = add { $0.startTimeUnixNano = .max }
        ended = add { $0.endTimeUnixNano = .max }
    }

    /// The id of a parent, eight bytes at the end.
    static var parentField: [UInt8] {
        var message = Message()
        message.parentSpanID = Data(count: 8)
        return encoded(message)
    }

    @discardableResult
    private mutating func add(_ set: (inout Opentelemetry_Proto_Trace_V1_Span) -> Void) -> Int {
        var message = Message()
        set(&message)
        bytes += encoded(message)
        return bytes.count
    }

    func append(
        traceHigh: UInt64, traceLow: UInt64, id: UInt64, startedNs: UInt64, endedNs: UInt64, to span: SpanBytes
    ) {
        let start = span.count
        span.append(bytes)
        // Ids are bytes, the highest first, and times numbers, the lowest byte first.
        span.replace(before: start + traceID - 8, with: traceHigh.byteSwapped)
        span.replace(before: start + traceID, with: traceLow.byteSwapped)
        span.replace(before: start + spanID, with: id.byteSwapped)
        span.replace(before: start + started, with: startedNs)
        span.replace(before: start + ended, with: endedNs)
    }
}

extension ByteSlice {
    /// Nothing that would have to be repaired to be UTF-8.
    var isASCII: Bool {
        withSpan { span in
            var offset = 0
            var seen: UInt64 = 0
            while offset &+ 8 <= span.byteCount {
                seen |= unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                offset &+= 8
            }
            while offset < span.byteCount {
                seen |= UInt64(unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self))
                offset &+= 1
            }
            return seen & 0x8080_8080_8080_8080 == 0
        }
    }
}
