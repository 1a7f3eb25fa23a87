import Testing

@testable import Config

@Test(arguments: [
    ("0.0.0.0", 0), ("10.0.0.1", 0x0A00_0001), ("255.255.255.255", 0xFFFF_FFFF), ("127.0.0.1", 0x7F00_0001),
])
func ipv4IsFourOctets(_ text: String, _ bits: UInt32) {
    #expect(IPAddress(text) == .v4(bits))
    #expect(IPAddress.v4(bits).description == text)
}

@Test(
    arguments: [
        ("::", 0, "::"), ("::1", 1, "::1"), ("1::", 1 << 112, "1::"),
        ("2001:db8::1", 0x2001_0DB8_0000_0000_0000_0000_0000_0001, "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", 0x2001_0DB8_0000_0000_0000_0000_0000_0001, "2001:db8::1"),
        ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004_0005_0006_0007_0008, "1:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", 0x0001_0002_0003_0004_0005_0006_0007_0000, "1:2:3:4:5:6:7:0"),
        ("::ffff:10.0.0.1", 0xFFFF_0A00_0001, "::ffff:10.0.0.1"),
        ("64:ff9b::192.0.2.33", 0x0064_FF9B_0000_0000_0000_0000_C000_0221, "64:ff9b::c000:221"),
        ("1:0:0:2:0:0:0:3", 0x0001_0000_0000_0002_0000_0000_0000_0003, "1:0:0:2::3"),
        ("1:0:0:2:3:0:0:4", 0x0001_0000_0000_0002_0003_0000_0000_0004, "1::2:3:0:0:4"),
    ] as [(String, UInt128, String)])
func ipv6TakesTheFormsOfRFC4291(_ text: String, _ bits: UInt128, _ canonical: String) {
    #expect(IPAddress(text) == .v6(bits))
    #expect(IPAddress.v6(bits).description == canonical)
}

@Test(arguments: [
    "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4",
    "1..2.3",
    "0x7f.0.0.1", "１.2.3.4", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8", ":1::", "1:", "1::2:", "fe80::1%eth0", "[::1]", "::1/128", "::1.2.3", "1.2.3.4::",
    "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4",
])
func whatIsNoAddressIsRefused(_ text: String) {
    #expect(IPAddress(text) == nil)
}

@Test func mappedAddressesCountAsIPv4() {
    #expect(IPAddress("::ffff:10.0.0.1")?.unmapped == IPAddress("10.0.0.1"))
    #expect(IPAddress("::10.0.0.1")?.unmapped == IPAddress("::a00:1"))
}

@Test(arguments: [
    ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("10.6.6.6", "10.6.6.6/32"), ("::/0", "::/0"),
    ("10.6.6.6/32", "10.6.6.6/32"), ("2001:db8::/32", "2001:db8::/32"), ("::1", "::1/128"), ("::1/128", "::1/128"),
])
func rangesAreNetworkAndPrefix(_ text: String, _ canonical: String) throws {
    #expect(try CIDR(parsing: text).description == canonical)
}

@Test(arguments: [
    ("10.0.0.1/8", ConfigProblem("which has host bits set", suggestion: "10.0.0.0/8")),
    ("2001:db8::1/32", ConfigProblem("which has host bits set", suggestion: "2001:db8::/32")),
    ("1.2.3.4/0", ConfigProblem("which has host bits set", suggestion: "0.0.0.0/0")),
    ("::ffff:10.0.0.0/104", ConfigProblem("an IPv4 range written as IPv6", suggestion: "10.0.0.0/8")),
    ("::ffff:10.0.0.1", ConfigProblem("an IPv4 range written as IPv6", suggestion: "10.0.0.1/32")),
    ("10.0.0.0/33", ConfigProblem("which has no prefix length from 0 to 32 after the /")),
    ("::/129", ConfigProblem("which has no prefix length from 0 to 128 after the /")),
    ("10.0.0.0/", ConfigProblem("which has no prefix length from 0 to 32 after the /")),
    ("10.0.0.0/08", ConfigProblem("which has no prefix length from 0 to 32 after the /")),
    ("10.0.0.0/-1", ConfigProblem("which has no prefix length from 0 to 32 after the /")),
    ("10.0.0.0/8/8", ConfigProblem("which has no prefix length from 0 to 32 after the /")),
    ("10.0.0/8", ConfigProblem("which has no valid IP address before the /")),
    ("web", ConfigProblem()), ("", ConfigProblem()),
])
func badRangesSayWhy(_ text: String, _ problem: ConfigProblem) {
    #expect(throws: problem) { try CIDR(parsing: text) }
}

