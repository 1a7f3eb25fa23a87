import HTTP
import Testing

@testable import HTTP2

/// Sessions that give back memory between streams, and go on as if they had not.
@Suite struct RestTests {
    @Test(arguments: [Int.max, 1, 100])
    func goesOnAfterARest(pieceBytes: Int) throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        for round in 1...3 {
            client.clearLog()
            server.clearLog()
            client.request("POST", "/path", body: "hello", fields: [("X-Name", "value"), ("X-Round", "\(round)")])
            client.exchange(with: server, pieceBytes: pieceBytes)
            #expect(
                server.log.filter { $0 != "settings" } == [
                    "0 POST example.com/path exactly(5) [x-name: value, x-round: \(round), content-length: 5]",
                    "0 body hello", "0 end",
                ])
            // The answer's fields are in the compression context from the first round on.
            server.respond(
                try #require(server.last), body: "answer", fields: [(.contentType, "text/plain"), (.server, "it")],
                trailers: [(.grpcStatus, "0")])
            client.clearLog()
            client.exchange(with: server, pieceBytes: pieceBytes)
            #expect(
                client.log == [
                    "0 200 unknown [content-type: text/plain, server: it]", "0 body answer",
                    "0 trailers [grpc-status: 0]", "0 end", "0 closed 0",
                ])
            client.session.rest()
            server.session.rest()
            #expect(server.session.isResting && client.session.isResting)
            #expect(server.session.slotCount == 0)
        }
    }

    @Test func doesNotRestWithAStream() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.request("POST", "/", body: "one")
        client.exchange(with: server)
        server.session.rest()
        client.session.rest()
        server.respond(try #require(server.last), body: "two")
        client.clearLog()
        client.exchange(with: server)
        #expect(client.log == ["0 200 unknown []", "0 body two", "0 end", "0 closed 0"])
    }

    @Test func restsInTheMiddleOfAFrame() throws {
        let client = Endpoint(server: false)
        let server = Endpoint(server: true)
        client.exchange(with: server)
        client.request("GET", "/" + String(repeating: "x", count: 3_000))
        let bytes = client.write()
        for piece in [bytes[..<5], bytes[5..<9], bytes[9..<1_000], bytes[1_000...]] {
            server.session.rest()
            server.receive(piece)
        }
        #expect(server.log.count == 3 && server.log.last == "0 end")
    }

    @Test func restsAfterMoreStreamsAndFieldsThanItsTablesBeginWith() throws {
        let settings = HTTP2Settings(limits: HTTP1Limits(headerBytesMax: 60_000), concurrentStreamsMax: 1_000)
        let client = Endpoint(server: false, settings: settings)
        let server = Endpoint(server: true, settings: settings)
        client.exchange(with: server)
        for _ in 0..<2 {
            var streams: [HTTP2Stream] = []
            for index in 0..<250 {
                client.request("GET", "/\(index)", fields: index == 7 ? [("x-large", Self.large)] : [])
                client.exchange(with: server)
                streams.append(try #require(server.last))
            }
            for stream in streams {
                server.respond(stream, fields: stream == streams.first ? [(.server, Self.large)] : [])
            }
            client.exchange(with: server)
            #expect(client.session.streamCount == 0)
            #expect(server.session.streamCount == 0)
            client.session.rest()
            server.session.rest()
        }
        client.clearLog()
        client.request("GET", "/last")
        client.exchange(with: server)
        server.respond(try #require(server.last))
        client.exchange(with: server)
        #expect(client.log == ["0 200 none []", "0 end", "0 closed 0"])
    }

    /// More than a frame holds.
    private static let large = String(repeating: "0123456789abcdef", count: 2_000)
}

private struct NoMemory: Error {}

/// What the library allocates.
@Suite struct MemoryTests {
    @Test func blocksAreTheirOwnAndUsedAgain() throws {
        var memory = HTTP2Memory()
        var blocks: [(start: UnsafeMutableRawPointer, count: Int)] = unsafe []
        for round in 0..<3 {
            for count in [0, 1, 8, 9, 24, 25, 100, 496, 504, 505, 2_928, 20_000] + Array(0..<300) {
                guard let start = unsafe memory.allocate(count) else { throw NoMemory() }
                let room = unsafe HTTP2Memory.room(of: start)
                let isAligned = UInt(bitPattern: start) % 16 == 0
                #expect(room >= count && isAligned)
                unsafe start.initializeMemory(as: UInt8.self, repeating: UInt8(count % 251), count: count)
                unsafe blocks.append((start, count))
            }
            while let (start, count) = unsafe blocks.popLast() {
                let bytes = unsafe UnsafeRawBufferPointer(start: start, count: count)
                let isUnchanged = unsafe bytes.allSatisfy { $0 == UInt8(count % 251) }
                #expect(isUnchanged, "\(count) bytes in round \(round)")
                unsafe memory.release(start)
            }
        }
        guard let first = unsafe memory.allocate(40) else { throw NoMemory() }
        unsafe memory.release(first)
        let isUsedAgain = unsafe memory.allocate(40) == first
        #expect(isUsedAgain)
    }

    @Test func pagesHoldWhatTheyHeldBeforeTheirRest() throws {
        var pool = HTTP2PagePool()
        guard var pages = pool.take() else { throw NoMemory() }
        guard let firm = unsafe pages.takeFirm(2_928) else { throw NoMemory() }
        guard let other = unsafe pages.takeFirm(1_024) else { throw NoMemory() }
        guard let table = unsafe pages.takeTable(HTTP2SessionPages.tableBytes) else { throw NoMemory() }
        let isSecondTable = unsafe pages.takeTable(HTTP2SessionPages.tableBytes) != nil
        guard let buffer = unsafe pages.takeBuffer(16_394) else { throw NoMemory() }
        let isTooMuch = unsafe pages.takeFirm(8_192) != nil
        #expect(!isSecondTable && !isTooMuch)
        // First and last words, neighbours, a single zero between two, zeros in the middle of a word.
        func mark(_ block: UnsafeMutableRawPointer, _ offset: Int) {
            unsafe block.storeBytes(of: UInt8(offset % 250 + 1), toByteOffset: offset, as: UInt8.self)
        }
        unsafe mark(firm, 0)
        unsafe mark(firm, 2_920)
        unsafe mark(other, 0)
        unsafe mark(other, 1_016)
        unsafe mark(table, 2_000)
        unsafe mark(table, 2_016)
        unsafe mark(buffer, 3)
        unsafe mark(buffer, 16_393)
        let all = unsafe UnsafeRawBufferPointer(start: pages.address, count: HTTP2SessionPages.bytes)
        let before = unsafe Array(all)
        for _ in 0..<2 {
            pages.rest()
            let isResting = pages.isResting
            #expect(isResting)
            let isGivenBack = unsafe all.allSatisfy { $0 == 0 }
            #expect(isGivenBack)
            pages.wake()
            let isBack = unsafe Array(all) == before
            #expect(isBack && !pages.isResting)
        }
        let areReleased = unsafe pages.release(buffer) && pages.release(table) && pages.release(firm)
        #expect(areReleased)
        pool.giveBack(pages)
        guard let again = pool.take() else { throw NoMemory() }
        let isZero = unsafe UnsafeRawBufferPointer(start: again.address, count: 4_096).allSatisfy { $0 == 0 }
        #expect(isZero)
        pool.giveBack(again)
    }
}
