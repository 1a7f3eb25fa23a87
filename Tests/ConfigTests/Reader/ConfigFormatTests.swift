import Testing

@testable import Config

@Test(arguments: [("0", 0), ("7", 7), ("-5", -5), ("1000", 1000)])
func wholeNumbersAreDecimal(_ text: String, _ number: Int) {
    #expect(read(text, as: .int(in: -10...1000)).value == number)
}

@Test(arguments: [
    "1001", "-11", "+5", "05", "-05", "0x10", "1_0", "1e3", "1.0", "--", "9223372036854775808", "true", "٣",
])
func whatIsNoWholeNumberInRangeIsRefused(_ text: String) {
    #expect(
        read(text, as: .int(in: -10...1000)).errors
            == ["1:4: \"k\" is \"\(text)\"; expected a whole number from -10 to 1000"])
}

@Test func numbersInQuotesAreText() {
    #expect(
        read("\"5\"", as: .int(in: 0...9)).errors
            == ["1:4: \"k\" is \"5\", text in quotes; expected a whole number from 0 to 9"])
    #expect(read("'true'", as: .bool).errors == ["1:4: \"k\" is \"true\", text in quotes; expected true or false"])
}

@Test(arguments: [
    ("yes", " (did you mean \"true\"?)"), ("Off", " (did you mean \"false\"?)"), ("True", " (did you mean \"true\"?)"),
    ("ture", " (did you mean \"true\"?)"), ("1", ""),
])
func onlyTrueAndFalseAreTruthValues(_ text: String, _ hint: String) {
    #expect(read(text, as: .bool).errors == ["1:4: \"k\" is \"\(text)\"; expected true or false\(hint)"])
    #expect(read("true", as: .bool).value == true)
    #expect(read("false", as: .bool).value == false)
}

@Test(arguments: [("x", "x"), ("123", "123"), ("no", "no"), ("\"\"", ""), ("'null'", "null"), ("1.20", "1.20")])
func textIsWhatIsWritten(_ text: String, _ value: String) {
    #expect(read(text, as: .string).value == value)
}

@Test func namesAreShortAndPlain() {
    let longest = String(repeating: "x", count: 64)
    for name in ["a", "A-z_0.9", longest] { #expect(read(name, as: .name).value == name) }
    for name in ["a b", "é", "a/b", "\(longest)x"] {
        #expect(
            read(name, as: .name).errors
                == ["1:4: \"k\" is \"\(name)\"; expected 1 to 64 letters, digits, _, . or -"])
    }
    #expect(read("''", as: .name).errors == ["1:4: \"k\" is \"\"; expected 1 to 64 letters, digits, _, . or -"])
}

@Test func durationsHaveARange() {
    let format = ConfigFormat<TimeSpan>.duration(in: .milliseconds(1) ... .hours(1))
    let expected = "expected a duration from 1ms to 1h, such as 250ms, 5s or 1m"
    #expect(read("1ms", as: format).value == .milliseconds(1))
    #expect(read("60m", as: format).value == .hours(1))
    #expect(read("0", as: format).errors == ["1:4: \"k\" is \"0\", which is out of range; \(expected)"])
    #expect(read("61m", as: format).errors == ["1:4: \"k\" is \"61m\", which is out of range; \(expected)"])
    #expect(read("5", as: format).errors == ["1:4: \"k\" is \"5\", a number without a unit; \(expected)"])
    #expect(read("[]", as: format).errors == ["1:4: \"k\" is a list; \(expected)"])
}

@Test func zeroMayMeanOff() {
    let format = ConfigFormat<TimeSpan?>.durationOrOff(in: .milliseconds(1) ... .hours(1))
    #expect(read("0", as: format).value == .some(nil))
    #expect(read("0s", as: format).value == .some(nil))
    #expect(read("5s", as: format).value == .seconds(5))
    #expect(
        read("2h", as: format).errors
            == [
                "1:4: \"k\" is \"2h\", which is out of range; expected 0 for off, or a duration from 1ms to 1h, such as 250ms, 5s or 1m"
            ])
}

@Test func sizesHaveARange() {
    let format = ConfigFormat<ByteSize>.size(in: .kibibytes(1) ... .mebibytes(1))
    let expected = "expected a size from 1KiB to 1MiB, such as 512B, 16KiB or 1MiB"
    #expect(read("1024", as: format).value == .kibibytes(1))
    #expect(read("1023", as: format).errors == ["1:4: \"k\" is \"1023\", which is out of range; \(expected)"])
    #expect(
        read("16KB", as: format).errors
            == ["1:4: \"k\" is \"16KB\", which has the unknown unit \"KB\"; \(expected) (did you mean \"16KiB\"?)"])
}

@Test func sharesAndAddressesAreFormats() {
    #expect(read("0.5%", as: .percent).value == Percent(partsPerMillion: 5000))
    #expect(read("web:80", as: .address).value == .host("web", port: 80))
    #expect(
        read("web", as: .address).errors
            == ["1:4: \"k\" is \"web\", which has no port; expected HOST:PORT, [IPv6]:PORT, :PORT or unix:PATH"])
}

@Test func choicesSuggestTheNearest() {
    let format = ConfigFormat<Int>.choice(["round_robin": 1, "random": 2])
    #expect(read("random", as: format).value == 2)
    #expect(
        read("round-robbin", as: format).errors
            == ["1:4: \"k\" is \"round-robbin\"; expected one of round_robin, random (did you mean \"round_robin\"?)"])
    #expect(read("maglev", as: format).errors == ["1:4: \"k\" is \"maglev\"; expected one of round_robin, random"])
}

@Test(arguments: [
    (":80", SocketAddress.any(port: 80)), ("0.0.0.0:0", .ip(.v4(0), port: 0)), ("\"[::1]:80\"", .ip(.v6(1), port: 80)),
    ("LocalHost:80", .ip(.v4(0x7F00_0001), port: 80)), ("unix:/x", .unix(path: "/x")),
])
func listenersTakeWhatNeedsNoResolver(_ text: String, _ address: SocketAddress) {
    #expect(read(text, as: .listenAddress).value == address)
    #expect(
        read("web:80", as: .listenAddress).errors
            == [
                "1:4: \"k\" is \"web:80\", which is a host name; expected IP:PORT, [IPv6]:PORT, localhost:PORT, :PORT or unix:PATH"
            ])
}

@Test(arguments: [
    ("web:80", "which is a host name", ""), ("10.0.0.1:0", "which has port 0", ""),
    (":3000", "which has no host", " (did you mean \"127.0.0.1:3000\"?)"),
])
func endpointsAreOneAddressEach(_ text: String, _ detail: String, _ hint: String) {
    #expect(
        read(text, as: .endpointAddress).errors
            == [
                "1:4: \"k\" is \"\(text)\", \(detail); expected IP:PORT, [IPv6]:PORT, localhost:PORT or unix:PATH\(hint)"
            ])
    #expect(read("localhost:1", as: .endpointAddress).value == .ip(.v4(0x7F00_0001), port: 1))
}
