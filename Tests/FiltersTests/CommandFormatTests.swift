import Config
import Engine
import HTTP
import Simulation
import Testing
import Upstream

@testable import Filters

/// An exchange as it is at its end, made without sockets.
private final class FinishedExchange {
    let stream: HTTPStream
    private let simulation: SimulatedWorker
    private let chain: HTTPChain
    // The stream's head refers to it.
    private var bytes: [UInt8] = []
    var cluster: Cluster?

    init(_ lines: [String] = ["GET /a?b=c HTTP/1.1", "Host: example.com"]) throws {
        simulation = try SimulatedWorker(seed: 1)
        let http = HTTPConfiguration(routes: [])
        let settings = HTTPChainSettings(http)
        let (scope, _) = simulation.makeScope(.listener, "edge", cells: HTTPStat.cellCount)
        let table = RouteTable(http, clusterNames: [], workers: 1)
        let router = RouterFilter(
            table: table, regexes: table.regexes(ofWorker: 0), pools: [], settings: settings, seed: 1)
        chain = HTTPChain(
            settings: settings, filters: [], router: router, counters: scope, worker: simulation.worker)
        stream = HTTPStream(chain: chain)
        var parser = HTTP1RequestParser()
        ByteSlice.withBytes(of: lines.joined(separator: "\r\n") + "\r\n\r\n") { bytes in
            guard case .complete = parser.parse(bytes, limits: HTTP1Limits(), into: &stream.request) else {
                Issue.record("no request: \(lines)")
                return
            }
            stream.keepHead(bytes)
        }
        stream.hot.value.responseStarted = true
        stream.hot.value.status = .ok
    }

    /// The context, with the times in milliseconds: begun at 1,000, request complete at 1,010, response at 1,030, now
    /// 1,050.
    var context: CommandContext {
        var context = CommandContext(stream)
        context.startedNs = 1_000_000_000
        context.info.requestEndedNs = 1_010_000_000
        context.info.upstreamHeadNs = 1_030_000_000
        context.nowNs = 1_050_999_999
        context.clusterNames = cluster?.names
        unsafe context.ownCluster = cluster
        return context
    }

    func write(_ format: String, _ style: CommandFormat.Style = .text) throws -> String {
        try write(format, style, context)
    }

    func write(_ format: String, _ style: CommandFormat.Style, _ context: CommandContext) throws -> String {
        var commands = CommandFormat()
        try commands.append(format, style)
        return text(of: commands, context)
    }
}

private func text(of format: CommandFormat, _ context: CommandContext) -> String {
    var memory = [UInt8](repeating: 0, count: 100_000)
    let count = unsafe memory.withUnsafeMutableBytes { buffer in
        var out = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
        CommandWriter(format).write(context, to: &out)
        return out.count
    }
    return String(decoding: memory.prefix(count), as: UTF8.self)
}

private func problem(_ format: String) -> ConfigProblem? {
    var commands = CommandFormat()
    do throws(ConfigProblem) {
        try commands.append(format, .text)
        return nil
    } catch {
        return error
    }
}

@Suite("Command operators")
struct CommandOperatorTests {
    @Test(arguments: [
        ("%REQ(:METHOD)%", "GET"), ("%REQ(:PATH)%", "/a?b=c"), ("%REQ(:AUTHORITY)%", "example.com"),
        ("%REQ(host)%", "example.com"), ("%REQ(X-Missing)%", "-"), ("%REQ(X-Missing?:PATH)%", "/a?b=c"),
        ("%REQ(X-Missing?X-Also)%", "-"), ("%REQ(:PATH):4%", "/a?b"), ("%PROTOCOL%", "HTTP/1.1"),
        ("%RESPONSE_CODE%", "200"), ("%RESPONSE_CODE_DETAILS%", "via_upstream"), ("%RESPONSE_FLAGS%", "-"),
        ("%RESPONSE_FLAGS_LONG%", "-"), ("%DURATION%", "50"), ("%REQUEST_DURATION%", "10"),
        ("%RESPONSE_DURATION%", "30"), ("%RESPONSE_TX_DURATION%", "20"), ("%BYTES_RECEIVED%", "0"),
        ("%UPSTREAM_HOST%", "-"), ("%UPSTREAM_CLUSTER%", "-"), ("%ROUTE_NAME%", "-"),
        ("%DYNAMIC_METADATA(a:b)%", "-"), ("%RESP(x)%", "-"), ("%TRAILER(x)%", "-"), ("100%%", "100%"),
        ("a%REQ(:METHOD)%b%PROTOCOL%c", "aGETbHTTP/1.1c"),
    ])
    func write(_ format: String, _ expected: String) throws {
        #expect(try FinishedExchange().write(format) == expected)
    }

