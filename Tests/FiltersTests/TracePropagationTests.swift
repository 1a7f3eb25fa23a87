import Config
import HTTP
import Testing

@testable import Filters

/// Reads the context that these fields carry, as `NAME: VALUE`.
private func extracted(_ format: TraceFormat, _ fields: String...) -> TraceContext? {
    var table = HeaderTable(capacity: 16)
    for field in fields {
        let colon = field.firstIndex(of: ":")!
        let key = HeaderKey(String(field[..<colon]))!
        ByteSlice.withBytes(of: String(field[colon...].dropFirst(2))) { _ = table.add(key, $0) }
    }
    return format.extract(table)
}

/// The fields that a context becomes, sorted.
private func injected(_ format: TraceFormat, _ context: TraceContext) -> [String] {
    var table = HeaderTable(capacity: 16)
    format.inject(context, into: &table)
    return table.indices.compactMap { table.field(at: $0) }.map { "\($0.name.text): \($0.value.text)" }.sorted()
}

private let high: UInt64 = 0x4bf9_2f35_77b3_4da6
private let low: UInt64 = 0xa3ce_929d_0e0e_4736
private let span: UInt64 = 0x00f0_67aa_0ba9_02b7

private func context(
    _ sampled: TraceContext.Sampled, high: UInt64 = high, low: UInt64 = low, span: UInt64 = span, parent: UInt64 = 0
) -> TraceContext {
    TraceContext(traceHigh: high, traceLow: low, spanID: span, parentID: parent, sampled: sampled)
}

// MARK: W3C, with the examples of https://www.w3.org/TR/trace-context/

@Test func traceparentIsRead() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736"
    #expect(extracted(.w3c, "traceparent: 00-\(id)-00f067aa0ba902b7-01") == context(.yes))
    #expect(extracted(.w3c, "traceparent: 00-\(id)-00f067aa0ba902b7-00") == context(.no))
    // A flag that is not known yet, and a version that is not either.
    #expect(extracted(.w3c, "traceparent: 00-\(id)-00f067aa0ba902b7-03") == context(.yes))
    #expect(extracted(.w3c, "traceparent: cc-\(id)-00f067aa0ba902b7-01-what-the-future-brings") == context(.yes))
}

@Test(arguments: [
    "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
    "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "0-04bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
])
func traceparentThatIsNoneIsNotRead(_ value: String) { #expect(extracted(.w3c, "traceparent: \(value)") == nil) }

@Test func everyTruncatedContextIsHarmless() {
    let values: [(TraceFormat, String, String)] = [
        (.w3c, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (.b3, "b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"),
        (.xray, "x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
    ]
    for (format, name, value) in values {
        for length in 0..<value.utf8.count { _ = extracted(format, "\(name): \(value.prefix(length))") }
        #expect(extracted(format, "\(name): \(value)") != nil)
    }
}

@Test func twoTraceparentsSayNothing() {
    let value = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    #expect(extracted(.w3c, value, value) == nil)
}

@Test func traceparentIsWritten() {
    #expect(
        injected(.w3c, context(.yes)) == ["traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
    #expect(
        injected(.w3c, context(.no, high: 0)) == [
            "traceparent: 00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-00"
        ])
}

// MARK: B3, with the examples of https://github.com/openzipkin/b3-propagation

private let b3 = TraceContext(
    traceHigh: 0x80f1_98ee_5634_3ba8, traceLow: 0x64fe_8b2a_57d3_eff7, spanID: 0xe457_b5a2_e4d8_6bd1)

@Test func b3IsReadFromOneHeader() {
    var expected = b3
    let ids = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1"
    #expect(extracted(.b3, "b3: \(ids)") == expected)
    expected.sampled = .yes
    #expect(extracted(.b3, "b3: \(ids)-1") == expected)
    expected.sampled = .debug
    #expect(extracted(.b3Single, "b3: \(ids)-d") == expected)
    expected.sampled = .no
    expected.parentID = 0x05e3_ac9a_4f6e_3b90
    #expect(extracted(.b3, "b3: \(ids)-0-05e3ac9a4f6e3b90") == expected)
    for value in ["0", "d", ids + "-", ids + "-x", ids + "-1-", ids + "-1x05e3ac9a4f6e3b90", "\(ids)5"] {
        #expect(extracted(.b3, "b3: \(value)") == nil)
    }
}

@Test func b3IsReadFromManyHeaders() {
    var expected = b3
    let ids = ["x-b3-traceid: 80f198ee56343ba864fe8b2a57d3eff7", "x-b3-spanid: e457b5a2e4d86bd1"]
    #expect(extracted(.b3, ids[0], ids[1]) == expected)
    expected.sampled = .yes
    #expect(extracted(.b3, ids[0], ids[1], "x-b3-sampled: 1") == expected)
    expected.sampled = .no
    #expect(extracted(.b3, ids[0], ids[1], "x-b3-sampled: false") == expected)
    expected.sampled = .debug
    #expect(extracted(.b3, ids[0], ids[1], "x-b3-flags: 1", "x-b3-sampled: 0") == expected)
    #expect(extracted(.b3, ids[0]) == nil)
    #expect(extracted(.b3, "x-b3-traceid: a3ce929d0e0e4736", ids[1])?.traceHigh == 0)
}

@Test func b3IsWritten() {
    #expect(
        injected(.b3, context(.yes, parent: 1)) == [
            "x-b3-parentspanid: 0000000000000001", "x-b3-sampled: 1", "x-b3-spanid: 00f067aa0ba902b7",
            "x-b3-traceid: 4bf92f3577b34da6a3ce929d0e0e4736",
        ])
    #expect(
        injected(.b3, context(.debug, high: 0)) == [
            "x-b3-flags: 1", "x-b3-spanid: 00f067aa0ba902b7", "x-b3-traceid: a3ce929d0e0e4736",
        ])
    #expect(
        injected(.b3Single, context(.no, parent: 1)) == [
            "b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0-0000000000000001"
        ])
}

