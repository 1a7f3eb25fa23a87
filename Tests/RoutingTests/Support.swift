import Config
import Filters
import HTTP
import Testing

/// The table of a listener whose `http:` says this.
func table(_ http: String, clusterNames: [String] = [], sourceLocation: SourceLocation = #_sourceLocation) -> RouteTable
{
    let text =
        "listeners:\n  - name: l\n    address: :1\n    http:\n"
        + http.split(separator: "\n").map { "      \($0)\n" }.joined()
        + "clusters:\n" + ["a", "b", "c"].map { "  - { name: \($0), endpoints: [\"10.0.0.1:1\"] }\n" }.joined()
    let loaded = Configuration.load(text: text, file: "t.yaml")
    for error in loaded.errors { Issue.record("\(error)", sourceLocation: sourceLocation) }
    guard loaded.errors.isEmpty, case .http(let http) = loaded.configuration?.listeners.first?.proxy else {
        return RouteTable(HTTPConfiguration(hosts: []))
    }
    return RouteTable(http, clusterNames: clusterNames)
}

/// Runs `body` on the head of a request.
///
/// - Parameter headers: whole field lines besides `Host`
func withHead<Result>(
    _ target: String, method: String = "GET", host: String = "example.com", headers: [String] = [],
    _ body: (inout RequestHead) -> Result
) -> Result {
    let lines = ["\(method) \(target) HTTP/1.1", "Host: \(host)"] + headers
    return ByteSlice.withBytes(of: lines.joined(separator: "\r\n") + "\r\n\r\n") { bytes in
        var head = RequestHead(headersMax: 100)
        var parser = HTTP1RequestParser()
        let outcome = parser.parse(
            bytes, limits: HTTP1Limits(headerBytesMax: 1 << 20, headersMax: 100), into: &head)
        guard case .complete = outcome else { preconditionFailure("no request: \(lines)") }
        return body(&head)
    }
}

extension RouteTable {
    func route(for head: borrowing RequestHead) -> Route? { route(for: head, regexes(ofWorker: 0)) }

    func routeIndex(for head: borrowing RequestHead) -> Int? { routeIndex(for: head, regexes(ofWorker: 0)) }

    /// For a request whose head does not matter.
    func clusterIndex(of route: Route, random: UInt64) -> Int? {
        withHead("/") { clusterIndex(of: route, for: $0, random: random) }
    }

    /// The name of the route for a request, nil for none.
    func routeName(
        _ target: String, method: String = "GET", host: String = "example.com", headers: [String] = []
    ) -> String? {
        withHead(target, method: method, host: host, headers: headers) { head in
            let route = route(for: head)
            #expect(route?.index == routeIndex(for: head))
            #expect(route.map(\.index) == explain(head).route?.index)
            return route?.name ?? route.map { "#\($0.index)" }
        }
    }

    func route(_ target: String) -> Route? { withHead(target) { route(for: $0) } }
}

/// What `write` writes.
func written(_ write: (inout ByteWriter) -> Void) -> String {
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
        write(&writer)
        precondition(writer.fits)
        return writer.count
    }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
}

extension HeaderTable {
    /// `name: value` for each field in order.
    var lines: [String] {
        indices.compactMap { field(at: $0).map { "\($0.name.text): \($0.value.text)" } }
    }
}

/// SplitMix64: the same numbers in every run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
