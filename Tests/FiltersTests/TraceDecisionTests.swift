import Config
import HTTP
import Testing

@testable import Filters

private func sampling(_ random: UInt32, client: UInt32 = 1_000_000, overall: UInt32 = 1_000_000) -> TraceSampling {
    TraceSampling(
        random: Percent(partsPerMillion: random), client: Percent(partsPerMillion: client),
        overall: Percent(partsPerMillion: overall))
}

private func pivot(_ id: String) -> UInt32 { ByteSlice.withBytes(of: id) { TraceRequestID.pivot(of: $0) } }
private func packedPivot(_ id: String) -> UInt32? { ByteSlice.withBytes(of: id) { TraceRequestID.packedPivot(of: $0) } }
private func reason(_ id: String) -> TraceReason? {
    ByteSlice.withBytes(of: id) { TraceRequestID.packedReason(in: $0) }
}

@Test func chanceFollowsTheId() {
    #expect(TraceQuestion(pivot: 9_999, chance: 0).answer(sampling(10_000)) == .sampled)
    #expect(TraceQuestion(pivot: 10_000, chance: 0).answer(sampling(10_000)) == .notTraced)
    #expect(TraceQuestion(pivot: 0, chance: 0).answer(sampling(0)) == .notTraced)
    #expect(TraceQuestion(pivot: 999_999, chance: 0).answer(sampling(1_000_000)) == .sampled)
}

@Test func clientsComeBeforeServicesAndChance() {
    let both = TraceQuestion(pivot: 0, chance: 500_000, hasClientID: true, isForced: true)
    #expect(both.answer(sampling(1_000_000)) == .clientForced)
    #expect(both.answer(sampling(1_000_000, client: 400_000)) == .serviceForced)
    #expect(both.answer(sampling(0, client: 0, overall: 0)) == .notTraced)
}

@Test func whoDecidedBeforeIsFollowed() {
    #expect(TraceQuestion(pivot: 0, chance: 0, caller: .no).answer(sampling(1_000_000)) == .notTraced)
    #expect(TraceQuestion(pivot: 0, chance: 0, caller: .yes(.parent)).answer(sampling(0)) == .parent)
    // Somebody who may asks for more than the caller wanted.
    #expect(TraceQuestion(pivot: 0, chance: 0, isForced: true, caller: .no).answer(sampling(0)) == .serviceForced)
    let stopped = TraceQuestion(pivot: 500, chance: 0, caller: .yes(.parent))
    #expect(stopped.answer(sampling(0, overall: 500)) == .notTraced)
    #expect(stopped.answer(sampling(0, overall: 501)) == .parent)
}

@Test func wildcardsFitAsAWSSays() {
    func fits(_ pattern: String, _ text: String) -> Bool {
        ByteSlice.withBytes(of: text) { WildcardPattern(pattern).matches($0) }
    }
    for (pattern, text) in [
        ("*", ""), ("", ""), ("*", "any"), ("a?c", "abc"), ("A*", "apple"), ("*.example.com", "WWW.Example.com"),
        ("/a/*/c*", "/a/b/c/cd"), ("**x", "aax"), ("*aab", "aaab"),
    ] {
        #expect(fits(pattern, text), "\(pattern) \(text)")
    }
    for (pattern, text) in [("", "a"), ("a?c", "ac"), ("*b", "abc"), ("a*b*c", "acb"), ("?", "")] {
        #expect(!fits(pattern, text), "\(pattern) \(text)")
    }
}

/// Proxies of other versions rest on these very numbers.
@Test func theNumberOfAnIdNeverChanges() {
    #expect(pivot("") == 831_573)
    #expect(pivot("a") == 221_119)
    #expect(pivot("7b674932-635d-4ceb-b907-12674f8c7267") == 423_289)
    let ids = (0..<20_000).map { "018f3a2b-\($0)" }
    let sampled = ids.filter { pivot($0) < 100_000 }.count
    #expect((1_700...2_300).contains(sampled), "10 % of ids that differ at their end: \(sampled) of 20,000")
    let uuids = (0..<20_000).map { "\(String($0, radix: 16))-f00d-7000-8000-000000000000" }
    #expect((1_700...2_300).contains(uuids.filter { pivot($0) < 100_000 }.count))
}

@Test func packedIdsAreEnvoys() {
    let id = "7b674932-635d-4ceb-b907-12674f8c7267"
    #expect(packedPivot(id) == UInt32(0x7b67_4932 % 10_000) * 100)
    #expect(reason(id) == .notTraced)
    #expect(reason("7b674932-635d-9ceb-b907-12674f8c7267") == .sampled)
    #expect(reason("7b674932-635d-aceb-b907-12674f8c7267") == .serviceForced)
    #expect(reason("7b674932-635d-bceb-b907-12674f8c7267") == .clientForced)
    for other in ["", "7b674932", "7b674932-635d-4ceb-b907-12674f8c726", "7b674932x635d-4ceb-b907-12674f8c7267"] {
        #expect(packedPivot(other) == nil)
        #expect(reason(other) == nil)
    }
}

@Test func theReasonIsWrittenIntoUUIDsOnly() {
    func packed(_ id: String, _ reason: TraceReason) -> String {
        var head = RequestHead(headersMax: 4)
        ByteSlice.withBytes(of: id) { _ = head.headers.set(.xRequestId, $0) }
        TraceRequestID.pack(reason, into: &head)
        return head.headers[.xRequestId]?.text ?? ""
    }
    let id = "7b674932-635d-4ceb-b907-12674f8c7267"
    #expect(packed(id, .sampled) == "7b674932-635d-9ceb-b907-12674f8c7267")
    #expect(packed("7b674932-635d-bceb-b907-12674f8c7267", .notTraced) == id)
    #expect(packed("opaque", .sampled) == "opaque")
}
