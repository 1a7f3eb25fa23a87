import Foundation
import Testing

@testable import HTTP

private func written(_ bytes: [UInt8], _ write: (inout ByteWriter, ByteSlice) -> Void) -> [UInt8] {
    var memory = [UInt8](repeating: 0, count: bytes.count * 6 + 16)
    let count = unsafe memory.withUnsafeMutableBytes { buffer in
        var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
        ByteSlice.withBytes(of: bytes) { write(&writer, $0) }
        return writer.count
    }
    return Array(memory.prefix(count))
}

private func logged(_ bytes: [UInt8]) -> String {
    String(decoding: written(bytes) { $0.append(logged: $1) }, as: UTF8.self)
}

private func json(_ bytes: [UInt8]) -> [UInt8] { written(bytes) { $0.append(json: $1) } }

@Suite("Escaping")
struct EscapingTests {
    @Test func plainTextStays() {
        let text = "GET /index.html?a=b&c=%20 (compatible; ~nobody) {}[]<>"
        for length in 0...text.utf8.count {
            let part = Array(text.utf8.prefix(length))
            #expect(logged(part) == String(decoding: part, as: UTF8.self))
            #expect(json(part) == part)
        }
    }

    @Test func aLogLineHoldsNoByteThatEndsAFieldOrMovesACursor() {
        #expect(logged(Array("a\"b\\c\nd\u{1B}[2J".utf8)) == #"a\x22b\x5Cc\x0Ad\x1B[2J"#)
        #expect(logged([0x00, 0x7F, 0x80, 0xFF]) == #"\x00\x7F\x80\xFF"#)
        #expect(logged(Array("é".utf8)) == #"\xC3\xA9"#)
    }

    @Test func everyByteAtEveryPlaceOfAVector() {
        for byte in UInt8.min...UInt8.max {
            for place in 0..<20 {
                var bytes = Array("abcdefghijklmnopqrst".utf8)
                bytes[place] = byte
                let isPlain = (0x20..<0x7F).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
                #expect((logged(bytes) == String(decoding: bytes, as: UTF8.self)) == isPlain)
                let text = [UInt8(ascii: "\"")] + json(bytes) + [UInt8(ascii: "\"")]
                let parsed = try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed) as? String
                #expect(parsed == String(decoding: bytes, as: UTF8.self), "byte \(byte) at \(place)")
            }
        }
    }

    @Test func charactersOfUTF8StayInJSON() {
        let text = "grüße 日本語 🙂"
        #expect(json(Array(text.utf8)) == Array(text.utf8))
    }

    @Test(
        arguments: [
            [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xC3], [0xE6, 0x97], [0xF0, 0x9F, 0x99], [0xBF],
            [0xC3, 0x28], [0xE6, 0x28, 0xA1],
        ] as [[UInt8]])
    func whatIsNotUTF8IsReplaced(_ bytes: [UInt8]) {
        let text = json(bytes)
        #expect(String(validating: text, as: UTF8.self) != nil)
        #expect(String(decoding: text, as: UTF8.self).contains("\u{FFFD}"))
    }

    @Test func controlsInJSON() {
        #expect(
            String(decoding: json([0x0A, 0x0D, 0x09, 0x00, 0x1F, 0x7F]), as: UTF8.self) == #"\n\r\t\u0000\u001F\u007F"#)
    }

    @Test func countsWhatDoesNotFit() {
        var memory = [UInt8](repeating: 0x2E, count: 8)
        let count = unsafe memory.withUnsafeMutableBytes { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: 4)
            writer.append(logged: ByteSlice("a\n\nb"))
            return writer.count
        }
        #expect(count == 10)
        #expect(memory[4...] == [0x2E, 0x2E, 0x2E, 0x2E])
    }
}
