import Testing

@testable import Config

private let webCluster = "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]"
private let addressForms = "IP:PORT, [IPv6]:PORT, localhost:PORT, :PORT or unix:PATH"
private let listenerKeys =
    "name, address, max_connections, connection_balance, tcp_keepalive, access, tls, network_filters, tcp, http, "
    + "filter_chains, client_hello_timeout"

@Test(
    arguments: [
        ("tcp: web", ["2:5: missing key \"address\" in listener; expected \(addressForms)"]),
        (
            "adress: :1\ntcp: web",
            [
                "2:5: missing key \"address\" in listener; expected \(addressForms)",
                "3:5: unknown key \"adress\" in listener; expected one of \(listenerKeys) (did you mean \"address\"?)",
            ]
        ),
        (
            "address: web:80\ntcp: web",
            [
                "3:14: \"address\" is \"web:80\", which is a host name; expected \(addressForms)"
            ]
        ),
        (
            "address: :1\ntsl: {}\ntcp: web",
            ["4:5: unknown key \"tsl\" in listener; expected one of \(listenerKeys) (did you mean \"tls\"?)"]
        ),
        (
            "address: :1\nproxy_protocol: off\ntcp: web",
            ["4:5: unknown key \"proxy_protocol\" in listener; expected one of \(listenerKeys)"]
        ),
        (
            "address: :1\nmax_connections: 0\ntcp: web",
            [
                "4:22: \"max_connections\" is \"0\"; expected a whole number from 1 to 10000000"
            ]
        ),
        (
            "address: :1",
            [
                "2:5: missing key \"tcp\" or \"http\" in listener; expected one of them, or \"network_filters\" with one that ends the chain"
            ]
        ),
        (
            "address: :1\ntcp: web\nhttp: { routes: [{ match: {}, respond: { status: 200 } }] }",
            [
                "5:5: both \"tcp\" and \"http\" in listener; expected one of them"
            ]
        ),
        (
            "address: :1\naccess: { alow: [], deny: [] }\ntcp: web",
            [
                "4:15: unknown key \"alow\" in access; expected one of allow, deny (did you mean \"allow\"?)",
                "4:31: \"deny\" has 0 items; expected at least 1",
            ]
        ),
        (
            "address: :1\naccess: { deny: 10.0.0.0/8 }\ntcp: web",
            [
                "4:21: \"deny\" is \"10.0.0.0/8\"; expected a list, each item a range of addresses such as 10.0.0.0/8 or 2001:db8::/32"
            ]
        ),
        ("address: :1\nnetwork_filters: []\ntcp: web", ["4:22: \"network_filters\" has 0 items; expected at least 1"]),
        (
            "address: :1\nnetwork_filters: [{ a: {}, b: {} }, [], \"a b\", { \"c d\": {} }]\ntcp: web",
            [
                "4:23: an item of \"network_filters\" is an object, with 2 keys; expected the name of a filter, or an object with the name as its only key",
                "4:41: an item of \"network_filters\" is a list; expected the name of a filter, or an object with the name as its only key",
                "4:45: an item of \"network_filters\" is \"a b\"; expected 1 to 64 letters, digits, _, . or -",
                "4:54: the name of a filter is \"c d\"; expected 1 to 64 letters, digits, _, . or -",
            ]
        ),
        ("address: :1\ntcp:", ["4:9: \"tcp\" is empty; expected the name of a cluster or an object"]),
        ("address: :1\ntcp: [web]", ["4:10: \"tcp\" is a list; expected the name of a cluster or an object"]),
        (
            "address: :1\ntcp: wbe",
            ["4:10: unknown cluster \"wbe\"; expected the name of a cluster (did you mean \"web\"?)"]
        ),
        ("address: :1\ntcp: { cluster: other }", ["4:21: unknown cluster \"other\"; expected the name of a cluster"]),
        ("address: :1\ntcp: {}", ["4:10: missing key \"cluster\" or \"weighted\" in tcp; expected one of them"]),
        ("address: :1\ntcp: { cluster: }", ["4:21: \"cluster\" is empty; expected the name of a cluster"]),
        (
            "address: :1\ntcp: { cluster: web, weighted: [{ cluster: web, weight: 1 }] }",
            [
                "4:26: both \"cluster\" and \"weighted\" in tcp; expected one of them"
            ]
        ),
        ("address: :1\ntcp: { weighted: [] }", ["4:22: \"weighted\" has 0 items; expected at least 1"]),
        (
            "address: :1\ntcp: { weighted: [{ cluster: web }, { weight: 1 }, { cluster: wep, weight: 1000001 }] }",
            [
                "4:23: missing key \"weight\" in weighted cluster; expected a whole number from 1 to 1000000",
                "4:41: missing key \"cluster\" in weighted cluster; expected the name of a cluster",
                "4:67: unknown cluster \"wep\"; expected the name of a cluster (did you mean \"web\"?)",
                "4:80: \"weight\" is \"1000001\"; expected a whole number from 1 to 1000000",
            ]
        ),
        (
            "address: :1\ntcp: { cluster: web, idle_timeout: 31d, connect_attempts: 11, retry: 1 }",
            [
                "4:40: \"idle_timeout\" is \"31d\", which is out of range; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
                "4:63: \"connect_attempts\" is \"11\"; expected a whole number from 1 to 10",
                "4:67: unknown key \"retry\" in tcp; expected one of cluster, weighted, idle_timeout, connect_attempts, access_log",
            ]
        ),
    ] as [(String, [String])])
