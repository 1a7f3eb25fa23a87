import Testing

@testable import Config

private func errors(inLog entry: String) -> [String] {
    errors(
        inListener: "address: :1\nhttp:\n  access_log: [\(entry)]\n  routes: [{ match: {}, respond: { status: 200 } }]")
}

private func log(_ entry: String) -> AccessLogConfiguration? {
    let text = document(
        listener:
            "address: :1\nhttp:\n  access_log: [\(entry)]\n  routes: [{ match: {}, respond: { status: 200 } }]")
    return configuration(text)?.listeners.first?.accessLogs.first
}

@Test func readsAccessLogs() {
    #expect(log("{ path: /dev/stdout }") == AccessLogConfiguration(path: "/dev/stdout"))
    #expect(log("{ path: a, format: text }") == AccessLogConfiguration(path: "a"))
    #expect(log("{ path: a, format: json }")?.format == .json)
    #expect(log("{ path: a, format: \"%DURATION%\" }")?.format == .custom(PlacedText("%DURATION%")))
    #expect(
        log("{ path: a, format: { m: \"%REQ(:METHOD)%\", x: { c: \"1\" } } }")?.format
            == .fields([
                AccessLogField(name: "m", value: .text(PlacedText("%REQ(:METHOD)%"))),
                AccessLogField(
                    name: "x", value: .fields([AccessLogField(name: "c", value: .text(PlacedText("1")))])),
            ]))
}

@Test func readsFiltersOfAccessLogs() {
    let whole = AccessLogFilterConfiguration(
        status: 400...599, duration: .seconds(1), flags: [PlacedText("UF")],
        sampling: Percent(partsPerMillion: 10_000))
    #expect(log("{ path: a, filter: { status: 400-599, duration: 1s, flags: [UF], sampling: 1% } }")?.filter == [whole])
    #expect(
        log("{ path: a, filter: [{ status: 5xx }, { status: 404 }] }")?.filter
            == [AccessLogFilterConfiguration(status: 500...599), AccessLogFilterConfiguration(status: 404...404)])
}

@Test func tcpListenersHaveAccessLogsToo() {
    let text = document(
        listener: "address: :1\ntcp: { cluster: web, access_log: [{ path: a }] }",
        clusters: "clusters: [{ name: web, endpoints: [\"10.0.0.1:1\"] }]")
    #expect(configuration(text)?.listeners.first?.accessLogs == [AccessLogConfiguration(path: "a")])
}

@Test(arguments: [
    (
        "{ format: text }",
        "5:20: missing key \"path\" in access log; expected the path of a file, /dev/stdout or /dev/stderr"
    ),
    (
        "{ path: \"\" }", "5:28: \"path\" is \"\"; expected the path of a file, /dev/stdout or /dev/stderr"
    ),
    (
        "{ path: a, format: jsn }",
        "5:39: \"format\" is \"jsn\"; expected text, json, a line with operators such as %START_TIME%, or an object of "
            + "such texts (did you mean \"json\"?)"
    ),
    (
        "{ path: a, format: [x] }",
        "5:39: \"format\" is a list; expected text, json, a line with operators such as %START_TIME%, or an object of "
            + "such texts"
    ),
    ("{ path: a, format: {} }", "5:39: \"format\" has 0 keys; expected 1 to 128"),
    (
        "{ path: a, filter: {} }",
        "5:39: missing key \"status\", \"duration\", \"flags\" or \"sampling\" in filter; expected at least one of them"
    ),
    (
        "{ path: a, filter: { status: 600 } }",
        "5:49: \"status\" is \"600\"; expected a status such as 404, a range such as 400-599, or a class such as 5xx"
    ),
    (
        "{ path: a, filter: { status: 500-400 } }",
        "5:49: \"status\" is \"500-400\", which ends before it begins; expected a status such as 404, a range such as "
            + "400-599, or a class such as 5xx"
    ),
    (
        "{ path: a, fmt: json }",
        "5:31: unknown key \"fmt\" in access log; expected one of path, format, filter"
    ),
])
func whatIsWrongWithAnAccessLogIsSaid(_ entry: String, _ error: String) {
    #expect(errors(inLog: entry) == [error])
}
