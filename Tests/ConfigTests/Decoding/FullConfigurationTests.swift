import Testing

@testable import Config

private let fullText = """
    workers: 4
    admin: { address: 127.0.0.1:9901 }
    drain_timeout: 10s
    buffers: { size: 64KiB, max_per_worker: 128MiB }
    stats: { max_series: 20000, recent_requests: 100 }
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
        tcp_keepalive: {}
      - name: filtered
        address: localhost:0
        network_filters: [echo]
      - name: web
        address: 0.0.0.0:8080
        http:
          idle_timeout: 30s
          request_timeout: 5s
          request_body_timeout: 0
          request_body_min_rate: 1KiB
          limits: { header_bytes: 16KiB, headers: 50 }
          routes:
            - match: { path: /healthz }
              respond: { status: 204, headers: { x-a: "1", X-B: 2 } }
            - match: {}
              respond: { status: 404 }
      - name: edge
        address: 0.0.0.0:8081
        http:
          use_remote_address: true
          xff_num_trusted_hops: 2
          server_name: edge 1
          stream_idle_timeout: 0
          max_requests_per_connection: 1000
          max_connection_duration: 1h
          limits: { url_bytes: 4KiB, body_bytes: 1MiB }
          normalize_path: false
          merge_slashes: false
          escaped_slashes: reject
          generate_request_id: false
          preserve_external_request_id: true
          always_set_request_id_in_response: true
          filters: [cors, limit: { rate: 5 }, bare: ]
          hosts:
            - domains: [API.example.com, "*.example.com", "[::1]"]
              routes:
                - name: users
                  match:
                    path_prefix: /users/
                    methods: [GET, HEAD]
                    headers: { x-a: one, x-b: present, x-c: { present: false }, x-d: { prefix: a, invert: true } }
                    query: { q: { suffix: z }, debug: present }
                    cookies: { c: { contains: "1" }, d: { exact: present } }
                  weighted: [{ cluster: pg, weight: 3 }, { cluster: canary, weight: 1 }]
                  rewrite: { path_prefix: /, host: inner:8080 }
                  timeout: 5s
                  idle_timeout: 0
                  upgrade: [websocket]
                  retry: { on: [connect-failure, 5xx, 409, 503], attempts: 2, per_try_timeout: 1s, back_off: 10ms, budget: 20% }
                  request_headers: { set: { x-e: "1" }, add: { X-F: "2" }, remove: [x-g] }
                  response_headers: { remove: [server] }
                - { match: { path: /ws }, cluster: pg, upgrade: true, rewrite: { path: /socket }, idle_timeout: 1h }
                - match: { path: /old }
                  redirect: { path: "/new?a=b", host: www.example.com, scheme: https, port: 8443, status: 308 }
            - domains: ["*"]
              routes:
                - { match: { path_prefix: /a }, redirect: { prefix_rewrite: /b, strip_query: true } }
                - { match: {}, cluster: canary, timeout: 0, retry: { on: [reset, refused-stream, gateway-error] } }

    clusters:
      - name: pg
        endpoints: ["10.0.0.1:5432", { address: "10.0.0.2:5432", weight: 2 }, unix:/run/db.sock]
        load_balancing: least_connections
        connect_timeout: 1s
        pool:
          max_connections: 100
          max_pending: 10
          max_requests: 200
          max_retries: 0
          idle_timeout: 0
          max_requests_per_connection: 5000
          max_connection_duration: 10m
        panic_threshold: 0%
        tcp_keepalive: { idle: 2m, interval: 5s, count: 3 }
        outlier_detection: { consecutive_5xx: 3, base_ejection: 10s, max_ejection_time: 1m, max_ejected: 50% }
        health_check:
          tcp: { send: "PING\\r\\n", expect: hex:2b504f4E47 }
          interval: 10s
          unhealthy_interval: 1s
          no_traffic_interval: 1m
          timeout: 500ms
          jitter: 0.5%
          healthy: 3
          unhealthy: 1
      - name: canary
        endpoints: ["[2001:db8::1]:5432", localhost:5432]
        load_balancing: random
        health_check:
          http:
            path: /healthz?full
            method: HEAD
            host: db.example.com:80
            headers: { x-probe: "1" }
            expected_statuses: [200-299, 304]
            retriable_statuses: [429]
            reuse_connection: false
    """

