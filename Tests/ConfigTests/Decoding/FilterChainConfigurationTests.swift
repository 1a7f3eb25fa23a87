import Testing

@testable import Config

private let clusters = "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]\n"
private let tls = "tls: { certificates: [{ cert: a.pem, key: a.key }] }"

private func errors(inChains chains: String...) -> [String] {
    errors(
        inListener: "address: :1\nfilter_chains:\n" + chains.map { "  - { \($0) }\n" }.joined(), clusters: clusters)
}

@Test func filterChainsAreReadInTheirOrder() throws {
    let text = document(
        listener: """
            address: :1
            client_hello_timeout: 2s
            filter_chains:
              - name: database
                match: { server_names: [DB.example.com, "*.db.example.com"], source_ranges: [10.0.0.0/8] }
                tcp: web
              - match: { application_protocols: [h2], transport_protocol: tls, destination_port: 443 }
                \(tls)
                network_filters: [x]
              - { tcp: web }
            """, clusters: clusters)
    let listener = try #require(configuration(text)?.listeners.first)
    #expect(listener.clientHelloTimeout == .seconds(2))
    #expect(listener.proxy == nil && listener.tls == nil)
    let chains = listener.chains
    try #require(chains.count == 3)
    #expect(chains[0].name == "database")
    #expect(chains[0].match.serverNames == [.exact("db.example.com"), .subdomains(of: "db.example.com")])
    #expect(chains[0].match.sourceRanges.map(\.description) == ["10.0.0.0/8"])
    #expect(chains[0].tls == nil)
    #expect(
        chains[1].match
            == FilterChainMatch(applicationProtocols: ["h2"], transport: .tls, destinationPort: 443))
    #expect(chains[1].tls != nil && chains[1].networkFilters.map(\.name) == ["x"])
    #expect(chains[2].match.isAny && chains[2].proxy != nil)
}

@Test func aListenerWithoutChainsHasOne() throws {
    let listener = try #require(
        configuration(document(listener: "address: :1\n\(tls)\ntcp: web", clusters: clusters))?.listeners.first)
    #expect(listener.filterChains.isEmpty)
    #expect(listener.chains == [FilterChainConfiguration(tls: listener.tls, proxy: listener.proxy)])
}

@Test(
    arguments: [
        (["tcp: web", "tcp: web"], ["6:9: the filter chain has the same match as the one at 5:9; expected the chain"]),
        (
            ["match: {}, tcp: web", "match: { server_names: [a.test] }, tcp: web"],
            ["6:9: no connection reaches the filter chain: the one at 5:9 comes first and takes all of its own"]
        ),
        (
            [
                "match: { server_names: [\"*.test\"] }, tcp: web",
                "match: { server_names: [a.b.test, \"*.c.test\"] }, tcp: web",
            ],
            ["6:9: no connection reaches"]
        ),
        (
            [
                "match: { source_ranges: [10.0.0.0/8] }, tcp: web",
                "match: { source_ranges: [10.1.0.0/16], destination_port: 1 }, tcp: web",
            ], ["6:9: no connection reaches"]
        ),
        (
            ["match: { transport_protocol: tls }, tcp: web", "match: { server_names: [a.test] }, tcp: web"],
            ["6:9: no connection reaches"]
        ),
        (
            ["name: x, tcp: web, match: { destination_port: 1 }", "name: x, tcp: web"],
            ["6:9: duplicate filter chain name \"x\", first used at 5:9; expected a unique name"]
        ),
        (["match: {}"], ["5:9: missing key \"tcp\" or \"http\" in filter chain; expected one of them, or"]),
        (
            ["match: { server_name: [a.test] }, tcp: web"],
            ["5:20: unknown key \"server_name\" in match; expected one of server_names, application_protocols"]
        ),
        (["match: { server_names: [\"*\"] }, tcp: web"], ["which is every name: leave \"server_names\" out"]),
        (["match: { server_names: [10.0.0.1] }, tcp: web"], ["an address, which is never sent as a name"]),
        (["match: { server_names: [] }, tcp: web"], ["\"server_names\" has 0 items; expected at least 1"]),
        (
            ["match: { transport_protocol: raw_buffer, server_names: [a.test] }, tcp: web"],
            ["names or protocols beside `transport_protocol: raw_buffer`; expected one of them"]
        ),
        (
            ["match: { transport_protocol: raw_buffer }, tcp: web, \(tls)"],
            ["`tls` in a chain for clients that speak none"]
        ),
        (["match: { destination_port: 0 }, tcp: web"], ["\"destination_port\" is \"0\"; expected"]),
        (["tcp: webb"], ["unknown cluster \"webb\"; expected the name of a cluster (did you mean \"web\"?)"]),
    ] as [([String], [String])])
func aChainThatCannotBeIsAnError(_ chains: [String], _ expected: [String]) {
    let found = errors(
        inListener: "address: :1\nfilter_chains:\n" + chains.map { "  - { \($0) }\n" }.joined(), clusters: clusters)
    #expect(found.count == expected.count, "\(found)")
    for (found, expected) in zip(found, expected) { #expect(found.contains(expected), "\(found)") }
}

@Test func chainsAreOfTheirOwnKeysOnly() {
    let found = errors(
        inListener: "address: :1\n\(tls)\ntcp: web\nfilter_chains: [{ tcp: web }]", clusters: clusters)
    #expect(found.count == 2)
    #expect(found.allSatisfy { $0.contains("both \"filter_chains\" and") }, "\(found)")
    #expect(
        errors(inListener: "address: :1\nclient_hello_timeout: 1s\ntcp: web", clusters: clusters)
            .first?.contains("\"client_hello_timeout\" without \"filter_chains\"") == true)
}

@Test func whatDiffersInOneConditionIsReachable() {
    #expect(
        errors(
            inChains: "match: { server_names: [a.test] }, tcp: web",
            "match: { server_names: [\"*.a.test\"] }, tcp: web",
            "match: { application_protocols: [h2] }, tcp: web", "match: { source_ranges: [10.0.0.0/8] }, tcp: web",
            "match: { destination_port: 1 }, tcp: web", "match: { transport_protocol: tls }, tcp: web",
            "tcp: web") == [])
}