    @Test func theFlagNamesWhatWentWrong() throws {
        let exchange = try FinishedExchange()
        for flag in ResponseFlag.allCases where flag != .none {
            exchange.stream.flag = flag
            #expect(try exchange.write("%RESPONSE_FLAGS%") == "\(flag.label)")
            #expect(try exchange.write("%RESPONSE_FLAGS_LONG%") == "\(flag.longLabel)")
            #expect(try exchange.write("%RESPONSE_CODE_DETAILS%") == "\(flag.details)")
        }
        exchange.stream.hot.value.info.details = "bare_line_feed"
        #expect(try exchange.write("%RESPONSE_CODE_DETAILS%") == "bare_line_feed")
    }

    @Test func aRequestWithoutAResponseHasTheCodeZero() throws {
        let exchange = try FinishedExchange()
        exchange.stream.hot.value.responseStarted = false
        #expect(try exchange.write("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%") == "0 -")
    }

    @Test func whatWasNotUnderstoodIsNotRead() throws {
        let exchange = try FinishedExchange()
        exchange.stream.hot.value.info.hasHead = false
        #expect(try exchange.write("%REQ(:METHOD)% %REQ(:PATH)% %REQ(host)% %PROTOCOL%") == "- - - -")
    }

    @Test func endpointsAndTries() throws {
        let exchange = try FinishedExchange()
        let addresses: [(NetworkAddress, String)] = [
            (NetworkAddress(ipv4Bits: 0x0A00_0001, port: 8080), "10.0.0.1:8080"),
            (NetworkAddress(ipv6Bits: 1, port: 81), "[::1]:81"),
            (NetworkAddress(unixPath: try #require(UnixPath("/run/x:1"))), "unix:/run/x:1"),
        ]
        let none = StatsRegistry.Range.unused
        exchange.cluster = Cluster(
            name: "web", endpoints: addresses.map { Endpoint(address: $0, name: $1, weight: 1, stats: none) },
            policy: .random, connectTimeoutNs: 1, connectionsMax: nil, stats: none)
        var context = exchange.context
        context.attempts = 3
        let format =
            "%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT% "
            + "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"
        let expected = [
            "web 10.0.0.1:8080 10.0.0.1 8080 3", "web [::1]:81 ::1 81 3", "web unix:/run/x:1 unix:/run/x:1 - 3",
        ]
        for index in addresses.indices {
            context.info.endpoint = Int32(index)
            #expect(try exchange.write(format, .text, context) == expected[index])
        }
        context.info.transportFailure = .connectRefused
        #expect(try exchange.write("%UPSTREAM_TRANSPORT_FAILURE_REASON%", .text, context) == "connect_refused")
    }

    @Test func addressesOfTheConnection() throws {
        let exchange = try FinishedExchange()
        var context = exchange.context
        let addresses = [
            "%DOWNSTREAM_REMOTE_ADDRESS%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_REMOTE_PORT%",
            "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            "%DOWNSTREAM_DIRECT_REMOTE_PORT%", "%DOWNSTREAM_LOCAL_ADDRESS%", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
            "%DOWNSTREAM_LOCAL_PORT%",
        ].joined(separator: " ")
        #expect(try exchange.write(addresses, .text, context) == "- - - - - - - - -")
        let ends = ConnectionAddresses(
            remote: NetworkAddress(ipv4Bits: 0x7F00_0001, port: 5), local: NetworkAddress(ipv6Bits: 1, port: 6))
        (context.remote, context.local) = (ends.remote, ends.local)
        #expect(
            try exchange.write(addresses, .text, context)
                == "127.0.0.1:5 127.0.0.1 5 127.0.0.1:5 127.0.0.1 5 [::1]:6 ::1 6")
        // An IPv4 client of a dual-stack listener.
        let mapped = ConnectionAddresses(remote: NetworkAddress(ipv6Bits: 0xFFFF_0A00_0001, port: 7), local: nil)
        #expect(mapped.remote?.text.text == "10.0.0.1:7")
        #expect(mapped.remote?.host.text == "10.0.0.1")
        withExtendedLifetime((ends, mapped)) {}
    }

    @Test(arguments: [
        (0, "9.9.9.9", "9.9.9.9"), (0, "1.1.1.1, 2.2.2.2", "2.2.2.2"), (1, "1.1.1.1,2.2.2.2", "1.1.1.1"),
        (1, "1.1.1.1", "127.0.0.1"), (2, "1.1.1.1, , 2.2.2.2,3.3.3.3", "1.1.1.1"), (0, "unknown", "127.0.0.1"),
        (0, "2001:db8::1", "2001:db8::1"),
    ])
    func theClientIsWhoTheTrustedProxiesSay(_ hops: Int, _ header: String, _ expected: String) throws {
        let exchange = try FinishedExchange(["GET / HTTP/1.1", "Host: a", "X-Forwarded-For: \(header)"])
        var context = exchange.context
        context.trustedHops = hops
        let ends = ConnectionAddresses(remote: NetworkAddress(ipv4Bits: 0x7F00_0001, port: 5), local: nil)
        context.remote = ends.remote
        #expect(try exchange.write("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", .text, context) == expected)
        #expect(try exchange.write("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", .text, context) == "127.0.0.1:5")
        withExtendedLifetime(ends) {}
    }

    @Test func responseFieldsTrailersAndMetadataAreNoted() throws {
        let exchange = try FinishedExchange()
        ByteSlice.withBytes(of: "gone") { exchange.stream.takeNotes().set(.response, .other(ByteSlice("x-a")), $0) }
        exchange.stream.takeNotes().set(.trailer, .other(ByteSlice("x-a")), ByteSlice("t"))
        exchange.stream.setMetadata("jwt:sub", ByteSlice("first"))
        exchange.stream.setMetadata("jwt:sub", ByteSlice("alice"))
        #expect(
            try exchange.write("%RESP(X-A)% %TRAILER(x-a)% %DYNAMIC_METADATA(jwt:sub):3% %RESP(X-B?x-a)%")
                == "gone t ali gone")
    }

