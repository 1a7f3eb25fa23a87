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
            for index in 0..<400 {
                client.request("GET", "/\(index)", fields: index == 7 ? [("x-large", Self.large)] : [])
                client.exchange(with: server)
                streams.append(try #require(server.last))
            }
            for stream in streams { server.respond(stream, fields: [(.server, Self.large)]) }
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

/// What the library allocates.
@Suite struct MemoryTests {
    @Test func blocksAreTheirOwnAndUsedAgain() throws {
        var memory = HTTP2Memory()
        var blocks: [(start: UnsafeMutableRawPointer, count: Int)] = []
        for round in 0..<3 {
            for count in [0, 1, 8, 9, 24, 25, 100, 496, 504, 505, 2_928, 20_000] + Array(0..<300) {
                let start = unsafe try #require(memory.allocate(count))
                #expect(unsafe HTTP2Memory.room(of: start) >= count)
                #expect(UInt(bitPattern: start) % 16 == 0)
                unsafe start.initializeMemory(as: UInt8.self, repeating: UInt8(count % 251), count: count)
                unsafe blocks.append((start, count))
            }
            let unchanged = unsafe blocks.allSatisfy { block in
                unsafe UnsafeRawBufferPointer(start: block.start, count: block.count).allSatisfy {
                    $0 == UInt8(block.count % 251)
                }
            }
            #expect(unchanged, "round \(round)")
            while let block = unsafe blocks.popLast() { unsafe memory.release(block.start) }
        }
        let first = unsafe try #require(memory.allocate(40))
        unsafe memory.release(first)
        #expect(unsafe memory.allocate(40) == first)
    }

    @Test func aTableThatHoldsSomethingKeepsIt() throws {
        let memory = UnsafeMutablePointer<HTTP2Memory>.allocate(capacity: 1)
        unsafe memory.initialize(to: HTTP2Memory())
        var pages = HTTP2SessionPages()
        let count = HTTP2SessionPages.tableBytes
        let table = unsafe try #require(pages.takeTable(count, from: memory))
        #expect(unsafe pages.takeTable(count, from: memory) == nil, "there is one")
        let buffer = unsafe try #require(pages.takeBuffer(16_394, from: memory))
        unsafe table.storeBytes(of: 7, toByteOffset: 2_000, as: UInt8.self)
        unsafe buffer.storeBytes(of: 7, toByteOffset: 16_393, as: UInt8.self)
        pages.rest()
        #expect(unsafe table.load(fromByteOffset: 2_000, as: UInt8.self) == 7)
        unsafe table.storeBytes(of: 0, toByteOffset: 2_000, as: UInt8.self)
        pages.rest()
        #expect(unsafe UnsafeRawBufferPointer(start: table, count: count).allSatisfy { $0 == 0 })
        #expect(unsafe pages.release(buffer) && pages.release(table) && !pages.release(table))
        unsafe pages.destroy(memory)
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
    }
}
