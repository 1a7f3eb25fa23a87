import Testing

@testable import Config

private let fullText = """
    workers: 4
    admin: { address: 127.0.0.1:9901 }
    drain_timeout: 10s
    buffers: { size: 64KiB, max_per_worker: 128MiB }

    listeners:
      - name: postgres
        address: :5432
        max_connections: 1000
        access: { allow: [10.0.0.0/8, "::1"], deny: [10.6.6.0/24] }
        network_filters:
          - sni
          - limit: { rate: 5 }
          - bare:
        tcp: { cluster: pg, idle_timeout: 0, connect_attempts: 3 }
      - name: split
        address: "[::1]:5433"
        tcp:
          weighted: [{ cluster: pg, weight: 90 }, { cluster: canary, weight: 10 }]
      - name: short
        address: unix:/run/pg.sock
        tcp: pg
      - name: filtered
        address: localhost:0
        network_filters: [echo]
      - name: web
        address: 0.0.0.0:8080
        http:
          idle_timeout: 30s
          request_timeout: 5s
          limits: { header_bytes: 16KiB, headers: 50 }
          routes:
            - match: { path: /healthz }
              respond: { status: 204, headers: { x-a: "1", X-B: 2 } }
            - match: { path_prefix: /static/ }
              respond: { status: 200, body: "hello\\n" }
            - match: {}
              respond: { status: 404 }

    clusters:
      - name: pg
        endpoints: ["10.0.0.1:5432", { address: "10.0.0.2:5432", weight: 2 }, unix:/run/db.sock]
        load_balancing: least_connections
        connect_timeout: 1s
        pool: { max_connections: 100 }
      - name: canary
        endpoints: ["[2001:db8::1]:5432", localhost:5432]
        load_balancing: random
    """

private let full = Configuration(
    workers: .fixed(4),
    admin: AdminConfiguration(address: .ip(.v4(0x7F00_0001), port: 9901)),
    drainTimeout: .seconds(10),
    buffers: BufferConfiguration(size: .kibibytes(64), maxPerWorker: .mebibytes(128)),
    listeners: [
        ListenerConfiguration(
            name: "postgres", address: .any(port: 5432), maxConnections: 1000,
            access: AccessConfiguration(allow: [cidr("10.0.0.0/8"), cidr("::1")], deny: [cidr("10.6.6.0/24")]),
            networkFilters: [
                NetworkFilterConfiguration(name: "sni"),
                NetworkFilterConfiguration(
                    name: "limit",
                    config: ConfigNode(
                        .object([ConfigEntry(key: "rate", value: ConfigNode(.scalar(ConfigScalar("5"))))]))),
                NetworkFilterConfiguration(name: "bare"),
            ],
            proxy: .tcp(
                TCPProxyConfiguration(
                    clusters: [WeightedCluster(cluster: ClusterReference("pg"))], idleTimeout: nil, connectAttempts: 3))
        ),
        ListenerConfiguration(
            name: "split", address: .ip(.v6(1), port: 5433),
            proxy: .tcp(
                TCPProxyConfiguration(clusters: [
                    WeightedCluster(cluster: ClusterReference("pg"), weight: 90),
                    WeightedCluster(cluster: ClusterReference("canary"), weight: 10),
                ]))),
        ListenerConfiguration(
            name: "short", address: .unix(path: "/run/pg.sock"),
            proxy: .tcp(TCPProxyConfiguration(cluster: ClusterReference("pg")))),
        ListenerConfiguration(
            name: "filtered", address: .ip(.v4(0x7F00_0001), port: 0),
            networkFilters: [NetworkFilterConfiguration(name: "echo")]),
        ListenerConfiguration(
            name: "web", address: .ip(.v4(0), port: 8080),
            proxy: .http(
                HTTPConfiguration(
                    idleTimeout: .seconds(30), requestTimeout: .seconds(5),
                    limits: HTTPLimits(headerBytes: .kibibytes(16), headers: 50),
                    routes: [
                        DirectResponseRoute(
                            match: .path("/healthz"),
                            response: DirectResponse(
                                status: 204,
                                headers: [
                                    ResponseHeader(name: "x-a", value: "1"), ResponseHeader(name: "X-B", value: "2"),
                                ])),
                        DirectResponseRoute(
                            match: .pathPrefix("/static/"), response: DirectResponse(status: 200, body: "hello\n")),
                        DirectResponseRoute(match: .all, response: DirectResponse(status: 404)),
                    ]))),
    ],
    clusters: [
        ClusterConfiguration(
            name: "pg",
            endpoints: [
                EndpointConfiguration(address: .ip(.v4(0x0A00_0001), port: 5432)),
                EndpointConfiguration(address: .ip(.v4(0x0A00_0002), port: 5432), weight: 2),
                EndpointConfiguration(address: .unix(path: "/run/db.sock")),
            ],
            loadBalancing: .leastRequest, connectTimeout: .seconds(1), pool: PoolConfiguration(maxConnections: 100)),
        ClusterConfiguration(
            name: "canary",
            endpoints: [
                EndpointConfiguration(
                    address: .ip(.v6(0x2001_0DB8_0000_0000_0000_0000_0000_0001), port: 5432)),
                EndpointConfiguration(address: .ip(.v4(0x7F00_0001), port: 5432)),
            ],
            loadBalancing: .random),
    ])

