import Foundation
import Testing

@testable import Engine

@Suite("CertificateSelector")
struct CertificateSelectorTests {
    private func members(_ candidates: [(names: [String], kind: String)], _ serverName: String) -> [Int] {
        let selector = CertificateSelector(candidates.map { .init(names: $0.names, keyKind: $0.kind) })
        return selector.groups[selector.group(for: serverName)]
    }

    @Test func anExactNameWinsOverAWildcard() {
        let candidates = [(["other.test"], "EC"), (["*.example.com"], "EC"), (["www.example.com"], "EC")]
        #expect(members(candidates, "www.example.com") == [2])
        #expect(members(candidates, "api.example.com") == [1])
    }

    @Test func aWildcardStandsForOneLabel() {
        let candidates = [(["default.test"], "EC"), (["*.example.com"], "EC")]
        #expect(members(candidates, "a.b.example.com") == [0])
        #expect(members(candidates, "example.com") == [0])
        #expect(members(candidates, ".example.com") == [0])
    }

    @Test func theFirstCertificateIsForAllOtherNames() {
        let candidates = [(["a.test"], "EC"), (["b.test"], "EC")]
        for name in ["", "c.test", "*.test", "."] { #expect(members(candidates, name) == [0]) }
    }

    @Test func caseAndAFinalDotDoNotMatter() {
        let candidates = [(["default.test"], "EC"), (["WWW.Example.com"], "EC")]
        #expect(members(candidates, "www.EXAMPLE.com") == [1])
        #expect(members(candidates, "www.example.com.") == [1])
    }

    @Test func keysOfDifferentKindsStandSideBySide() {
        let candidates = [(["a.test", "b.test"], "RSA"), (["a.test"], "EC"), (["c.test"], "EC")]
        #expect(members(candidates, "a.test") == [0, 1])
        #expect(members(candidates, "b.test") == [0])
        #expect(members(candidates, "c.test") == [2])
        // The default has the kinds that share a name with the first certificate.
        #expect(members(candidates, "z.test") == [0, 1])
    }

    @Test func ofSeveralOfOneKindTheFirstCounts() {
        let candidates = [(["a.test"], "EC"), (["a.test"], "EC"), (["a.test"], "RSA")]
        #expect(members(candidates, "a.test") == [0, 2])
    }
}

@Suite("Plain HTTP on a TLS port")
struct PlainHTTPTests {
    private func isRequest(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return unsafe bytes.withUnsafeBytes { unsafe PlainHTTP.isRequest($0) }
    }

    @Test func requestsAreRecognised() {
        for text in ["GET / HTTP/1.1", "POST /x", "OPTIONS * ", "CONNECT a:1 HTTP/1.1", "PROPFIND /"] {
            #expect(isRequest(text), "\(text)")
        }
    }

    @Test func otherBytesAreNot() {
        for text in ["", "\u{16}\u{3}\u{1}", "GET", "get / HTTP/1.1", "NO", "AB cd", "ABCDEFGHIJKLM ", "SSH-2.0 x"] {
            #expect(!isRequest(text), "\(text)")
        }
    }

    @Test func theAnswerHasTheLengthItSays() {
        let parts = PlainHTTP.answer.components(separatedBy: "\r\n\r\n")
        #expect(parts.count == 2)
        #expect(parts[0].contains("Content-Length: \(parts[1].utf8.count)\r\n"))
        #expect(parts[0].hasPrefix("HTTP/1.1 400 "))
    }
}

@Suite("TicketKeys")
struct TicketKeysTests {
    @Test func theNewestSealsAndTheLastThreeOpen() throws {
        let keys = try #require(TicketKeys())
        var names: [[UInt8]] = [keys.newest.name]
        for _ in 0..<3 {
            keys.rotate()
            names.append(keys.newest.name)
        }
        #expect(Set(names).count == 4)
        let found = names.map { name in
            unsafe name.withUnsafeBufferPointer { unsafe keys.key(named: $0.baseAddress!)?.isNewest }
        }
        #expect(found == [nil, false, false, true])
    }
}

@Suite("Cells")
struct TLSStatTests {
    @Test func closeReasonsHaveALabelEach() {
        let labels = CloseReason.allCases.map(\.label)
        #expect(Set(labels).count == labels.count)
    }
}
