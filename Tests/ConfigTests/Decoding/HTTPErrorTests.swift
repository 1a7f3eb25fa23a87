import Testing

@testable import Config

private let answer = "routes: [{ match: {}, respond: { status: 200 } }]"

private func errors(inHTTP text: String) -> [String] {
    errors(inListener: "address: :1\nhttp:\n\(text.indented(by: 2))")
}

@Test(
    arguments: [
        ("idle_timeout: 1s", ["5:7: missing key \"routes\" or \"hosts\" in http; expected one of them"]),
        ("routes: []", ["5:15: \"routes\" has 0 items; expected at least 1"]),
        (
            "host: []\n\(answer)",
            [
                "5:7: unknown key \"host\" in http; expected one of use_remote_address, xff_num_trusted_hops, server_name, idle_timeout, request_timeout, request_body_timeout, request_body_min_rate, stream_idle_timeout, max_requests_per_connection, max_connection_duration, limits, http2, normalize_path, merge_slashes, escaped_slashes, generate_request_id, preserve_external_request_id, always_set_request_id_in_response, pack_trace_reason, internal_addresses, tracing, access_log, filters, routes, hosts (did you mean \"hosts\"?)"
            ]
        ),
        (
            "idle_timeout: 5\nrequest_timeout: 25h\nstream_idle_timeout: 31d\n\(answer)",
            [
                "5:21: \"idle_timeout\" is \"5\", a number without a unit; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
                "6:24: \"request_timeout\" is \"25h\", which is out of range; expected 0 for off, or a duration from 1ms to 1d, such as 250ms, 5s or 1m",
                "7:28: \"stream_idle_timeout\" is \"31d\", which is out of range; expected 0 for off, or a duration from 1ms to 30d, such as 250ms, 5s or 1m",
            ]
        ),
        (
            "request_body_timeout: 1\nrequest_body_min_rate: 0\n\(answer)",
            [
                "5:29: \"request_body_timeout\" is \"1\", a number without a unit; expected 0 for off, or a duration from 1ms to 1d, such as 250ms, 5s or 1m",
                "6:30: \"request_body_min_rate\" is \"0\", which is out of range; expected a size from 1B to 1GiB, such as 512B, 16KiB or 1MiB",
            ]
        ),
        (
            "use_remote_address: yes\nxff_num_trusted_hops: 17\nmax_requests_per_connection: 0\n\(answer)",
            [
                "5:27: \"use_remote_address\" is \"yes\"; expected true or false (did you mean \"true\"?)",
                "6:29: \"xff_num_trusted_hops\" is \"17\"; expected a whole number from 0 to 16",
                "7:36: \"max_requests_per_connection\" is \"0\"; expected a whole number from 1 to 10000000",
            ]
        ),
        (
            "server_name: \"\"\n\(answer)",
            ["5:20: \"server_name\" is \"\"; expected text of 1 to 128 bytes for a header"]
        ),
        (
            "server_name: \"a\\r\\nb: c\"\n\(answer)",
            ["5:20: \"server_name\" is \"a\\r\\nb: c\"; expected text of 1 to 128 bytes for a header"]
        ),
        (
            "normalize_path: off\nmerge_slashes: 1\nescaped_slashes: decode\n\(answer)",
            [
                "5:23: \"normalize_path\" is \"off\"; expected true or false (did you mean \"false\"?)",
                "6:22: \"merge_slashes\" is \"1\"; expected true or false",
                "7:24: \"escaped_slashes\" is \"decode\"; expected one of keep, unescape, reject",
            ]
        ),
        (
            "generate_request_id: 1\npreserve_external_request_id: 1\nalways_set_request_id_in_response: 1\n\(answer)",
            [
                "5:28: \"generate_request_id\" is \"1\"; expected true or false",
                "6:37: \"preserve_external_request_id\" is \"1\"; expected true or false",
                "7:42: \"always_set_request_id_in_response\" is \"1\"; expected true or false",
            ]
        ),
        (
            "limits: { header_bytes: 1, headers: 0, url_bytes: 1, body_bytes: 0, body: 1 }\n\(answer)",
            [
                "5:31: \"header_bytes\" is \"1\", which is out of range; expected a size from 1KiB to 1MiB, such as 512B, 16KiB or 1MiB",
                "5:43: \"headers\" is \"0\"; expected a whole number from 1 to 10000",
                "5:57: \"url_bytes\" is \"1\", which is out of range; expected a size from 256B to 1MiB, such as 512B, 16KiB or 1MiB",
                "5:72: \"body_bytes\" is \"0\", which is out of range; expected a size from 1B to 16TiB, such as 512B, 16KiB or 1MiB",
                "5:75: unknown key \"body\" in limits; expected one of header_bytes, headers, url_bytes, body_bytes, buffer_bytes",
            ]
        ),
        (
            "filters: []\n\(answer)", ["5:16: \"filters\" has 0 items; expected at least 1"]
        ),
        (
            "filters: [{}, { a: {}, b: {} }, [], \"a b\"]\n\(answer)",
            [
                "5:17: an item of \"filters\" is an object, with 0 keys; expected the name of a filter, or an object with the name as its only key",
                "5:21: an item of \"filters\" is an object, with 2 keys; expected the name of a filter, or an object with the name as its only key",
                "5:39: an item of \"filters\" is a list; expected the name of a filter, or an object with the name as its only key",
                "5:43: an item of \"filters\" is \"a b\"; expected 1 to 64 letters, digits, _, . or -",
            ]
        ),
    ] as [(String, [String])])
func wrongHTTPIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inHTTP: text) == expected)
}

@Test(
    arguments: [
        ("hosts: []", ["5:14: \"hosts\" has 0 items; expected at least 1"]),
        (
            "\(answer)\nhosts: [{ domains: [a.com], \(answer) }]",
            ["6:7: both \"routes\" and \"hosts\" in http; expected one of them"]
        ),
        (
            "hosts: [{ domain: a.com }]",
            [
                "5:15: missing key \"domains\" in host; expected a list, each item a domain such as www.example.com, *.example.com or *, whatever the port",
                "5:15: missing key \"routes\" in host; expected a list, each item an object",
                "5:17: unknown key \"domain\" in host; expected one of domains, routes (did you mean \"domains\"?)",
            ]
        ),
        ("hosts: [{ domains: [], \(answer) }]", ["5:26: \"domains\" has 0 items; expected at least 1"]),
        (
            "hosts: [{ domains: [a.com, \"*\", \"*.b.com\"], \(answer) }, { domains: [A.com, \"*\", \"*.B.com\", b.com], \(answer) }]",
            [
                "5:116: duplicate domain \"a.com\", first written at 5:27; expected each domain once",
                "5:123: duplicate domain \"*\", first written at 5:34; expected each domain once",
                "5:128: duplicate domain \"*.b.com\", first written at 5:39; expected each domain once",
            ]
        ),
    ] as [(String, [String])])
func wrongHostsAreExplained(_ text: String, _ expected: [String]) {
    #expect(errors(inHTTP: text) == expected)
}

@Test(
    arguments: [
        ("a.com:80", "which has a port", nil), ("[::1]:80", "which has a port", nil),
        ("*a.com", "which has a * elsewhere than in front of a dot", nil),
        ("a.*", "which has a * elsewhere than in front of a dot", nil),
        ("*.*.com", "which has characters that host names do not have", nil),
        ("*.", "which has no host", nil), ("\"\"", "which has no host", nil),
        ("a..com", "which has a dot too many", nil),
        ("a.com.", "which has a dot too many", nil), (".com", "which has a dot too many", nil),
        ("a b", "which has characters that host names do not have", nil),
        ("é.com", "which has characters that host names do not have", nil),
        ("\"::1\"", "an IPv6 address, which goes in brackets", "[::1]"),
        ("\"[::g]\"", "which has no valid IPv6 address in its brackets", nil), ("\"[::1]x\"", nil, nil),
    ] as [(String, String?, String?)])
func badDomainsSayWhy(_ domain: String, _ detail: String?, _ suggestion: String?) {
    let text = domain.replacing("\"", with: "").replacing("\"", with: "")
    let quoted = domain.hasPrefix("\"") ? domain : "\"\(domain)\""
    let expectation = "a domain such as www.example.com, *.example.com or *, whatever the port"
    #expect(
        errors(inHTTP: "hosts: [{ domains: [\(quoted)], \(answer) }]") == [
            "5:27: an item of \"domains\" is \"\(text)\"\(detail.map { ", \($0)" } ?? ""); expected \(expectation)"
                + (suggestion.map { " (did you mean \"\($0)\"?)" } ?? "")
        ])
}

@Test func namesOfHostsAreBounded() {
    let label = String(repeating: "a", count: DomainPattern.bytesMax)
    #expect(errors(inHTTP: "hosts: [{ domains: [\(label)], \(answer) }]") == [])
    #expect(
        errors(inHTTP: "hosts: [{ domains: [\(label)a], \(answer) }]").first?.contains("longer than 253 bytes") == true)
}
