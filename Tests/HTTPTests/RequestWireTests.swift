import Testing

@testable import HTTP

/// Every wire case whole, in pieces, cut short, and against a page that must not be read.
@Suite struct RequestWireTests {
    @Test(arguments: RequestCase.refused)
    func refusesWithItsReason(_ wire: RequestCase) throws {
        let error = try #require(wire.error)
        #expect(parseGuarded(Array(wire.wire.utf8)).outcome == .malformed(error))
    }

    @Test(arguments: RequestCase.accepted)
    func accepts(_ wire: RequestCase) {
        let parsed = parseGuarded(Array(wire.wire.utf8))
        guard case .complete = parsed.outcome else {
            Issue.record("\(parsed.outcome)")
            return
        }
    }

    @Test(arguments: RequestCase.accepted + RequestCase.refused)
    func comesToTheSameOutcomeByteByByte(_ wire: RequestCase) {
        let bytes = Array(wire.wire.utf8)
        let whole = parseGuarded(bytes)
        #expect(parseGrowing(bytes, by: Array(repeating: 1, count: bytes.count)) == whole)
    }

    @Test(arguments: RequestCase.accepted + RequestCase.refused)
    func comesToTheSameOutcomeInTwoPieces(_ wire: RequestCase) {
        let bytes = Array(wire.wire.utf8)
        let whole = parseGuarded(bytes)
        for split in 1..<bytes.count {
            #expect(parseGrowing(bytes, by: [split, bytes.count - split]) == whole, "split at \(split)")
        }
    }

    @Test(arguments: RequestCase.accepted)
    func isIncompleteUntilTheLastByte(_ wire: RequestCase) {
        let bytes = Array(wire.wire.utf8)
        guard case .complete(let length) = parseGuarded(bytes).outcome else { return }
        for count in 0..<length { #expect(parseGuarded(bytes.prefix(count)).outcome == .incomplete, "\(count) bytes") }
    }

    @Test(arguments: RequestCase.refused)
    func neverAcceptsTheBeginningOfWhatItRefuses(_ wire: RequestCase) throws {
        let bytes = Array(wire.wire.utf8)
        let error = try #require(wire.error)
        for count in 0..<bytes.count {
            let outcome = parseGuarded(bytes.prefix(count)).outcome
            #expect(outcome == .incomplete || outcome == .malformed(error), "\(count) bytes")
        }
    }

    @Test func survivesRandomMutations() {
        var random = SplitMix(seed: 0x51_7C_C1_B7)
        let seeds = (RequestCase.accepted + RequestCase.refused).map { Array($0.wire.utf8) }
        for round in 0..<3_000 {
            var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
            for _ in 0...Int(random.next() % 4) { mutate(&bytes, &random) }
            let whole = parseGuarded(bytes)
            let split = Int(random.next() % UInt64(bytes.count + 1))
            #expect(
                parseGrowing(bytes, by: [split, bytes.count - split]) == whole, "round \(round), split at \(split)")
        }
    }

    @Test func hasAtLeastOneHundredAndFiftyRefusals() {
        #expect(RequestCase.refused.count >= 150)
        #expect(Set(RequestCase.refused.map(\.wire)).count == RequestCase.refused.count)
    }
}

/// Parses all of `bytes` at once, against a guard page.
private func parseGuarded(_ bytes: some Collection<UInt8>) -> ParsedRequest { parseGrowing(bytes, by: [bytes.count]) }

/// Parses with one parser while `bytes` grows by the given steps, at another address each time.
private func parseGrowing(_ bytes: some Collection<UInt8>, by steps: [Int]) -> ParsedRequest {
    let limits = HTTP1Limits()
    let guarded = GuardedBytes(capacity: bytes.count)
    var parser = HTTP1RequestParser()
    var head = RequestHead(headersMax: limits.headersMax)
    var outcome = HTTP1RequestParser.Outcome.incomplete
    var count = 0
    for step in steps {
        count += step
        outcome = parser.parse(guarded.place(bytes.prefix(count)), limits: limits, into: &head)
        if outcome != .incomplete { break }
    }
    guard case .complete = outcome else { return ParsedRequest(outcome: outcome) }
    return ParsedRequest(
        outcome: outcome, digest: head.digest, isPersistent: parser.isPersistent, framing: parser.bodyFraming)
}
