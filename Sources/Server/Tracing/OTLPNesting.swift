internal import FoundationEssentials
internal import SwiftProtobuf
internal import TracingProtocols

/// What stands before the spans of a request: the messages that they are in, one around the other, each with its length.
///
/// The library would write the spans along with them, which takes copies of everything. So it writes the messages with
/// nothing in them, and the lengths as numbers: a length and a number are the same on the wire
/// (https://protobuf.dev/programming-guides/encoding/#length-types).
struct OTLPNesting {
    private let resource: [UInt8]
    private let scope: [UInt8]
    private let resourceSpansTag: ArraySlice<UInt8>
    private let scopeSpansTag: ArraySlice<UInt8>
    private let spanTag: ArraySlice<UInt8>
    /// Before a span of so many bytes: the bytes, the first lowest, and their count in the highest byte. 0 for what was
    /// not asked for yet.
    private var spanStarts = [UInt64](repeating: 0, count: 4096)

    init(resource: Opentelemetry_Proto_Resource_V1_Resource, scope: Opentelemetry_Proto_Common_V1_InstrumentationScope)
    {
        var resourceSpans = Ringway_Tracing_EncodedResourceSpans()
        resourceSpans.resource = Data(encoded(resource))
        self.resource = encoded(resourceSpans)
        var scopeSpans = Ringway_Tracing_EncodedScopeSpans()
        scopeSpans.scope = Data(encoded(scope))
        self.scope = encoded(scopeSpans)
        // A message without anything has a tag and a length of 0.
        var outer = Ringway_Tracing_EncodedTraces()
        outer.resourceSpans = [Ringway_Tracing_EncodedResourceSpans()]
        resourceSpansTag = encoded(outer).dropLast()
        var middle = Ringway_Tracing_EncodedResourceSpans()
        middle.scopeSpans = [Ringway_Tracing_EncodedScopeSpans()]
        scopeSpansTag = encoded(middle).dropLast()
        var inner = Ringway_Tracing_EncodedScopeSpans()
        inner.spans = [Data()]
        spanTag = encoded(inner).dropLast()
    }

    /// What stands before `count` bytes of spans, each behind its own start.
    func start(spansCount count: Int) -> [UInt8] {
        let scopeSpans = scopeSpansTag + Self.length(scope.count + count) + scope
        let resourceSpans = resource + scopeSpans
        return resourceSpansTag + Self.length(resourceSpans.count + count) + resourceSpans
    }

    /// Appends what stands before a span of `count` bytes.
    mutating func appendSpanStart(count: Int, to bytes: inout [UInt8]) {
        guard spanStarts.indices.contains(count) else {
            bytes += spanTag + Self.length(count)
            return
        }
        if spanStarts[count] == 0 {
            let start = spanTag + Self.length(count)
            precondition(start.count < 8, "a tag and a length are short")
            spanStarts[count] = start.reversed().reduce(0) { $0 << 8 | UInt64($1) } | UInt64(start.count) << 56
        }
        let start = spanStarts[count]
        unsafe withUnsafeBytes(of: start.littleEndian) { word in
            unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: word[..<Int(start &>> 56)]))
        }
    }

    /// - Parameter count: not 0, which is not written at all
    private static func length(_ count: Int) -> ArraySlice<UInt8> {
        var number = Google_Protobuf_UInt64Value()
        number.value = UInt64(count)
        // Without the tag.
        return encoded(number).dropFirst()
    }
}
