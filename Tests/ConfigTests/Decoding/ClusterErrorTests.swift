import Testing

@testable import Config

private let addressForms = "IP:PORT, [IPv6]:PORT, localhost:PORT or unix:PATH"

@Test(
    arguments: [
        (
            "connect_timeout: 1s",
            [
                "2:5: missing key \"endpoints\" in cluster; expected a list, each item \(addressForms), or an object"
            ]
        ),
        ("endpoints: []", ["3:16: \"endpoints\" has 0 items; expected at least 1"]),
        (
            "endpoints: 10.0.0.1:1",
            [
                "3:16: \"endpoints\" is \"10.0.0.1:1\"; expected a list, each item \(addressForms), or an object"
            ]
        ),
        (
            "endpoints: [\"web:80\", \":1\", [], { weight: 1 }, { address: 10.0.0.1, weight: 0, wait: 1 }]",
            [
                "3:17: an item of \"endpoints\" is \"web:80\", which is a host name; expected \(addressForms)",
                "3:27: an item of \"endpoints\" is \":1\", which has no host; expected \(addressForms) (did you mean \"127.0.0.1:1\"?)",
                "3:33: an item of \"endpoints\" is a list; expected \(addressForms), or an object",
                "3:37: missing key \"address\" in endpoint; expected \(addressForms)",
                "3:63: \"address\" is \"10.0.0.1\", which has no port; expected \(addressForms)",
                "3:81: \"weight\" is \"0\"; expected a whole number from 1 to 1000000",
                "3:84: unknown key \"wait\" in endpoint; expected one of address, weight",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\", \"10.0.0.2:1\", { address: \"10.0.0.1:1\" }, \"127.0.0.1:1\", \"localhost:1\"]",
            [
                "3:56: duplicate endpoint 10.0.0.1:1, first written at 3:17; expected each address once",
                "3:87: duplicate endpoint 127.0.0.1:1, first written at 3:72; expected each address once",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\nload_balancing: least_requests",
            [
                "4:21: \"load_balancing\" is \"least_requests\"; expected one of round_robin, least_request, least_connections, random (did you mean \"least_request\"?)"
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\nload_balancing: maglev\nconnect_timeout: 0\npool: { max_connections: 0, max_idle: 1 }",
            [
                "4:21: \"load_balancing\" is \"maglev\"; expected one of round_robin, least_request, least_connections, random",
                "5:22: \"connect_timeout\" is \"0\", which is out of range; expected a duration from 1ms to 1h, such as 250ms, 5s or 1m",
                "6:30: \"max_connections\" is \"0\"; expected a whole number from 1 to 10000000",
                "6:33: unknown key \"max_idle\" in pool; expected one of max_connections, max_pending, max_requests, max_retries, idle_timeout, max_requests_per_connection, max_connection_duration",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\npool: { max_pending: 0, max_requests: 0, max_retries: -1, idle_timeout: 1, max_requests_per_connection: 0 }",
            [
                "4:26: \"max_pending\" is \"0\"; expected a whole number from 1 to 10000000",
                "4:43: \"max_requests\" is \"0\"; expected a whole number from 1 to 10000000",
                "4:59: \"max_retries\" is \"-1\"; expected a whole number from 0 to 1000000",
                "4:77: \"idle_timeout\" is \"1\", a number without a unit; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
                "4:109: \"max_requests_per_connection\" is \"0\"; expected a whole number from 1 to 10000000",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\nhealth_checks: {}\npanic_threshold: 0",
            [
                "4:5: unknown key \"health_checks\" in cluster; expected one of name, endpoints, load_balancing, connect_timeout, pool, tls, protocol, http2, tcp_keepalive, health_check, outlier_detection, panic_threshold (did you mean \"health_check\"?)",
                "5:22: \"panic_threshold\" is \"0\", a number without %; expected a share from 0% to 100%, such as 1% or 0.5%",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\ntcp_keepalive: { idle: 1500ms, interval: 0, count: 128 }\noutlier_detection: { consecutive_5xx: 0, base_ejection: 1ms, max_ejected: 5, interval: 1s }",
            [
                "4:28: \"idle\" is \"1500ms\"; expected a duration of whole seconds from 1s to 32767s, such as 30s",
                "4:46: \"interval\" is \"0\", which is out of range; expected a duration of whole seconds from 1s to 32767s, such as 30s",
                "4:56: \"count\" is \"128\"; expected a whole number from 1 to 127",
                "5:43: \"consecutive_5xx\" is \"0\"; expected a whole number from 1 to 1000",
                "5:61: \"base_ejection\" is \"1ms\", which is out of range; expected a duration from 100ms to 1d, such as 250ms, 5s or 1m",
                "5:79: \"max_ejected\" is \"5\", a number without %; expected a share from 0% to 100%, such as 1% or 0.5%",
                "5:82: unknown key \"interval\" in outlier_detection; expected one of consecutive_5xx, base_ejection, max_ejection_time, max_ejected",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\nhealth_check: { interval: 1ms, timeout: 0, healthy: 0, unhealthy: 1001, jitter: 10, retries: 1 }",
            [
                "4:19: missing key \"http\" or \"tcp\" in health_check; expected one of them",
                "4:31: \"interval\" is \"1ms\", which is out of range; expected a duration from 10ms to 1d, such as 250ms, 5s or 1m",
                "4:45: \"timeout\" is \"0\", which is out of range; expected a duration from 1ms to 10m, such as 250ms, 5s or 1m",
                "4:57: \"healthy\" is \"0\"; expected a whole number from 1 to 1000",
                "4:71: \"unhealthy\" is \"1001\"; expected a whole number from 1 to 1000",
                "4:85: \"jitter\" is \"10\", a number without %; expected a share from 0% to 100%, such as 1% or 0.5%",
                "4:89: unknown key \"retries\" in health_check; expected one of http, tcp, interval, timeout, healthy, unhealthy, jitter, unhealthy_interval, no_traffic_interval",
            ]
        ),
        (
            "endpoints: [\"10.0.0.1:1\"]\nhealth_check: { http: { expected_statuses: [199, 204-200, 2xx], method: POST }, tcp: { send: \"hex:0\", expect: \"\" } }",
            [
                "4:27: missing key \"path\" in http; expected a path such as /index.html, with or without a query",
                "4:49: an item of \"expected_statuses\" is \"199\"; expected a status from 200 to 599, or a range such as 200-299",
                "4:54: an item of \"expected_statuses\" is \"204-200\", whose end is before its start; expected a status from 200 to 599, or a range such as 200-299",
                "4:63: an item of \"expected_statuses\" is \"2xx\"; expected a status from 200 to 599, or a range such as 200-299",
                "4:77: \"method\" is \"POST\"; expected one of GET, HEAD, OPTIONS",
                "4:85: both \"http\" and \"tcp\" in health_check; expected one of them",
                "4:98: \"send\" is \"hex:0\", which has something else than pairs of hexadecimal digits; expected text of 1 to 1024 bytes, or bytes such as hex:0d0a",
                "4:115: \"expect\" is \"\"; expected text of 1 to 1024 bytes, or bytes such as hex:0d0a",
            ]
        ),
        (
            """
            endpoints: ["10.0.0.1:1"]
            protocol: auto
            http2: { max_concurrent_streams: 0, ping_interval: 1ms }
            """,
            [
                "4:15: without \"tls\" there is no handshake in which a protocol could be chosen; expected http1 or http2",
                "5:38: \"max_concurrent_streams\" is \"0\"; expected a whole number from 1 to 10000",
                "5:56: \"ping_interval\" is \"1ms\", which is out of range; expected 0 for off, or a duration from 1s to 1d, such as 250ms, 5s or 1m",
            ]
        ),
    ] as [(String, [String])])
func aWrongClusterIsExplained(_ keys: String, _ expected: [String]) {
    #expect(errors(inCluster: keys) == expected)
}

@Test func twoClustersShareNoName() {
    let text = """
        listeners: [{ name: l, address: ":1", tcp: a }]
        clusters:
          - { name: a, endpoints: ["10.0.0.1:1"] }
          - { name: a, endpoints: ["10.0.0.1:1"] }
        """
    #expect(errors(in: text) == ["4:13: duplicate cluster name \"a\", first used at 3:13; expected a unique name"])
}

@Test func aClusterWithABadNameIsStillMeant() {
    let text = """
        listeners: [{ name: l, address: ":1", tcp: a b }]
        clusters: [{ name: a b, endpoints: ["10.0.0.1:1"] }]
        """
    #expect(errors(in: text) == ["2:20: \"name\" is \"a b\"; expected 1 to 64 letters, digits, _, . or -"])
}

@Test func clustersWithoutNamesAreNoDuplicates() {
    let cluster = "{ name: , endpoints: [\"10.0.0.1:1\"] }"
    let text = "listeners: [{ name: l, address: \":1\", network_filters: [x] }]\nclusters: [\(cluster), \(cluster)]"
    let problem = "\"name\" is empty; expected 1 to 64 letters, digits, _, . or -"
    #expect(errors(in: text) == ["2:20: \(problem)", "2:59: \(problem)"])
}

@Test func referencesNeedClusters() {
    let listeners = "listeners: [{ name: l, address: \":1\", tcp: a }]\n"
    #expect(errors(in: listeners) == ["1:44: unknown cluster \"a\"; expected a cluster, but there are none"])
    // What stands there may well hold the cluster, once it is a list.
    #expect(
        errors(in: listeners + "clusters: { name: a }") == [
            "2:11: \"clusters\" is an object; expected a list, each item an object"
        ])
}

@Test func clustersMayGoUnused() {
    #expect(
        errors(
            in: """
                listeners: [{ name: l, address: ":1", network_filters: [x] }]
                clusters: [{ name: a, endpoints: ["10.0.0.1:1"] }]
                """) == [])
}
