import Config
import Engine
import Testing

@testable import Filters

private func hello(_ name: String, _ protocols: String...) -> FirstBytes {
    .hello(
        ClientHello(serverName: Array(name.utf8), applicationProtocols: protocols.map { Array($0.utf8) }))
}

private func verdict(
    _ match: FilterChainMatch, port: UInt16? = 443, source: String? = "10.1.2.3", _ firstBytes: FirstBytes = .unknown
) -> FilterChainMatcher.Verdict {
    FilterChainMatcher(match).verdict(port: port, source: source.flatMap { IPAddress($0) }, firstBytes)
}

@Test func withoutConditionsEverythingFits() {
    #expect(verdict(FilterChainMatch()) == .fits)
    #expect(verdict(FilterChainMatch(), port: nil, source: nil) == .fits)
}

@Test func portAndSourceAreKnownBeforeAnyByte() throws {
    let port = FilterChainMatch(serverNames: [.exact("a.test")], destinationPort: 444)
    #expect(verdict(port) == .not(.destinationPort))
    #expect(verdict(port, port: nil) == .not(.destinationPort), "a Unix socket has none")
    let range = FilterChainMatch(sourceRanges: [try CIDR(parsing: "10.0.0.0/8"), try CIDR(parsing: "::1")])
    #expect(verdict(range) == .fits)
    #expect(verdict(range, source: "11.0.0.1") == .not(.source))
    #expect(verdict(range, source: "::1") == .fits)
    #expect(verdict(range, source: nil) == .not(.source))
}

@Test func namesWaitForTheHello() {
    let match = FilterChainMatch(serverNames: [.exact("a.test"), .subdomains(of: "b.test")])
    #expect(verdict(match) == .needsFirstBytes)
    #expect(verdict(match, .plain) == .not(.transport))
    for name in ["a.test", "x.b.test", "x.y.b.test"] { #expect(verdict(match, hello(name)) == .fits, "\(name)") }
    for name in ["", "b.test", ".b.test", "xb.test", "a.test.", "x.a.test"] {
        #expect(verdict(match, hello(name)) == .not(.serverName), "\(name)")
    }
}

@Test func oneOfTheProtocolsIsEnough() {
    let match = FilterChainMatch(applicationProtocols: ["h2", "x"])
    #expect(verdict(match, hello("", "http/1.1", "x")) == .fits)
    #expect(verdict(match, hello("", "http/1.1")) == .not(.applicationProtocol))
    #expect(verdict(match, hello("")) == .not(.applicationProtocol))
}

@Test func clientsWithTLSAndWithoutAreToldApart() {
    let tls = FilterChainMatch(transport: .tls)
    let raw = FilterChainMatch(transport: .rawBuffer)
    #expect(verdict(tls) == .needsFirstBytes && verdict(raw) == .needsFirstBytes)
    #expect(verdict(tls, hello("")) == .fits && verdict(raw, hello("")) == .not(.transport))
    #expect(verdict(tls, .plain) == .not(.transport) && verdict(raw, .plain) == .fits)
}