private let full = Configuration(
    workers: .fixed(4),
    admin: AdminConfiguration(address: .ip(.v4(0x7F00_0001), port: 9901)),
    drainTimeout: .seconds(10),
    buffers: BufferConfiguration(size: .kibibytes(64), maxPerWorker: .mebibytes(128)),
    stats: StatsConfiguration(maxSeries: 20000, recentRequests: 100),
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
            name: "short", address: .unix(path: "/run/pg.sock"), tcpKeepAlive: TCPKeepAliveConfiguration(),
            proxy: .tcp(TCPProxyConfiguration(cluster: ClusterReference("pg")))),
        ListenerConfiguration(
            name: "filtered", address: .ip(.v4(0x7F00_0001), port: 0),
            networkFilters: [NetworkFilterConfiguration(name: "echo")]),
        ListenerConfiguration(
            name: "web", address: .ip(.v4(0), port: 8080),
            proxy: .http(
                HTTPConfiguration(
                    idleTimeout: .seconds(30), requestTimeout: .seconds(5),
                    requestBodyTimeout: nil, requestBodyMinRate: .kibibytes(1),
                    limits: HTTPLimits(headerBytes: .kibibytes(16), headers: 50),
                    hosts: [
                        VirtualHostConfiguration(
                            domains: [.any],
                            routes: [
                                RouteConfiguration(
                                    match: RouteMatch(path: .exact("/healthz")),
                                    action: .respond(
                                        DirectResponse(
                                            status: 204,
                                            headers: [
                                                HeaderConfiguration(name: "x-a", value: "1"),
                                                HeaderConfiguration(name: "X-B", value: "2"),
                                            ]))),
                                RouteConfiguration(match: .all, action: .respond(DirectResponse(status: 404))),
                            ])
                    ]))),
        ListenerConfiguration(name: "edge", address: .ip(.v4(0), port: 8081), proxy: .http(fullHTTP)),
    ],
    clusters: [
        ClusterConfiguration(
            name: "pg",
            endpoints: [
                EndpointConfiguration(address: .ip(.v4(0x0A00_0001), port: 5432)),
                EndpointConfiguration(address: .ip(.v4(0x0A00_0002), port: 5432), weight: 2),
                EndpointConfiguration(address: .unix(path: "/run/db.sock")),
            ],
            loadBalancing: .leastRequest, connectTimeout: .seconds(1),
            pool: PoolConfiguration(
                maxConnections: 100, maxPending: 10, maxRequests: 200, maxRetries: 0, idleTimeout: nil,
                maxRequestsPerConnection: 5000, maxConnectionDuration: .minutes(10)),
            tcpKeepAlive: TCPKeepAliveConfiguration(idle: .minutes(2), interval: .seconds(5), count: 3),
            healthCheck: HealthCheckConfiguration(
                question: .tcp(
                    TCPHealthCheckConfiguration(send: Array("PING\r\n".utf8), expect: Array("+PONG".utf8))),
                interval: .seconds(10), unhealthyInterval: .seconds(1), noTrafficInterval: .minutes(1),
                timeout: .milliseconds(500), jitter: Percent(partsPerMillion: 5_000), healthy: 3, unhealthy: 1),
            outlierDetection: OutlierDetectionConfiguration(
                consecutive5xx: 3, baseEjection: .seconds(10), maxEjectionTime: .minutes(1),
                maxEjected: Percent(partsPerMillion: 500_000)),
            panicThreshold: Percent(partsPerMillion: 0)),
        ClusterConfiguration(
            name: "canary",
            endpoints: [
                EndpointConfiguration(
                    address: .ip(.v6(0x2001_0DB8_0000_0000_0000_0000_0000_0001), port: 5432)),
                EndpointConfiguration(address: .ip(.v4(0x7F00_0001), port: 5432)),
            ],
            loadBalancing: .random,
            healthCheck: HealthCheckConfiguration(
                question: .http(
                    HTTPHealthCheckConfiguration(
                        method: .head, path: "/healthz?full", host: "db.example.com:80",
                        headers: [HeaderConfiguration(name: "x-probe", value: "1")],
                        expectedStatuses: [200...299, 304...304], retriableStatuses: [429...429],
                        reusesConnection: false)))),
    ])