func aWrongListenerIsExplained(_ keys: String, _ expected: [String]) {
    #expect(errors(inListener: keys, clusters: webCluster) == expected)
}

@Test(arguments: [
    ("name: a b", ["2:11: \"name\" is \"a b\"; expected 1 to 64 letters, digits, _, . or -"]),
    ("{}", ["2:5: missing key \"name\" in listener; expected 1 to 64 letters, digits, _, . or -"]),
    ("edge", ["2:5: an item of \"listeners\" is \"edge\"; expected an object"]),
])
func aListenerNeedsAName(_ item: String, _ expected: [String]) {
    #expect(errors(in: "listeners:\n  - \(item)").filter { $0.contains("name") || $0.contains("item") } == expected)
}

@Test func twoListenersShareNoName() {
    let text = """
        listeners:
          - { name: edge, address: ":1", network_filters: [x] }
          - { name: other, address: ":2", network_filters: [x] }
          - { name: edge, address: ":3", network_filters: [x] }
        """
    #expect(errors(in: text) == ["4:13: duplicate listener name \"edge\", first used at 2:13; expected a unique name"])
}

@Test(arguments: [
    ("\":1\"", "\":1\"", "listener \"b\" has the address of listener \"a\" at 2:25"),
    ("10.0.0.1:1", "10.0.0.1:1", "listener \"b\" has the address of listener \"a\" at 2:25"),
    ("10.0.0.1:1", "\"[::ffff:10.0.0.1]:1\"", "listener \"b\" has the address of listener \"a\" at 2:25"),
    ("unix:/x", "unix:/x", "listener \"b\" has the address of listener \"a\" at 2:25"),
    ("\":1\"", "0.0.0.0:1", "the address of listener \"b\" includes that of listener \"a\" at 2:25"),
    ("0.0.0.0:1", "\":1\"", "the address of listener \"b\" includes that of listener \"a\" at 2:25"),
    ("\"[::]:1\"", "\":1\"", "the address of listener \"b\" includes that of listener \"a\" at 2:25"),
    ("\":1\"", "\"[::]:1\"", "the address of listener \"b\" includes that of listener \"a\" at 2:25"),
])
func listenersShareNoAddress(_ first: String, _ second: String, _ problem: String) {
    let text = """
        listeners:
          - { name: a, address: \(first), network_filters: [x] }
          - { name: b, address: \(second), network_filters: [x] }
        """
    #expect(errors(in: text) == ["3:25: \(problem); expected an address of its own"])
}

@Test(arguments: [
    ("\":1\"", "\":2\""), ("0.0.0.0:1", "\"[::]:1\""), ("\":1\"", "127.0.0.1:1"), ("\":0\"", "\":0\""),
    ("127.0.0.1:0", "127.0.0.1:0"), ("10.0.0.1:1", "10.0.0.2:1"), ("unix:/x", "unix:/y"),
])
func listenersMayShareWhatTheKernelKeepsApart(_ first: String, _ second: String) {
    let text = """
        listeners:
          - { name: a, address: \(first), network_filters: [x] }
          - { name: b, address: \(second), network_filters: [x] }
        """
    #expect(errors(in: text) == [])
}

@Test func aListenerLeavesTheAdminItsAddress() {
    let text = """
        admin: { address: 127.0.0.1:1 }
        listeners: [{ name: a, address: localhost:1, network_filters: [x] }]
        """
    #expect(
        errors(in: text)
            == ["2:33: listener \"a\" has the address of admin at 1:19; expected an address of its own"])
}
