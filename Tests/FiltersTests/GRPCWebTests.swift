import Engine
import Foundation
import HTTP
import Simulation
import Testing

@testable import Filters

/// What a decoder makes of `text` in pieces of `size` characters, through its word as a filter keeps it; nil when it
/// refuses it or something is missing.
private func decoded(_ text: String, pieces size: Int) -> [UInt8]? {
    let characters = Array(text.utf8)
    var word = GRPCWebTextDecoder().word
    var bytes: [UInt8] = []
    for start in stride(from: 0, to: characters.count, by: size) {
        let piece = Array(characters[start..<min(start + size, characters.count)])
        var decoder = GRPCWebTextDecoder(word: word)
        let made = unsafe [UInt8](unsafeUninitializedCapacity: GRPCWebTextDecoder.decodedMax(piece.count)) {
            var writer = unsafe ByteWriter(start: UnsafeMutableRawPointer($0.baseAddress!), capacity: $0.count)
            let isBase64 = ByteSlice.withBytes(of: piece) { decoder.decode($0, into: &writer) }
            $1 = isBase64 ? writer.count : 0
            if !isBase64 { word = .max }
        }
        if word == .max { return nil }
        bytes += made
        word = decoder.word
    }
    return GRPCWebTextDecoder(word: word).isComplete ? bytes : nil
}

private func encoded(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    ByteSlice.withBytes(of: bytes) { GRPCWebText.encode($0) { text.append($0) } }
    #expect(text.count == GRPCWebText.encodedCount(bytes.count))
    return String(decoding: text, as: UTF8.self)
}

@Suite("gRPC-Web")
struct GRPCWebTests {
    @Test func textIsReadHoweverItIsCut() {
        for count in 0..<12 {
            let first = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 37 + 200) }
            let second = Array("ab\u{0}c".utf8)
            // Two pieces, each with its padding.
            let text = Data(first).base64EncodedString() + Data(second).base64EncodedString()
            for size in 1...max(text.utf8.count, 1) { #expect(decoded(text, pieces: size) == first + second) }
        }
    }

    @Test(arguments: [
        "A", "AA", "AAA", "AAA=A", "=AAA", "A=AA", "AA=A", "AB==", "AAB=", "AA AA", "AAAA\n", "AA-_", "====",
    ])
    func whatIsNoTextIsRefused(_ text: String) {
        for size in 1...text.utf8.count { #expect(decoded(text, pieces: size) == nil) }
    }

    @Test func textIsWrittenWithItsPadding() {
        for count in 0..<300 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            #expect(encoded(bytes) == Data(bytes).base64EncodedString())
        }
    }

    @Test func typesAreToldApart() {
        func type(_ text: String) -> GRPCWebType? { ByteSlice.withBytes(of: text) { GRPCWebType($0) } }
        #expect(type("application/grpc-web")?.isText == false)
        #expect(type("Application/gRPC-Web+proto")?.format == Array("+proto".utf8))
        #expect(type("application/grpc-web-text")?.isText == true)
        #expect(type("application/grpc-web-text+json; charset=utf-8")?.format == Array("+json".utf8))
        for other in ["application/grpc", "application/grpc+proto", "application/grpc-webs", "text/plain", "*/*", ""] {
            #expect(type(other) == nil)
        }
    }

    @Test func trailersBecomeAFrame() {
        var table = HeaderTable(capacity: 4)
        table.add(.grpcStatus, ByteSlice("5"))
        ByteSlice.withBytes(of: "no such thing") { _ = table.add(HeaderKey("Grpc-Message")!, $0) }
        let lines = "grpc-status:5\r\ngrpc-message:no such thing\r\n"
        #expect(GRPCWebType.trailerFrame(table) == [0x80, 0, 0, 0, UInt8(lines.utf8.count)] + Array(lines.utf8))
    }

    // MARK: Through a worker

    private func bridged(_ options: HTTPWorld.Options) throws -> HTTPWorld {
        var options = options
        let simulated = try SimulatedWorker(seed: 99)
        options.filters = [GRPCWebFilter(settings: GRPCWebFilter.Settings(), worker: simulated.worker)]
        return try HTTPWorld(options)
    }

    private let message = "\0\0\0\0\u{5}hello"
    private let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "5\r\n\0\0\0\0\u{5}\r\n5\r\nworld\r\n0\r\nGrpc-Status: 0\r\nX-Note: done\r\n\r\n"

    private func request(_ type: String, _ body: String, fields: String = "") -> String {
        "POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
    }

    @Test func bridgesTextBothWays() throws {
        try onEveryKernel { options in
            let world = try bridged(options)
            world.serve { server, _ in server.say(answer) }
            let text = Data(message.utf8).base64EncodedString()
            let client = world.client(
                request("application/grpc-web-text+proto", text, fields: "Accept: application/grpc-web-text\r\n"))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [message])
            #expect(world.requests[0].fields["content-type"] == "application/grpc+proto")
            let response = client.answers[0]
            #expect(response.fields["content-type"] == "application/grpc-web-text+proto")
            #expect(!response.isUnfinished)
            let lines = "grpc-status:0\r\nx-note:done\r\n"
            let expected =
                Array("\0\0\0\0\u{5}world".utf8) + [0x80, 0, 0, 0, UInt8(lines.utf8.count)] + Array(lines.utf8)
            #expect(decoded(response.body, pieces: 1) == expected)
        }
    }

    @Test func bridgesBinaryBothWays() throws {
        try onEveryKernel { options in
            let world = try bridged(options)
            world.serve { server, _ in server.say(answer) }
            let client = world.client(request("application/grpc-web", message))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [message])
            #expect(world.requests[0].fields["content-type"] == "application/grpc")
            let response = client.answers[0]
            #expect(response.fields["content-type"] == "application/grpc-web+proto")
            #expect(response.body.hasPrefix("\0\0\0\0\u{5}world"))
            #expect(response.body.hasSuffix("grpc-status:0\r\nx-note:done\r\n"))
        }
    }

    @Test func refusesTextThatIsNone() throws {
        for text in ["AAA", "!!!!"] {
            let world = try bridged(HTTPWorld.Options())
            let client = world.client(request("application/grpc-web-text", text))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.answers[0].status == 200)
            #expect(client.answers[0].fields["grpc-status"] == "13")
            #expect(client.answers[0].fields["content-type"] == "application/grpc-web+proto")
        }
    }

    @Test func saysInGRPCWhatIsNone() throws {
        try onEveryKernel { options in
            let world = try bridged(options)
            world.serve { server, _ in
                server.say("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
            }
            let client = world.client(request("application/grpc-web+proto", message))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            let response = client.answers[0]
            #expect(response.status == 200)
            #expect(response.fields["grpc-status"] == "12")
            #expect(response.body.isEmpty && !response.isUnfinished)
        }
    }

    @Test func leavesOtherRequestsAlone() throws {
        let world = try bridged(HTTPWorld.Options())
        let client = world.client(request("application/grpc", message) + request("text/plain", "AAA"))
        world.run(untilAnswers: 2, of: client)
        client.peer.finish()
        #expect(world.problemsAtEnd() == [])
        #expect(world.requests.map(\.body) == [message, "AAA"])
        #expect(client.answers.allSatisfy { $0.fields["grpc-status"] == nil })
    }
}
