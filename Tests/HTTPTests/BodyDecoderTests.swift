import Testing

@testable import HTTP

@Suite struct BodyDecoderTests {
    /// Chunked bodies that are accepted: wire, data, trailers.
    static let accepted: [(String, String, [String])] = [
        ("0\r\n\r\n", "", []),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", []),
        ("A\r\n0123456789\r\n000\r\n\r\n", "0123456789", []),
        ("9\r\n\r\n0\r\n\r\n56\r\n0\r\n\r\n", "\r\n0\r\n\r\n56", []),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", []),
        ("5;a\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5;a=b;c=\"d;\\\"\"\r\nhello\r\n0;last\r\n\r\n", "hello", []),
        ("5 \t; \ta \t= \tb \t; c\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5;a=\"\"\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5;a=\"x\ty \u{00E9}\" ;b\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("0\r\nX-Sum: 1\r\nX-Other:2\r\n\r\n", "", ["X-Sum: 1", "X-Other: 2"]),
        (
            "1\r\na\r\n0\r\nHost: h\r\nX: y\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: z\r\n\r\n",
            "a",
            ["-Host: h", "X: y", "-content-length: 5", "-Transfer-Encoding: chunked", "-X-Forwarded-For: z"]
        ),
    ]

    /// Chunked bodies that are refused, each with its reason.
    static let refused: [(String, HTTPMessageError)] = [
        // Sizes.
        ("\r\n", .invalidChunkSize),
        ("g\r\n", .invalidChunkSize),
        ("-5\r\nhello\r\n", .invalidChunkSize),
        ("+5\r\nhello\r\n", .invalidChunkSize),
        (" 5\r\nhello\r\n", .invalidChunkSize),
        ("\t5\r\nhello\r\n", .invalidChunkSize),
        ("0x5\r\nhello\r\n", .invalidChunkSize),
        ("5h\r\nhello\r\n", .invalidChunkSize),
        ("5_0\r\n", .invalidChunkSize),
        ("5,5\r\n", .invalidChunkSize),
        ("5.\r\n", .invalidChunkSize),
        ("\u{0}5\r\nhello\r\n", .invalidChunkSize),
        ("5\u{0}\r\nhello\r\n", .invalidChunkSize),
        ("5\u{B}\r\nhello\r\n", .invalidChunkSize),
        ("\u{FF15}\r\nhello\r\n", .invalidChunkSize),
        (";a\r\n", .invalidChunkSize),
        ("00000000000000005\r\nhello\r\n", .invalidChunkSize),
        ("10000000000000000\r\n", .invalidChunkSize),
        ("8000000000000000\r\n", .chunkSizeOverflow),
        ("FFFFFFFFFFFFFFFF\r\n", .chunkSizeOverflow),
        ("fffffffffffffff0\r\n", .chunkSizeOverflow),
        // Ends of size lines.
        ("5\nhello\r\n", .bareLineFeed),
        ("5\rhello\r\n", .bareCarriageReturn),
        ("5\r\r\nhello\r\n", .bareCarriageReturn),
        ("5;a\nhello\r\n", .bareLineFeed),
        ("5;a\rb\r\nhello\r\n", .bareCarriageReturn),
        ("5 \r\nhello\r\n", .invalidChunkExtension),
        ("5\t\r\nhello\r\n", .invalidChunkExtension),
        // Extensions.
        ("5;\r\nhello\r\n", .invalidChunkExtension),
        ("5; \r\nhello\r\n", .invalidChunkExtension),
        ("5;;a\r\nhello\r\n", .invalidChunkExtension),
        ("5;a;\r\nhello\r\n", .invalidChunkExtension),
        ("5;=b\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\r\nhello\r\n", .invalidChunkExtension),
        ("5;a==b\r\nhello\r\n", .invalidChunkExtension),
        ("5;a b\r\nhello\r\n", .invalidChunkExtension),
        ("5;a \r\nhello\r\n", .invalidChunkExtension),
        ("5;a=b c\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=b \r\nhello\r\n", .invalidChunkExtension),
        ("5;a=b=c\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\"b\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\"b\nhello\"\r\n", .invalidChunkExtension),
        ("5;a=\"b\\\r\n\"\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\"b\u{0}\"\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\"b\"c\r\nhello\r\n", .invalidChunkExtension),
        ("5;a\u{0}\r\nhello\r\n", .invalidChunkExtension),
        ("5;a=\u{7F}\r\nhello\r\n", .invalidChunkExtension),
        ("5 a\r\nhello\r\n", .invalidChunkExtension),
        ("5 =a\r\nhello\r\n", .invalidChunkExtension),
        ("5;\u{00E9}\r\nhello\r\n", .invalidChunkExtension),
        // Ends of data.
        ("5\r\nhello0\r\n\r\n", .invalidChunkTerminator),
        ("5\r\nhello\n0\r\n\r\n", .invalidChunkTerminator),
        ("5\r\nhello\r0\r\n\r\n", .invalidChunkTerminator),
        ("5\r\nhello\r\r\n0\r\n\r\n", .invalidChunkTerminator),
        ("5\r\nhello!\r\n0\r\n\r\n", .invalidChunkTerminator),
        ("4\r\nhello\r\n0\r\n\r\n", .invalidChunkTerminator),
        ("5\r\nhello\r\n\r\n", .invalidChunkSize),
        // Ends of the body, and trailers.
        ("0\r\n\n", .bareLineFeed),
        ("0\r\n\rX\r\n", .bareCarriageReturn),
        ("0\n\r\n", .bareLineFeed),
        ("0\r\nX: y\n\r\n", .bareLineFeed),
        ("0\r\nX: y\r\n z\r\n\r\n", .lineFolding),
        ("0\r\n X: y\r\n\r\n", .lineFolding),
        ("0\r\nX : y\r\n\r\n", .spaceBeforeColon),
        ("0\r\nX\r\n\r\n", .missingColon),
        ("0\r\n: y\r\n\r\n", .emptyName),
        ("0\r\nX: \u{0}\r\n\r\n", .controlByte),
        ("0\r\nX: y\r\n\r \r\n", .bareCarriageReturn),
        ("0\r\nContent-Length: x\r\n\r\n", .invalidContentLength),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", .invalidName),
    ]

    @Test(arguments: accepted)
    func takesTheFramingOff(wire: String, data: String, trailers: [String]) {
        let decoded = decode(Array(wire.utf8), .chunked)
        #expect(decoded == Decoded(data: data, trailers: trailers, step: .event(.end), position: wire.utf8.count))
    }

    @Test(arguments: accepted.map(\.0))
    func leavesWhatFollowsTheBody(wire: String) {
        let decoded = decode(Array((wire + "GET / HTTP/1.1\r\n").utf8), .chunked)
        #expect(decoded.step == .event(.end))
        #expect(decoded.position == wire.utf8.count)
    }

    @Test(arguments: refused)
    func refusesWithItsReason(wire: String, error: HTTPMessageError) {
        #expect(decode(Array(wire.utf8), .chunked).step == .malformed(error))
    }

    @Test(arguments: accepted.map(\.0) + refused.map(\.0))
    func comesToTheSameOutcomeHoweverItIsSplit(wire: String) {
        let bytes = Array(wire.utf8)
        let whole = decode(bytes, .chunked).withoutPosition
        #expect(decode(bytes, .chunked, pieces: Array(repeating: 1, count: bytes.count)).withoutPosition == whole)
        for split in 0..<bytes.count {
            let pieces = decode(bytes, .chunked, pieces: [split, bytes.count - split])
            #expect(pieces.withoutPosition == whole, "split at \(split)")
            for second in split..<bytes.count where bytes.count < 40 {
                let three = decode(bytes, .chunked, pieces: [split, second - split, bytes.count - second])
                #expect(three.withoutPosition == whole, "split at \(split) and \(second)")
            }
        }
    }

    @Test(arguments: accepted.map(\.0))
    func isIncompleteUntilTheLastByte(wire: String) {
        let bytes = Array(wire.utf8)
        for count in 0..<bytes.count {
            #expect(decode(bytes.prefix(count), .chunked).step == .incomplete, "\(count) bytes")
        }
    }

    @Test func survivesRandomMutations() {
        var random = SplitMix(seed: 0x7F_4A_7C_15)
        let seeds = Self.accepted.map { Array($0.0.utf8) }
        for round in 0..<3_000 {
            var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
            for _ in 0...Int(random.next() % 3) { mutate(&bytes, &random) }
            let whole = decode(bytes, .chunked).withoutPosition
            let split = Int(random.next() % UInt64(bytes.count + 1))
            let pieces = decode(bytes, .chunked, pieces: [split, bytes.count - split]).withoutPosition
            #expect(pieces == whole, "round \(round), split at \(split)")
        }
    }

    @Test func limitsTheBytesOfABody() {
        let wire = Array("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n".utf8)
        #expect(decode(wire, .chunked, limits: HTTP1Limits(bodyBytesMax: 6)).step == .event(.end))
        #expect(decode(wire, .chunked, limits: HTTP1Limits(bodyBytesMax: 5)).step == .malformed(.bodyTooLarge))
        #expect(
            decode(Array("abcd".utf8), .untilClose, limits: HTTP1Limits(bodyBytesMax: 3)).step
                == .malformed(.bodyTooLarge))
    }