@Test(arguments: [
    ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.0/8", "::ffff:10.0.0.1", true),
    ("10.0.0.0/8", "::a00:1", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
    ("::/0", "::1", true), ("::/0", "1.2.3.4", false), ("2001:db8::/32", "2001:db8:ffff::", true),
    ("2001:db8::/32", "2001:db9::", false), ("10.6.6.6", "10.6.6.6", true), ("10.6.6.6", "10.6.6.7", false),
])
func rangesContainTheirOwnFamilyOnly(_ range: String, _ address: String, _ isInside: Bool) throws {
    #expect(try CIDR(parsing: range).contains(#require(IPAddress(address))) == isInside)
}

@Test(
    arguments: [
        ("10.0.0.1:80", .ip(.v4(0x0A00_0001), port: 80)), ("[::1]:80", .ip(.v6(1), port: 80)), (":80", .any(port: 80)),
        ("[::]:0", .ip(.v6(0), port: 0)), ("web.internal:80", .host("web.internal", port: 80)),
        ("localhost:80", .host("localhost", port: 80)), ("my_service:65535", .host("my_service", port: 65535)),
        ("unix:/run/x.sock", .unix(path: "/run/x.sock")), ("unix:a:b", .unix(path: "a:b")),
    ] as [(String, SocketAddress)])
func addressesHaveFourForms(_ text: String, _ address: SocketAddress) throws {
    #expect(try SocketAddress(parsing: text) == address)
    #expect(address.description == text)
}

@Test(arguments: [
    ("10.0.0.1", ConfigProblem("which has no port")), ("10.0.0.1:", ConfigProblem("which has no port")),
    ("[::1]", ConfigProblem("which has no port")), (":", ConfigProblem("which has no port")),
    ("", ConfigProblem("which has no port")),
    ("::1:80", ConfigProblem("which has several colons: an IPv6 address goes in brackets")),
    ("http://10.0.0.1:80", ConfigProblem("which has several colons: an IPv6 address goes in brackets")),
    ("[::1:80", ConfigProblem("which has no ] before the port")),
    ("[::1]x:80", ConfigProblem("which has no ] before the port")),
    ("[::g]:80", ConfigProblem("which has no valid IPv6 address in its brackets")),
    ("[10.0.0.1]:80", ConfigProblem("which has no valid IPv6 address in its brackets")),
    ("[]:80", ConfigProblem("which has no valid IPv6 address in its brackets")),
    ("10.0.0.1:65536", ConfigProblem("which has no port from 0 to 65535")),
    ("10.0.0.1:http", ConfigProblem("which has no port from 0 to 65535")),
    ("10.0.0.1:080", ConfigProblem("which has no port from 0 to 65535")),
    ("10.0.0.1:+80", ConfigProblem("which has no port from 0 to 65535")),
    ("10.0.0:80", ConfigProblem("which has no valid IP address")),
    ("10.0.0.300:80", ConfigProblem("which has no valid IP address")),
    ("web..internal:80", ConfigProblem("which has no valid host")),
    ("-web:80", ConfigProblem("which has no valid host")),
    ("we b:80", ConfigProblem("which has no valid host")), ("*:80", ConfigProblem(suggestion: ":80")),
    ("unix:", ConfigProblem("which has no path")), ("unix:a\0b", ConfigProblem("which has a NUL in its path")),
])
func badAddressesSayWhy(_ text: String, _ problem: ConfigProblem) {
    #expect(throws: problem) { try SocketAddress(parsing: text) }
}

@Test func unixPathsEndAt107Bytes() throws {
    let path = "/" + String(repeating: "x", count: 106)
    #expect(try SocketAddress(parsing: "unix:\(path)") == .unix(path: path))
    #expect(throws: ConfigProblem("which has a path of 108 bytes, 107 are possible")) {
        try SocketAddress(parsing: "unix:\(path)x")
    }
}

@Test func hostNamesEndAt253Bytes() throws {
    let label = String(repeating: "a", count: 63)
    let name = [label, label, label, String(repeating: "a", count: 61)].joined(separator: ".")
    #expect(try SocketAddress(parsing: "\(name):1") == .host(name, port: 1))
    #expect(throws: ConfigProblem("which has no valid host")) { try SocketAddress(parsing: "\(name)a:1") }
    #expect(throws: ConfigProblem("which has no valid host")) { try SocketAddress(parsing: "\(label)a:1") }
}