private let fullHTTP = HTTPConfiguration(
    useRemoteAddress: true, xffNumTrustedHops: 2, serverName: "edge 1", streamIdleTimeout: nil,
    maxRequestsPerConnection: 1000, maxConnectionDuration: .hours(1),
    limits: HTTPLimits(urlBytes: .kibibytes(4), bodyBytes: .mebibytes(1)),
    paths: PathConfiguration(isNormalized: false, mergesSlashes: false, escapedSlashes: .reject),
    requestID: RequestIDConfiguration(isGenerated: false, preservesExternal: true, isSetInResponse: true),
    filters: [
        HTTPFilterConfiguration(name: "cors"),
        HTTPFilterConfiguration(
            name: "limit",
            config: ConfigNode(.object([ConfigEntry(key: "rate", value: ConfigNode(.scalar(ConfigScalar("5"))))]))),
        HTTPFilterConfiguration(name: "bare"),
    ],
    hosts: [
        VirtualHostConfiguration(
            domains: [.exact("api.example.com"), .subdomains(of: "example.com"), .exact("[::1]")],
            routes: [
                RouteConfiguration(
                    name: "users", match: usersMatch, action: .forward(usersForward),
                    responseHeaders: HeaderEditConfiguration(remove: ["server"])),
                RouteConfiguration(
                    match: RouteMatch(path: .exact("/ws")),
                    action: .forward(
                        ForwardConfiguration(
                            clusters: [WeightedCluster(cluster: ClusterReference("pg"))],
                            rewrite: RewriteConfiguration(path: .whole("/socket")), idleTimeout: .hours(1),
                            upgrade: .any))),
                RouteConfiguration(
                    match: RouteMatch(path: .exact("/old")),
                    action: .redirect(
                        RedirectConfiguration(
                            path: .whole("/new?a=b"), host: "www.example.com", scheme: .https, port: 8443, status: 308))
                ),
            ]),
        VirtualHostConfiguration(
            domains: [.any],
            routes: [
                RouteConfiguration(
                    match: RouteMatch(path: .prefix("/a")),
                    action: .redirect(RedirectConfiguration(path: .prefix("/b"), stripsQuery: true))),
                RouteConfiguration(
                    match: .all,
                    action: .forward(
                        ForwardConfiguration(
                            clusters: [WeightedCluster(cluster: ClusterReference("canary"))], timeout: nil,
                            retry: RetryConfiguration(conditions: [.reset, .refusedStream, .gatewayError])))),
            ]),
    ])

private let usersMatch = RouteMatch(
    path: .prefix("/users/"), methods: ["GET", "HEAD"],
    headers: [
        FieldMatch(name: "x-a", condition: .exact("one")),
        FieldMatch(name: "x-b", condition: .present),
        FieldMatch(name: "x-c", condition: .present, isInverted: true),
        FieldMatch(name: "x-d", condition: .prefix("a"), isInverted: true),
    ],
    query: [FieldMatch(name: "q", condition: .suffix("z")), FieldMatch(name: "debug", condition: .present)],
    cookies: [FieldMatch(name: "c", condition: .contains("1")), FieldMatch(name: "d", condition: .exact("present"))])