    @Test func notesAreBounded() {
        let notes = StreamNotes()
        let long = [UInt8](repeating: 0x61, count: 3000)
        ByteSlice.withBytes(of: long) { long in
            notes.set(.metadata, .other(ByteSlice("a:a")), long)
            notes.set(.metadata, .other(ByteSlice("a:b")), long)
            notes.set(.metadata, .other(ByteSlice("a:c")), long)
        }
        #expect(notes.value(.metadata, .other(ByteSlice("a:a")))?.count == 3000)
        #expect(notes.value(.metadata, .other(ByteSlice("a:b")))?.count == StreamNotes.bytesMax - 3006)
        #expect(notes.value(.metadata, .other(ByteSlice("a:c"))) == nil)
        notes.removeAll()
        for number in 0..<100 {
            ByteSlice.withBytes(of: "n:\(number)") { notes.set(.metadata, .other($0), ByteSlice("v")) }
        }
        #expect(notes.value(.metadata, .other(ByteSlice("n:31"))) != nil)
        #expect(notes.value(.metadata, .other(ByteSlice("n:32"))) == nil)
    }

    @Test func valuesAreEscapedForTheirPlace() throws {
        let exchange = try FinishedExchange(["GET / HTTP/1.1", "Host: a", "User-Agent: a\"b\\c\u{e9}\t"])
        #expect(try exchange.write("\"%REQ(USER-AGENT)%\"") == #""a\x22b\x5Cc\xC3\xA9""#)
        #expect(try exchange.write("%REQ(USER-AGENT)%", .jsonText) == #"a\"b\\cé"#)
        #expect(try exchange.write("%REQ(USER-AGENT)%", .jsonValue) == #""a\"b\\cé""#)
        #expect(try exchange.write("%REQ(USER-AGENT)%", .plain) == "a\"b\\cé")
        #expect(try exchange.write("%REQ(X)%", .plain) == "")
        #expect(try exchange.write("%REQ(X)%", .jsonValue) == "null")
        #expect(try exchange.write("%RESPONSE_CODE%", .jsonValue) == "200")
    }

