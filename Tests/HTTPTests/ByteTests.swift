import Testing

@testable import HTTP

@Suite struct ByteTests {
    @Test(arguments: 0...255)
    func classifiesBytesAsTheGrammarsDo(value: Int) {
        let byte = UInt8(value)
        let alphanumeric = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        let unreserved = alphanumeric.union("-._~".utf8)
        let subDelimiters = Set("!$&'()*+,;=".utf8)
        #expect(ASCII.isToken(byte) == alphanumeric.union("!#$%&'*+-.^_`|~".utf8).contains(byte))
        #expect(ASCII.isUnreserved(byte) == unreserved.contains(byte))
        #expect(ASCII.isRegisteredName(byte) == unreserved.union(subDelimiters).contains(byte))
        let isTarget = unreserved.union(subDelimiters).union(":/?[]@%".utf8).contains(byte)
        #expect(ASCII.isTarget(byte) == isTarget)
        #expect(ASCII.isUnwiseTarget(byte) == Set("\"<>\\^`{|}".utf8).contains(byte))
        #expect(ASCII.isFieldValue(byte) == (byte == 9 || byte >= 0x20 && byte != 0x7F))
        #expect(ASCII.hexValue(byte) == UInt8(String(UnicodeScalar(byte)), radix: 16))

        let isLetter = alphanumeric.contains(byte) && !(0x30...0x39).contains(byte)
        for place in 0..<8 {
            let word = UInt64(byte) << UInt64(place * 8)
            #expect(ASCII.letters(word | ~(0xFF << UInt64(place * 8))) == (isLetter ? 0x80 << UInt64(place * 8) : 0))
        }

        let isPlainHost = alphanumeric.union("-.".utf8).contains(byte)
        #expect(ByteVector(SIMD16(repeating: byte)).hostStops == (isPlainHost ? 0 : 0xFFFF))

        let stops = ByteVector(SIMD16(repeating: byte)).targetStops
        #expect((stops == 0) == (isTarget && byte != UInt8(ascii: "?") && byte != UInt8(ascii: "~")))
        #expect((ByteVector(SIMD16(repeating: byte)).controls == 0) == (byte >= 0x20 && byte != 0x7F))
    }