private let usersForward = ForwardConfiguration(
    clusters: [
        WeightedCluster(cluster: ClusterReference("pg"), weight: 3),
        WeightedCluster(cluster: ClusterReference("canary"), weight: 1),
    ],
    rewrite: RewriteConfiguration(path: .prefix("/"), host: "inner:8080"), timeout: .seconds(5), idleTimeout: .zero,
    upgrade: .protocols(["websocket"]),
    retry: RetryConfiguration(
        conditions: [.connectFailure, .serverError], statuses: [409, 503], attempts: 2, perTryTimeout: .seconds(1),
        backOff: .milliseconds(10), budget: Percent(partsPerMillion: 200_000)),
    requestHeaders: HeaderEditConfiguration(
        set: [HeaderConfiguration(name: "x-e", value: "1")], add: [HeaderConfiguration(name: "X-F", value: "2")],
        remove: ["x-g"]))

private func cidr(_ text: String) -> CIDR {
    do { return try CIDR(parsing: text) } catch { preconditionFailure("\(text) is no range") }
}

@Test func everyOptionReachesTheModel() {
    #expect(errors(in: fullText) == [])
    #expect(configuration(fullText) == full)
}

@Test func whatIsNotWrittenHasItsDefault() throws {
    let text = """
        listeners: [{ name: l, address: ":1", http: { routes: [{ match: {}, cluster: c }] } }]
        clusters: [{ name: c, endpoints: ["10.0.0.1:1"] }]
        """
    let read = try #require(configuration(text))
    #expect(read.workers == .auto)
    #expect(read.admin == nil)
    #expect(read.drainTimeout == .seconds(30))
    #expect(read.buffers == BufferConfiguration(size: .kibibytes(32), maxPerWorker: .mebibytes(64)))
    #expect(read.stats == StatsConfiguration(maxSeries: 500_000, recentRequests: 2048))
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
    #expect(http.requestBodyTimeout == .seconds(20) && http.requestBodyMinRate == ByteSize(bytes: 500))
    #expect(
        http.limits
            == HTTPLimits(headerBytes: .kibibytes(64), headers: 100, urlBytes: .kibibytes(8), bodyBytes: nil))
    #expect(!http.useRemoteAddress && http.xffNumTrustedHops == 0)
    #expect(http.serverName == "ringway")
    #expect(http.streamIdleTimeout == .minutes(5))
    #expect(http.maxRequestsPerConnection == nil)
    #expect(http.paths == PathConfiguration(isNormalized: true, mergesSlashes: true, escapedSlashes: .keep))
    #expect(
        http.requestID == RequestIDConfiguration(isGenerated: true, preservesExternal: false, isSetInResponse: false))
    #expect(http.filters == [])
    let route = try #require(http.hosts.first?.routes.first)
    #expect(http.hosts.map(\.domains) == [[.any]])
    #expect(route.name == nil && route.responseHeaders == HeaderEditConfiguration())
    guard case .forward(let forward) = route.action else {
        Issue.record("no forwarding")
        return
    }
    #expect(forward == ForwardConfiguration(cluster: ClusterReference("c")))
    #expect(forward.timeout == .seconds(15) && forward.idleTimeout == nil)
    #expect(forward.upgrade == .none && forward.retry == nil)
    #expect(forward.rewrite == RewriteConfiguration() && forward.requestHeaders == HeaderEditConfiguration())
    let cluster = try #require(read.clusters.first)
    #expect(cluster.loadBalancing == .roundRobin)
    #expect(cluster.connectTimeout == .seconds(5))
    #expect(
        cluster.pool
            == PoolConfiguration(
                maxConnections: nil, maxPending: 1024, maxRequests: nil, maxRetries: 3, idleTimeout: .seconds(60),
                maxRequestsPerConnection: nil))
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
    #expect(read.clusters[0].endpoints[1].origin.position == ConfigPosition(line: 85, column: 45))
    guard case .http(let http) = read.listeners[5].proxy, case .forward(let forward) = http.hosts[0].routes[0].action
    else {
        Issue.record("no http")
        return
    }
    #expect(http.filters.map(\.origin.position) == [17, 23, 43].map { ConfigPosition(line: 56, column: $0) })
    #expect(http.hosts.map(\.origin.position.line) == [58, 78])
    #expect(http.hosts[0].routes.map(\.origin.position.line) == [60, 75, 76])
    #expect(forward.clusters[1].cluster.origin.position == ConfigPosition(line: 67, column: 65))
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
