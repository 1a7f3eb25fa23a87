import Config
import HTTP
import Testing
import Upstream

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

@Test func b3DecidesWithoutATrace() {
    func decision(_ fields: (name: String, value: String)...) -> TraceContext.Sampled {
        var table = HeaderTable(capacity: 4)
        for (name, value) in fields { ByteSlice.withBytes(of: value) { _ = table.add(HeaderKey(name)!, $0) } }
        return B3TraceContext.decision(table)
    }
    for (value, sampled) in [
        ("1", TraceContext.Sampled.yes), ("0", .no), ("d", .debug), ("x", .undecided), ("", .undecided),
    ] {
        #expect(decision(("b3", value)) == sampled)
    }
    #expect(decision(("x-b3-sampled", "true")) == .yes)
    #expect(decision(("x-b3-sampled", "1"), ("x-b3-flags", "1")) == .debug)
    #expect(decision(("x-b3-sampled", "1"), ("x-b3-sampled", "0")) == .undecided)
    #expect(decision() == .undecided)
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

@Test func datadogsTagsStayWithTheirTrace() {
    func tags(_ before: String, _ context: TraceContext) -> String? {
        var table = HeaderTable(capacity: 4)
        ByteSlice.withBytes(of: before) { _ = table.add(HeaderKey("x-datadog-tags")!, $0) }
        TraceFormat.datadog.inject(context, into: &table)
        return table[HeaderKey("x-datadog-tags")!]?.text
    }
    let own = "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6"
    #expect(tags(own, context(.yes)) == own)
    #expect(tags("_dd.p.dm=-1", context(.yes, high: 0)) == "_dd.p.dm=-1")
    #expect(tags("_dd.p.tid=0000000000000001", context(.yes)) == "_dd.p.tid=4bf92f3577b34da6")
    #expect(tags(own, context(.yes, high: 0)) == nil)
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
    // The format has room for 64 bits, and some tracers leave out zeros in front.
    let short = ["ot-tracer-sampled: true", fields[1], "ot-tracer-traceid: a3ce929d0e0e4736"]
    #expect(injected(.openTracing, context(.yes)) == short)
    #expect(extracted(.openTracing, short[0], short[1], short[2]) == context(.yes, high: 0))
    #expect(
        extracted(.openTracing, "ot-tracer-spanid: b", "ot-tracer-traceid: a")
            == context(.undecided, high: 0, low: 10, span: 11))
    #expect(extracted(.openTracing, "ot-tracer-spanid: 0", "ot-tracer-traceid: a") == nil)
    #expect(
        extracted(.openTracing, "ot-tracer-spanid: b", "ot-tracer-traceid: \(String(repeating: "1", count: 33))") == nil
    )
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
    let refused = [
        "", "1", "1-2-3-4-5-6-7", "2" + sw8.dropFirst(), sw8.replacing("-3-", with: "-x-"), "1-?-?-1----",
        // What its exporter could not read is no caller either.
        sw8.replacing("-3-", with: "-2147483648-"), sw8.replacing("SU5TVEFOQ0U=", with: "?"), sw8 + "-more",
    ]
    for value in refused {
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

// MARK: All

/// Whatever bytes come: what is read has ids, and reads the same where it was written again.
@Test func everyContextSurvivesItsOwnFormat() {
    let values = [
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "b3": "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
        "x-b3-traceid": "80f198ee56343ba8", "x-b3-spanid": "e457b5a2e4d86bd1", "x-b3-sampled": "1", "x-b3-flags": "1",
        "x-datadog-trace-id": "1234567890123456789", "x-datadog-parent-id": "42", "x-datadog-sampling-priority": "-1",
        "x-datadog-tags": "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6", "sw8": sw8,
        "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "ot-tracer-traceid": "a3ce929d0e0e4736", "ot-tracer-spanid": "f067aa0ba902b7", "ot-tracer-sampled": "true",
    ].mapValues { Array($0.utf8) }
    var random = SplitMix64(seed: 7)
    for _ in 0..<20_000 {
        var table = HeaderTable(capacity: 16)
        for (name, value) in values where Bool.random(using: &random) {
            let bytes = mutated(value, &random)
            ByteSlice.withBytes(of: bytes) { _ = table.add(HeaderKey(name)!, $0) }
        }
        for format in TraceFormat.allCases {
            guard var found = format.extract(table) else { continue }
            #expect(found.traceHigh | found.traceLow != 0)
            // SkyWalking's span is known by a hash, OpenTracing's ids are cut, and who knows no parent makes none up.
            guard format != .skyWalking, found.spanID != 0 else { continue }
            if format == .openTracing { found.traceHigh = 0 }
            guard found.traceLow != 0, found.sampled != .undecided else { continue }
            var written = HeaderTable(capacity: 16)
            format.inject(found, into: &written)
            var again = format.extract(written)
            if format == .datadog || format == .xray || format == .w3c || format == .openTracing {
                found.parentID = 0
            }
            if found.sampled == .debug, again?.sampled == .yes { again?.sampled = .debug }
            #expect(again == found, "\(format)")
        }
    }
}

/// A few bytes changed, left out, or doubled, as a field may hold them.
private func mutated(_ value: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = value
    for _ in 0..<Int.random(in: 0...3, using: &random) {
        let index = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0...3, using: &random) {
        case 0: bytes.insert(UInt8.random(in: 0x20...0x7E, using: &random), at: index)
        case 1: bytes.removeSubrange(index...)
        case 2 where index < bytes.count:
            bytes[index] = Array("0123456789abcdefF-;=,".utf8).randomElement(using: &random)!
        default: bytes.insert(contentsOf: bytes.prefix(1_000), at: index)
        }
    }
    return bytes
}