    @Test func valuesHaveAnEnd() throws {
        let long = String(repeating: "x", count: 20_000)
        let exchange = try FinishedExchange(["GET / HTTP/1.1", "Host: a", "X-Long: \(long)"])
        #expect(try exchange.write("%REQ(X-LONG)%").utf8.count == CommandFormat.valueBytesMax)
        #expect(try exchange.write("%REQ(X-LONG):999999%").utf8.count == CommandFormat.valueBytesMax)
        #expect(try exchange.write("%REQ(X-LONG):7%") == "xxxxxxx")
    }
}

@Suite("Formats")
struct FormatTests {
    @Test(
        arguments: [
            ("%RESPONSE_COD%", "unknown operator \"RESPONSE_COD\"", "%RESPONSE_CODE%"),
            ("%NOTHING_LIKE_IT%", "unknown operator", nil),
            ("%DURATION(x)%", "takes no argument", nil),
            ("%DURATION", "does not end with a percent sign", nil),
            ("50%", "begins no operator", nil),
            ("%duration%", "begins no operator", nil),
            ("%REQ%", "takes one or two names", nil),
            ("%REQ(a?b?c)%", "takes one or two names", nil),
            ("%REQ(a b)%", "no header name", nil),
            ("%RESP(:PATH)%", "no header name", nil),
            ("%REQ(a", "has no end", nil),
            ("%REQ(a):0%", "no number from 1", nil),
            ("%REQ(a):x%", "no number from 1", nil),
            ("%START_TIME(%Q)%", "unknown conversion", nil),
            ("%START_TIME(%n)%", "unknown conversion", nil),
            ("%START_TIME(%)%", "unknown conversion", nil),
            ("%DYNAMIC_METADATA(a)%", "needs both", nil),
            ("%ENVIRONMENT%", "needs a name", nil),
        ] as [(String, String, String?)])
    func whatIsWrongIsSaid(_ format: String, _ words: String, _ suggestion: String?) {
        let problem = problem(format)
        #expect(problem?.detail?.contains(words) == true, "\(problem?.detail ?? "no problem")")
        #expect(problem?.suggestion == suggestion)
    }

    @Test func everyOperatorOfTheListIsKnown() {
        let arguments = [
            "REQ": "(a)", "RESP": "(a)", "TRAILER": "(a)", "DYNAMIC_METADATA": "(a:b)", "ENVIRONMENT": "(HOME)",
        ]
        for name in CommandFormat.operatorNames { #expect(problem("%\(name)\(arguments[name] ?? "")%") == nil) }
    }

    @Test func timesAreFormattedInUTC() throws {
        func write(_ argument: String?, _ ns: UInt64) throws -> String {
            var text = ""
            TimeText(try TimeFormat(argument)).write(epochNs: ns) { text += $0.text }
            return text
        }
        let ns: UInt64 = 1_460_751_420_310_020_030  // 2016-04-15T20:17:00.310020030Z
        #expect(try write(nil, ns) == "2016-04-15T20:17:00.310Z")
        #expect(try write("%Y/%m/%dT%H:%M:%S%z", ns) == "2016/04/15T20:17:00+0000")
        #expect(try write("%s.%3f", ns) == "1460751420.310")
        #expect(try write("%f %1f %6f %9f", ns) == "310020030 3 310020 310020030")
        #expect(try write("%%%H%%", ns) == "%20%")
        let text = TimeText(try TimeFormat("%S.%3f"))
        var seen: [String] = []
        for offset in [0, 1, 999_999_999, 1_000_000_000, 0] as [UInt64] {
            var one = ""
            text.write(epochNs: 1_460_751_420_000_000_000 + offset) { one += $0.text }
            seen.append(one)
        }
        #expect(seen == ["00.000", "00.000", "00.999", "01.000", "00.000"])
    }

    @Test func startTimeIsTheWallClock() {
        var clock = WallClock()
        let nowNs = monotonicNowNs()
        let first = clock.epochNs(of: nowNs, nowNs: nowNs)
        // Between the year 2020 and the year 2100.
        #expect((1_577_836_800_000_000_000..<4_102_444_800_000_000_000).contains(first))
        #expect(clock.epochNs(of: nowNs - 5, nowNs: nowNs) == first - 5)
    }
}

@Suite("Lines of access logs")
struct AccessLogFormatTests {
    private func line(_ format: AccessLogFormatConfiguration, _ exchange: FinishedExchange) -> String {
        let diagnostics = Diagnostics(file: "c.yaml")
        let compiled = AccessLogFormat(format, .exchanges, diagnostics)
        #expect(diagnostics.errors.isEmpty)
        return text(of: compiled.commands, exchange.context)
    }