    @Test func findsTheFirstByteWhereverItIs() {
        let guarded = GuardedBytes(capacity: 64)
        for count in 0...40 {
            for place in 0..<max(count, 1) {
                var bytes = [UInt8](repeating: UInt8(ascii: "."), count: count)
                if place < count { bytes[place] = UInt8(ascii: ":") }
                let slice = guarded.place(bytes)
                #expect(slice.firstIndex(of: UInt8(ascii: ":")) == (place < count ? place : nil))
                #expect(slice.firstIndex(of: 0) == nil)
                if place < count { #expect(slice.firstIndex(of: UInt8(ascii: ":"), from: place + 1) == nil) }
            }
        }
    }

    @Test func readsVectorsAndWordsUpToTheEnd() {
        let guarded = GuardedBytes(capacity: 64)
        for count in 0...40 {
            let slice = guarded.place((0..<count).map { UInt8($0 + 1) })
            for offset in 0...count + 1 {
                for index in 0..<16 {
                    let expected = offset + index < count ? UInt8(offset + index + 1) : 0
                    #expect(slice.vector(at: offset).equal(to: expected) >> UInt64(index) & 1 == 1)
                    if index < 8 {
                        #expect(UInt8(truncatingIfNeeded: slice.word(at: offset) >> UInt64(index * 8)) == expected)
                    }
                }
            }
        }
    }

    @Test func findsTheEndOfALineWhereverItIs() {
        let guarded = GuardedBytes(capacity: 256)
        for count in 1...200 {
            for end in stride(from: 0, to: count, by: 7) {
                var bytes = [UInt8](repeating: UInt8(ascii: "."), count: count)
                bytes[end] = 0x0D
                if end > 3 { bytes[end / 2] = 0x09 }
                let slice = guarded.place(bytes)
                for start in [0, end / 2, end] {
                    var scanner = HTTP1LineScanner(slice, from: start)
                    let found = scanner.endOfLine(from: start)
                    let next = end + 1 < count ? scanner.endOfLine(from: end + 1) : count
                    #expect(found == end && next == count, "\(count) bytes, end \(end), from \(start)")
                }
            }
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("007", 7), ("18446744073709551615", UInt64.max), ("18446744073709551616", nil), ("", nil),
            ("-1", nil), ("+1", nil), ("1 ", nil), ("1a", nil), ("99999999999999999999999", nil),
        ] as [(String, UInt64?)])
    func readsDecimals(text: String, value: UInt64?) {
        #expect(ByteSlice.withBytes(of: text) { $0.decimal } == value)
    }

    @Test(
        arguments: [
            ("", []), (",", []), ("a", ["a"]), (" a , b,,c\t,", ["a", "b", "c"]), ("a b", ["a b"]),
        ] as [(String, [String])])
    func walksLists(text: String, elements: [String]) {
        let found = ByteSlice.withBytes(of: text) { bytes in
            var found: [String] = []
            var list = ListElements(bytes)
            while let element = list.next() { found.append(element.text) }
            return found
        }
        #expect(found == elements)
    }

    @Test func noticesADifferenceWhereverItIs() {
        for count in 0...40 {
            let bytes = (0..<count).map { UInt8($0 + 1) }
            ByteSlice.withBytes(of: bytes) { left in
                ByteSlice.withBytes(of: Array(bytes)) { #expect(left == $0) }
                ByteSlice.withBytes(of: bytes + [0]) { #expect(left != $0) }
                for index in 0..<count {
                    var other = bytes
                    other[index] ^= 0x80
                    ByteSlice.withBytes(of: other) { #expect(left != $0, "\(count) bytes, the one at \(index)") }
                }
            }
        }
    }

    @Test func comparesBytesAndCase() {
        let long = ByteSlice("abcdefghijklmnopq")
        #expect(long == "abcdefghijklmnopq")
        #expect(!(long == "abcdefghijklmnopr"))
        #expect(!(long == "abcdefghijklmnop"))
        #expect(long.equalsIgnoringCase("ABCDEFGHIJKLMNOPQ"))
        #expect(!ByteSlice("a\r").equalsIgnoringCase("a-"))
        #expect(!ByteSlice("@").equalsIgnoringCase("`"))
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let same = ASCII.lowercase(first) == ASCII.lowercase(second)
                let equal = ByteSlice.withBytes(of: [first]) { left in
                    ByteSlice.withBytes(of: [second]) { left.equalsIgnoringCase($0) }
                }
                if equal != same { Issue.record("\(first) and \(second)") }
            }
        }
        #expect(long.hasPrefix(ByteSlice("abc")) && long.hasSuffix(ByteSlice("opq")))
        #expect(!ByteSlice("ab").hasPrefix(long) && !ByteSlice("ab").hasSuffix(long))
        #expect(ByteSlice(" \ta b\t ").trimmed == "a b")
        #expect(ByteSlice(" \t ").trimmed.isEmpty)
    }

    @Test(
        arguments: [
            ("a", 1, nil), ("a:80", 1, 80), ("a:", 1, nil), ("[::1]", 5, nil), ("[::1]:0", 5, 0), ("[v1.a:b]:9", 8, 9),
            ("a%2Db%20", 8, nil), ("%41:1", 3, 1), ("a:065535", 1, 65535), ("sixteen-bytes-ab", 16, nil),
            ("sixteen-bytes-ab:1", 16, 1), ("seventeen-bytes-a!:2", 18, 2),
            ("more.than-32-bytes.example.test:80", 31, 80),
        ] as [(String, Int, UInt16?)])
    func readsAuthorities(text: String, hostLength: Int, port: UInt16?) {
        let authority = ByteSlice.withBytes(of: text) { Authority($0) }
        #expect(authority?.hostLength == hostLength)
        #expect(authority?.port == port)
    }

    @Test func countsWhatDoesNotFit() {
        #expect(
            written { writer in
                writer.append("abc")
                writer.append(UInt8(ascii: "d"))
                writer.append("efg")
                writer.truncate(to: 6)
                writer.append("!")
            } == "abcdef!")
    }
}
