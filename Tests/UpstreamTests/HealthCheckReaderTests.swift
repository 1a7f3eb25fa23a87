import HTTP
import Testing

@testable import Upstream

private typealias Outcome = HTTPCheckReader.Outcome

/// What a reader says to `answer` that comes in pieces of `size` bytes, and whether it said so before the last one.
private func outcome(_ answer: String, pieces size: Int, isHead: Bool = false) -> (outcome: Outcome, isEarly: Bool) {
    var reader = HTTPCheckReader(isHead: isHead)
    let bytes = Array(answer.utf8)
    for start in stride(from: 0, to: bytes.count, by: size) {
        let piece = Array(bytes[start..<min(start + size, bytes.count)])
        let outcome = ByteSlice.withBytes(of: piece) { reader.read($0) }
        if outcome != .incomplete { return (outcome, start + size < bytes.count) }
    }
    return (.incomplete, false)
}

private let complete: [(String, Outcome)] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", .answered(status: 200, isReusable: true)),
    ("HTTP/1.1 204 No Content\r\n\r\n", .answered(status: 204, isReusable: true)),
    ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", .answered(status: 503, isReusable: true)),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", .answered(status: 200, isReusable: false)),
    ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", .answered(status: 200, isReusable: false)),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        .answered(status: 200, isReusable: true)
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        .answered(status: 200, isReusable: true)
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n", .malformed),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .malformed),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", .malformed),
    ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", .malformed),
]

@Suite("Answers to HTTP health checks")
struct HTTPCheckReaderTests {
    @Test(arguments: complete) fileprivate func areReadHoweverTheyAreCut(_ answer: String, _ expected: Outcome) {
        for size in 1...answer.utf8.count {
            #expect(outcome(answer, pieces: size).outcome == expected, "in pieces of \(size)")
        }
    }

    @Test func areCompleteWithTheirLastByteOnly() {
        for (answer, expected) in complete where expected != .malformed {
            let found = outcome(answer, pieces: 1)
            #expect(found.outcome == expected && !found.isEarly)
        }
    }

    @Test func toHeadHaveNoBody() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        #expect(outcome(answer, pieces: 7, isHead: true).outcome == .answered(status: 200, isReusable: true))
        #expect(outcome(answer, pieces: 7).outcome == .incomplete)
    }

    @Test func withMoreBehindThemEndTheConnection() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy"
        #expect(outcome(answer, pieces: 100).outcome == .answered(status: 200, isReusable: false))
    }

    @Test func thatAreTooLongAreJudgedByTheirStatus() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        let found = outcome(head + String(repeating: "x", count: 1_000_000), pieces: 1000)
        #expect(found.outcome == .answered(status: 200, isReusable: false) && found.isEarly)
        let endless = "HTTP/1.1 200 OK\r\n" + String(repeating: "a: b\r\n", count: 50_000)
        #expect(outcome(endless, pieces: 1000).outcome == .malformed)
    }

    @Test func mayEndWithTheConnection() {
        #expect(outcomeAtEnd("") == .malformed)
        #expect(outcomeAtEnd("HTTP/1.1 200 OK\r\n") == .malformed)
        #expect(outcomeAtEnd("HTTP/1.1 200 OK\r\n\r\nbody") == .answered(status: 200, isReusable: false))
        #expect(outcomeAtEnd("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody") == .malformed)
    }

    /// What a reader makes of the end of a connection after `answer`, which is not complete by itself.
    private func outcomeAtEnd(_ answer: String) -> Outcome {
        var reader = HTTPCheckReader(isHead: false)
        let outcome = ByteSlice.withBytes(of: answer) { reader.read($0) }
        #expect(outcome == .incomplete)
        return reader.end()
    }

    @Test func canFollowEachOther() {
        var reader = HTTPCheckReader(isHead: false)
        for status in [200, 503, 204] as [UInt16] {
            reader.reset()
            let before = reader.hasBegun
            let outcome = ByteSlice.withBytes(of: "HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n") {
                reader.read($0)
            }
            let after = reader.hasBegun
            #expect(outcome == .answered(status: status, isReusable: true))
            #expect(!before && after)
        }
    }
}

@Suite("Answers to TCP health checks")
struct TCPCheckReaderTests {
    private func find(_ expected: String, in text: String, pieces size: Int) -> TCPCheckReader.Outcome {
        var reader = TCPCheckReader(expected: Array(expected.utf8))
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = Array(bytes[start..<min(start + size, bytes.count)])
            let outcome = ByteSlice.withBytes(of: piece) { reader.read($0) }
            if outcome != .incomplete { return outcome }
        }
        return .incomplete
    }

    @Test func areFoundHoweverTheyAreCut() {
        for text in ["+PONG", "x+PONG", "++PONG+", "+PO+PONG\r\n"] {
            for size in 1...text.utf8.count { #expect(find("+PONG", in: text, pieces: size) == .found) }
        }
        for size in 1...9 { #expect(find("+PONG", in: "-ERR +PON", pieces: size) == .incomplete) }
        #expect(find("x", in: "x", pieces: 1) == .found)
    }

    @Test func areNotWaitedForWithoutEnd() {
        #expect(find("+PONG", in: String(repeating: "x", count: 70_000), pieces: 4096) == .tooLong)
    }
}