// MARK: Datadog, X-Ray, OpenTracing

@Test func datadogsIdsHave64Or128Bits() {
    let ids = ["x-datadog-trace-id: \(low)", "x-datadog-parent-id: \(span)"]
    #expect(extracted(.datadog, ids[0], ids[1]) == context(.undecided, high: 0))
    #expect(
        extracted(
            .datadog, ids[0], ids[1], "x-datadog-sampling-priority: 1",
            "x-datadog-tags: _dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6") == context(.yes))
    for (priority, sampled) in [("-1", TraceContext.Sampled.no), ("0", .no), ("2", .debug), ("x", .undecided)] {
        #expect(extracted(.datadog, ids[0], "x-datadog-sampling-priority: \(priority)")?.sampled == sampled)
    }
    #expect(extracted(.datadog, "x-datadog-trace-id: 0") == nil)
    #expect(extracted(.datadog, "x-datadog-trace-id: 99999999999999999999") == nil)
    #expect(
        injected(.datadog, context(.yes)) == [
            "x-datadog-parent-id: \(span)", "x-datadog-sampling-priority: 1",
            "x-datadog-tags: _dd.p.tid=4bf92f3577b34da6", "x-datadog-trace-id: \(low)",
        ])
}

/// The example of AWS's documentation.
@Test func xrayHasTheTimeInItsIds() {
    let text = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    let expected = TraceContext(
        traceHigh: 0x5759_e988_bd86_2e3f, traceLow: 0xe1be_46a9_9427_2793, spanID: 0x5399_5c3f_42cd_8ad8,
        sampled: .yes)
    #expect(extracted(.xray, "x-amzn-trace-id: Self=1-67891234-12456789abcdef012345678; \(text)") == expected)
    #expect(injected(.xray, expected) == ["x-amzn-trace-id: \(text)"])
    #expect(extracted(.xray, "x-amzn-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793")?.spanID == 0)
    #expect(extracted(.xray, "x-amzn-trace-id: Parent=53995c3f42cd8ad8;Sampled=1") == nil)
}

@Test func openTracingIsReadAndWritten() {
    let fields = [
        "ot-tracer-sampled: true", "ot-tracer-spanid: 00f067aa0ba902b7",
        "ot-tracer-traceid: 4bf92f3577b34da6a3ce929d0e0e4736",
    ]
    #expect(extracted(.openTracing, fields[0], fields[1], fields[2]) == context(.yes))
    #expect(injected(.openTracing, context(.yes)) == fields)
    #expect(extracted(.openTracing, fields[2]) == nil)
}

// MARK: SkyWalking

/// The example of https://skywalking.apache.org/docs/main/latest/en/api/x-process-propagation-headers-v3/.
private let sw8 = "1-TRACEID-SEGMENTID-3-U0VSVklDRQ==-SU5TVEFOQ0U=-RU5EUE9JTlQ=-MTI3LjAuMC4xOjgwODA="
    .replacing("TRACEID", with: "NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=")
    .replacing("SEGMENTID", with: "c2VnbWVudA==")

@Test func skyWalkingsIdsAreNumbersOrHashed() {
    let found = extracted(.skyWalking, "sw8: \(sw8)")
    #expect(found?.traceHigh == high)
    #expect(found?.traceLow == low)
    #expect(found?.sampled == .yes)
    // Of another shape: the same number each time.
    let other = sw8.replacing("NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=", with: "YS41Ny4x")
    #expect(extracted(.skyWalking, "sw8: \(other)") == extracted(.skyWalking, "sw8: \(other)"))
    #expect(extracted(.skyWalking, "sw8: \(other)")?.traceLow != low)
    for value in ["", "1", "1-2-3-4-5-6-7", "2" + sw8.dropFirst(), sw8.replacing("-3-", with: "-x-"), "1-?-?-1----"] {
        #expect(extracted(.skyWalking, "sw8: \(value)") == nil)
    }
    for length in 0..<sw8.utf8.count { _ = extracted(.skyWalking, "sw8: \(sw8.prefix(length))") }
}

@Test func skyWalkingsIdGoesOnAsItCame() {
    var table = HeaderTable(capacity: 4)
    let bytes = Array(sw8.utf8)
    ByteSlice.withBytes(of: bytes) { caller in
        let segment = SkyWalkingSegment(
            serverSpanID: span, spanIndex: 2, caller: caller, service: ByteSlice("edge"), instance: ByteSlice("n"),
            endpoint: ByteSlice("/path"), target: ByteSlice("web:80"))
        TraceFormat.skyWalking.inject(context(.yes), segment, into: &table)
    }
    let parts = table[SkyWalkingContext.name]?.text.split(separator: "-").map(String.init) ?? []
    #expect(parts.prefix(2) == ["1", "NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY="])
    #expect(parts.dropFirst(3) == ["2", "ZWRnZQ==", "bg==", "L3BhdGg=", "d2ViOjgw"])
    let segment = "4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7"
    #expect(ByteSlice.withBytes(of: parts[2]) { Base64.decode($0) } == Array(segment.utf8))
}