    @Test func theDefaultIsEnvoys() throws {
        let exchange = try FinishedExchange()
        #expect(
            line(.text, exchange).split(separator: " ", maxSplits: 1).last
                == "\"GET /a?b=c HTTP/1.1\" 200 - 0 0 50 - \"-\" \"-\" \"-\" \"example.com\" \"-\"\n")
    }

    @Test func jsonKeepsTypes() throws {
        let exchange = try FinishedExchange()
        let line = line(
            .fields([
                AccessLogField(name: "a\"", value: .text(PlacedText("%RESPONSE_CODE%"))),
                AccessLogField(name: "b", value: .text(PlacedText("%REQ(:METHOD)% \"%REQ(X)%\" %RESPONSE_CODE%"))),
                AccessLogField(
                    name: "c",
                    value: .fields([
                        AccessLogField(name: "d", value: .text(PlacedText("%REQ(X)%"))),
                        AccessLogField(name: "e", value: .text(PlacedText(""))),
                    ])),
            ]), exchange)
        #expect(line == #"{"a\"":200,"b":"GET \"-\" 200","c":{"d":null,"e":""}}"# + "\n")
    }

    @Test func aLineEndsOnce() throws {
        let exchange = try FinishedExchange()
        #expect(line(.custom(PlacedText("%PROTOCOL%")), exchange) == "HTTP/1.1\n")
        #expect(line(.custom(PlacedText("%PROTOCOL%\n")), exchange) == "HTTP/1.1\n")
    }

    @Test func unknownOperatorsAreErrorsWithAPlace() {
        let diagnostics = Diagnostics(file: "c.yaml")
        let place = ConfigOrigin(ConfigPosition(line: 3, column: 7))
        _ = AccessLogFormat(.custom(PlacedText("%DURATON%", origin: place)), .exchanges, diagnostics)
        #expect(
            diagnostics.errors.map(\.description) == [
                "c.yaml:3:7: error: a format is \"%DURATON%\", which has the unknown operator \"DURATON\"; expected "
                    + "\(CommandFormat.expectation) (did you mean \"%DURATION%\"?)"
            ])
    }

    @Test func filtersAdmitWhatFitsOneCondition() throws {
        let exchange = try FinishedExchange()
        func admits(_ filter: AccessLogFilterConfiguration..., status: UInt16 = 200) -> Bool {
            let diagnostics = Diagnostics(file: "c.yaml")
            let filter = AccessLogFilter(filter, diagnostics)
            #expect(diagnostics.errors.isEmpty)
            var context = exchange.context
            context.status = status
            context.flag = .upstreamConnectionFailure
            var random = SplitMix64(seed: 1)
            return filter.admits(context, random: &random)
        }
        #expect(admits())
        #expect(admits(.init(status: 200...299)))
        #expect(!admits(.init(status: 200...299), status: 404))
        #expect(admits(.init(status: 500...599), .init(status: 404...404), status: 404))
        #expect(admits(.init(duration: .milliseconds(50))))
        #expect(!admits(.init(duration: .milliseconds(51))))
        #expect(admits(.init(flags: [PlacedText("UF"), PlacedText("UC")])))
        #expect(!admits(.init(flags: [PlacedText("UC")])))
        #expect(admits(.init(sampling: Percent(partsPerMillion: 1_000_000))))
        #expect(!admits(.init(sampling: Percent(partsPerMillion: 0))))
        #expect(!admits(.init(status: 200...200, flags: [PlacedText("UC")])))
        let diagnostics = Diagnostics(file: "c.yaml")
        _ = AccessLogFilter([.init(flags: [PlacedText("XX")])], diagnostics)
        #expect(diagnostics.errors.first?.problem == "unknown response flag \"XX\"")
    }
}

extension StatsRegistry.Range {
    /// For what counts nothing.
    fileprivate static var unused: StatsRegistry.Range {
        guard let range = try? StatsRegistry(blocks: []).range(for: .init(.cluster, "unused"), count: 1) else {
            preconditionFailure("an empty registry has room")
        }
        return range
    }
}