    @Test func limitsExtensionsOfAllChunksTogether() {
        let wire = Array("1;abcd\r\na\r\n1;abcd\r\nb\r\n0\r\n\r\n".utf8)
        #expect(decode(wire, .chunked, limits: HTTP1Limits(chunkExtensionBytesMax: 10)).step == .event(.end))
        #expect(
            decode(wire, .chunked, limits: HTTP1Limits(chunkExtensionBytesMax: 9)).step
                == .malformed(.chunkExtensionsTooLarge))
    }

    @Test func limitsTrailers() {
        let wire = Array("0\r\nA: 1\r\nB: 2\r\n\r\n".utf8)
        #expect(decode(wire, .chunked, limits: HTTP1Limits(headersMax: 2)).step == .event(.end))
        #expect(decode(wire, .chunked, limits: HTTP1Limits(headersMax: 1)).step == .malformed(.tooManyHeaders))
        #expect(decode(wire, .chunked, limits: HTTP1Limits(trailerBytesMax: 14)).step == .event(.end))
        #expect(decode(wire, .chunked, limits: HTTP1Limits(trailerBytesMax: 13)).step == .malformed(.headersTooLarge))
    }

    @Test func countsBodiesWithALength() {
        #expect(decode(Array("hello".utf8), .length(3)) == Decoded(data: "hel", step: .event(.end), position: 3))
        #expect(decode(Array("he".utf8), .length(3)) == Decoded(data: "he", step: .incomplete, position: 2))
        #expect(decode(Array("he".utf8), .length(0)) == Decoded(step: .event(.end), position: 0))
        #expect(decode(Array("he".utf8), .none) == Decoded(step: .event(.end), position: 0))
        #expect(decode(Array("he".utf8), .untilClose) == Decoded(data: "he", step: .incomplete, position: 2))
    }

    @Test func neverLetsATruncatedBodyLookComplete() {
        #expect(HTTP1BodyDecoder(.none).close() == .event(.end))
        #expect(HTTP1BodyDecoder(.length(0)).close() == .event(.end))
        #expect(HTTP1BodyDecoder(.length(1)).close() == .malformed(.truncatedBody))
        #expect(HTTP1BodyDecoder(.chunked).close() == .malformed(.truncatedBody))
        #expect(HTTP1BodyDecoder(.untilClose).close() == .event(.end))

        var decoder = HTTP1BodyDecoder(.chunked)
        for (piece, expected) in [
            ("1\r\na", HTTP1BodyStep.malformed(.truncatedBody)), ("\r\n0\r\n", .malformed(.truncatedBody)),
            ("\r\n", .event(.end)),
        ] {
            var position = 0
            ByteSlice.withBytes(of: piece) { bytes in
                while case .event(let event) = decoder.next(bytes, at: &position, limits: HTTP1Limits()), event != .end
                {}
            }
            #expect(decoder.close() == expected)
        }
    }

    @Test func letsBulkBytesPass() {
        var decoder = HTTP1BodyDecoder(.chunked)
        var position = 0
        let limits = HTTP1Limits()
        #expect(decoder.bulkBytes == 0)
        ByteSlice.withBytes(of: "a\r\nxy") { _ = decoder.next($0, at: &position, limits: limits) }
        #expect(decoder.bulkBytes == 8)
        decoder.skip(8)
        #expect(decoder.bulkBytes == 0)
        position = 0
        let step = ByteSlice.withBytes(of: "\r\n0\r\n\r\n") { decoder.next($0, at: &position, limits: limits) }
        #expect(step == .event(.end))

        var counted = HTTP1BodyDecoder(.length(5))
        #expect(counted.bulkBytes == 5)
        counted.skip(5)
        position = 0
        let end = ByteSlice.withBytes(of: "next") { counted.next($0, at: &position, limits: limits) }
        #expect(end == .event(.end))
        #expect(HTTP1BodyDecoder(.untilClose).bulkBytes == .max)
    }

    @Test(arguments: accepted)
    func writesTrailersThatReadBack(wire: String, data: String, trailers: [String]) {
        var decoder = HTTP1BodyDecoder(.chunked)
        var position = 0
        let limits = HTTP1Limits()
        ByteSlice.withBytes(of: wire) { bytes in
            while case .event(let event) = decoder.next(bytes, at: &position, limits: limits), event != .end {}
        }
        let text = written { writer in
            if !data.isEmpty {
                writer.appendChunkSize(data.utf8.count)
                ByteSlice.withBytes(of: data) { writer.append($0) }
                writer.appendChunkEnd()
            }
            if let section = decoder.trailers {
                writer.appendLastChunk(trailers: section.fields)
            } else {
                writer.appendLastChunk()
            }
        }
        let forwarded = trailers.filter { !$0.hasPrefix("-") }
        let again = decode(Array(text.utf8), .chunked)
        #expect(again == Decoded(data: data, trailers: forwarded, step: .event(.end), position: text.utf8.count))
    }
}

