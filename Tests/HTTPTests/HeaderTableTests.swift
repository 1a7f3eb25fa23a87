import Testing

@testable import HTTP

@Suite struct HeaderTableTests {
    @Test func findsKnownAndUnknownNamesInAnyCase() {
        var table = HeaderTable(capacity: 2)
        table.add(.host, ByteSlice("h"))
        table.add(HeaderKey("X-Beta")!, ByteSlice("1"))
        table.add(HeaderKey("X-Beta")!, ByteSlice("2"))
        table.add(HeaderKey("USER-AGENT")!, ByteSlice("ua"))
        #expect(table[.host]?.text == "h")
        #expect(table[.userAgent]?.text == "ua")
        #expect(table[.cookie] == nil)
        #expect(table[HeaderKey("x-bETA")!]?.text == "1")
        #expect(table[HeaderKey("x-bet")!] == nil)
        let (hasHost, hasDate) = (table.contains(.host), table.contains(.date))
        #expect(hasHost)
        #expect(!hasDate)
        #expect(table.digestLines == ["host: h", "X-Beta: 1", "X-Beta: 2", "USER-AGENT: ua"])
    }

    @Test func setKeepsPlaceAndSpellingAndRemovesRepeats() {
        var table = HeaderTable(capacity: 8)
        let key = HeaderKey("X-A")!
        for (name, value) in [("X-A", "1"), ("Vary", "v"), ("x-a", "2"), ("Accept", "a"), ("ACCEPT", "b")] {
            ByteSlice.withBytes(of: value) { _ = table.add(HeaderKey(name)!, $0) }
        }
        table.set(key, ByteSlice("3"))
        table.set(.accept, ByteSlice("c"))
        table.set(.age, ByteSlice("0"))
        #expect(table.digestLines == ["X-A: 3", "Vary: v", "Accept: c", "age: 0"])
    }

    @Test func aValueThatIsWrittenInPlaceIsTheOnlyOneOfItsName() {
        var table = HeaderTable(capacity: 4)
        for value in ["a", "b"] { ByteSlice.withBytes(of: value) { _ = table.add(.xRequestId, $0) } }
        table.set(.xRequestId, room: 36) { UUIDText.write(high: .max, low: 0, to: &$0) }
        table.set(.traceparent, room: 128) { $0.append("00-") }
        table.add(.via, ByteSlice("v"))
        #expect(
            table.digestLines == [
                "x-request-id: ffffffff-ffff-4fff-8000-000000000000", "traceparent: 00-", "via: v",
            ])
    }

    @Test func removesEveryFieldOfAName() {
        var table = HeaderTable(capacity: 8)
        table.add(.cookie, ByteSlice("a"))
        table.add(.via, ByteSlice("v"))
        table.add(.cookie, ByteSlice("b"))
        let unknown = HeaderKey("x-u")!
        table.add(unknown, ByteSlice("1"))
        let removed = (table.remove(.cookie), table.remove(.cookie), table.remove(unknown), table.remove(unknown))
        #expect(removed == (true, false, true, false))
        #expect(table[.cookie] == nil)
        #expect(table.digestLines == ["via: v"])
        table.add(.cookie, ByteSlice("c"))
        #expect(table[.cookie]?.text == "c")
    }

    @Test func joinsListElements() {
        var table = HeaderTable(capacity: 8)
        table.append(.via, ByteSlice("1.1 a"))
        table.append(.via, ByteSlice("1.1 b"))
        table.add(.via, ByteSlice(""))
        #expect(table.digestLines == ["via: 1.1 a, 1.1 b", "via: "])
    }

    @Test(arguments: ["a\r\nX: y", "a\nb", "a\rb", "a\u{0}b", "a\u{7F}", " a", "a\t"])
    func refusesValuesThatCouldBreakALine(value: String) {
        var table = HeaderTable(capacity: 8)
        table.add(.via, ByteSlice("v"))
        let key = HeaderKey("x-u")!
        let accepted = ByteSlice.withBytes(of: value) { bytes in
            [
                table.add(.server, bytes), table.set(.via, bytes), table.append(.via, bytes),
                table.add(key, bytes), table.set(key, bytes),
            ]
        }
        #expect(accepted == Array(repeating: false, count: 5))
        #expect(table.digestLines == ["via: v"])
    }

    @Test func keepsSlicesGoodWhileMoreIsAdded() {
        var table = HeaderTable(capacity: 1)
        table.add(.server, ByteSlice("first"))
        let first = table[.server]!
        let long = String(repeating: "x", count: 900)
        for _ in 0..<100 { ByteSlice.withBytes(of: long) { _ = table.add(.via, $0) } }
        #expect(first.text == "first")
        #expect(table.indices.count == 101)
        #expect(table.field(at: 100)?.value.count == 900)
    }

    @Test func refusesWhatDoesNotFitInTheArena() {
        var table = HeaderTable(capacity: 1)
        let huge = [UInt8](repeating: UInt8(ascii: "x"), count: HeaderArena.bytesMax + 1)
        let accepted = ByteSlice.withBytes(of: huge) { table.add(.server, $0) }
        #expect(!accepted)
        let large = [UInt8](repeating: UInt8(ascii: "x"), count: HeaderArena.bytesMax)
        let (once, twice) = ByteSlice.withBytes(of: large) { (table.add(.server, $0), table.add(.server, $0)) }
        #expect(once)
        #expect(!twice)
        table.reset()
        #expect(table.indices.isEmpty)
    }

    @Test(arguments: ["", "a b", "a:", "a\r", "\u{00E9}", String(repeating: "a", count: 257)])
    func refusesKeysThatAreNoFieldNames(text: String) {
        #expect(HeaderKey(text) == nil)
    }

    @Test func comparesKeysWithoutCase() {
        #expect(HeaderKey("X-Beta") == HeaderKey("x-bETA"))
        #expect(HeaderKey("Host") == HeaderKey("hOST"))
        #expect(HeaderKey("X-Beta") != HeaderKey("X-Alpha"))
        #expect(HeaderKey("Host")?.hashValue == HeaderKey("host")?.hashValue)
        #expect(HeaderKey("Host")?.known == .host)
    }
}

@Suite struct HeaderNameTests {
    @Test(arguments: HeaderName.allCases)
    func isFoundInEveryCase(name: HeaderName) {
        let lower = Array(name.bytes.text.utf8)
        let upper = Array(name.bytes.text.uppercased().utf8)
        let guarded = GuardedBytes(capacity: 64)
        #expect(HeaderName(guarded.place(lower)) == name)
        #expect(HeaderName(guarded.place(upper)) == name)
        #expect(HeaderName(guarded.place(lower.dropLast())) != name)
        #expect(HeaderName(guarded.place(lower + [UInt8(ascii: "s")])) != name)
        for index in lower.indices {
            // One bit away in each place, 0x20 of a letter aside, is another name.
            for bit in 0..<8 where !(bit == 5 && lower[index] >= UInt8(ascii: "a")) {
                var other = lower
                other[index] ^= 1 << UInt8(bit)
                #expect(HeaderName(guarded.place(other)) != name)
            }
        }
    }

    @Test func fitsInASetOf128() {
        #expect(HeaderName.allCases.allSatisfy { (1...127).contains($0.rawValue) })
        var set = HeaderNameSet()
        for name in HeaderName.allCases {
            #expect(!set.contains(name))
            set.insert(name)
            #expect(set.contains(name))
        }
        for name in HeaderName.allCases {
            set.remove(name)
            #expect(!set.contains(name))
        }
    }

    @Test func isNotFoundInNothing() { #expect(HeaderName(ByteSlice.empty) == nil) }
}