private func cidr(_ text: String) -> CIDR {
    do { return try CIDR(parsing: text) } catch { preconditionFailure("\(text) is no range") }
}

@Test func everyOptionReachesTheModel() {
    #expect(errors(in: fullText) == [])
    #expect(configuration(fullText) == full)
}

@Test func whatIsNotWrittenHasItsDefault() throws {
    let text = """
        listeners: [{ name: l, address: ":1", http: { routes: [{ match: {}, respond: { status: 200 } }] } }]
        clusters: [{ name: c, endpoints: ["10.0.0.1:1"] }]
        """
    let read = try #require(configuration(text))
    #expect(read.workers == .auto)
    #expect(read.admin == nil)
    #expect(read.drainTimeout == .seconds(30))
    #expect(read.buffers == BufferConfiguration(size: .kibibytes(32), maxPerWorker: .mebibytes(64)))
    let listener = try #require(read.listeners.first)
    #expect(listener.maxConnections == nil)
    #expect(listener.access == AccessConfiguration(allow: [], deny: []))
    #expect(listener.networkFilters == [])
    guard case .http(let http) = listener.proxy else {
        Issue.record("no http")
        return
    }
    #expect(http.idleTimeout == .seconds(60))
    #expect(http.requestTimeout == .seconds(15))
    #expect(http.limits == HTTPLimits(headerBytes: .kibibytes(64), headers: 100))
    let cluster = try #require(read.clusters.first)
    #expect(cluster.loadBalancing == .roundRobin)
    #expect(cluster.connectTimeout == .seconds(5))
    #expect(cluster.pool.maxConnections == nil)
    #expect(cluster.endpoints.first?.weight == 1)
    #expect(TCPProxyConfiguration(cluster: ClusterReference("c")).idleTimeout == .hours(1))
    #expect(TCPProxyConfiguration(cluster: ClusterReference("c")).connectAttempts == 1)
}

@Test func jsonSaysTheSame() {
    let yaml = """
        listeners: [{ name: l, address: ":1", tcp: c, max_connections: 5 }]
        clusters: [{ name: c, endpoints: ["10.0.0.1:1"], connect_timeout: 2s }]
        """
    let json = """
        {
        \t"clusters": [{"name":"c","endpoints":["10.0.0.1:1"],"connect_timeout":"2s"}],
        \t"listeners": [{"address":":1","max_connections":5,"name":"l","tcp":{"cluster":"c"}}]
        }
        """
    #expect(configuration(yaml) != nil)
    #expect(configuration(yaml) == configuration(json))
}

@Test func positionsDoNotMakeADifference() {
    #expect(configuration("# moved down\n\n" + fullText) == full)
}

@Test func laterStagesFindThePlaceOfWhatTheyReject() throws {
    let read = try #require(configuration(fullText))
    let postgres = read.listeners[0]
    #expect(postgres.origin.position == ConfigPosition(line: 7, column: 5))
    #expect(postgres.networkFilters.map(\.origin.position.line) == [12, 13, 14])
    #expect(postgres.networkFilters[1].config.position == ConfigPosition(line: 13, column: 16))
    guard case .tcp(let tcp) = postgres.proxy else {
        Issue.record("no tcp")
        return
    }
    #expect(tcp.clusters[0].cluster.origin.position == ConfigPosition(line: 15, column: 21))
    #expect(read.clusters[0].endpoints[1].origin.position == ConfigPosition(line: 42, column: 45))
}

@Test func everyTruncationIsReadOrRefused() {
    for length in 0..<fullText.utf8.count {
        let text = String(decoding: fullText.utf8.prefix(length), as: UTF8.self)
        let loaded = Configuration.load(text: text, file: "c.yaml")
        #expect(loaded.configuration != nil || !loaded.errors.isEmpty)
    }
}

@Test func everyMutationIsReadOrRefused() {
    // The characters that mean something to YAML or to the formats, and some that mean nothing to anybody.
    let alphabet = Array("[]{}:,-?&*#!|>'\"%@`\\ \t\r\n0159.az/_~<".utf8) + [0, 1, 0x7F, 0x80, 0xC3, 0xFF]
    var random = SplitMix64(state: 20_240_607)
    for _ in 0..<1000 {
        var bytes = Array(fullText.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[index] = byte
            case 1: bytes.insert(byte, at: index)
            default: bytes.remove(at: index)
            }
        }
        let loaded = Configuration.load(text: String(decoding: bytes, as: UTF8.self), file: "c.yaml")
        #expect(loaded.configuration != nil || !loaded.errors.isEmpty)
        #expect(loaded.errors.allSatisfy { $0.line >= 1 && $0.column >= 1 })
        #expect(loaded.errors.map(\.position) == loaded.errors.map(\.position).sorted())
    }
}

/// The same numbers in every run.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