/// What came out of a body.
private struct Decoded: Equatable {
    var data = ""
    var trailers: [String] = []
    var step: HTTP1BodyStep
    var position: Int

    /// Where a refused body was left depends on the pieces; nothing else does.
    var withoutPosition: Decoded {
        var copy = self
        if step != .event(.end) { copy.position = 0 }
        return copy
    }
}

/// Decodes pieces, each against a guard page, until something other than body comes of it.
private func decode(
    _ bytes: some Collection<UInt8>, _ framing: HTTP1BodyFraming, pieces: [Int]? = nil,
    limits: HTTP1Limits = HTTP1Limits()
) -> Decoded {
    let guarded = GuardedBytes(capacity: bytes.count)
    var decoder = HTTP1BodyDecoder(framing)
    var data: [UInt8] = []
    var start = 0
    var step = HTTP1BodyStep.incomplete
    for piece in pieces ?? [bytes.count] {
        let slice = guarded.place(bytes.dropFirst(start).prefix(piece))
        var position = 0
        reading: while true {
            step = decoder.next(slice, at: &position, limits: limits)
            switch step {
            case .event(.body(let offset, let length)):
                for index in offset..<offset + length { data.append(slice[index]) }
            case .event(.trailers): continue
            case .event, .malformed:
                return Decoded(
                    data: String(decoding: data, as: UTF8.self), trailers: decoder.trailers?.fields.digestLines ?? [],
                    step: step, position: start + position)
            case .incomplete: break reading
            }
        }
        start += piece
    }
    return Decoded(data: String(decoding: data, as: UTF8.self), step: step, position: start)
}
