import Foundation
import Testing

@testable import Config

private let topKeys = "workers, admin, drain_timeout, buffers, stats, tracing, listeners, clusters"
private let listeners = "listeners: [{ name: l, address: \":1\", network_filters: [x] }]"

@Test(
    arguments: [
        ("[]", ["1:1: the configuration is a list; expected an object"]),
        ("text", ["1:1: the configuration is \"text\"; expected an object"]),
        ("workers: 1", ["1:1: missing key \"listeners\" in the configuration; expected a list, each item an object"]),
        ("listeners: []", ["1:12: \"listeners\" has 0 items; expected at least 1"]),
        (
            "\(listeners)\nlisteneres: []\nworker: 1\nxyz: 1",
            [
                "2:1: unknown key \"listeneres\" in the configuration; expected one of \(topKeys) (did you mean \"listeners\"?)",
                "3:1: unknown key \"worker\" in the configuration; expected one of \(topKeys) (did you mean \"workers\"?)",
                "4:1: unknown key \"xyz\" in the configuration; expected one of \(topKeys)",
            ]
        ),
        (
            "\(listeners)\nworkers: 1025",
            ["2:10: \"workers\" is \"1025\"; expected auto or a whole number from 1 to 1024"]
        ),
        (
            "\(listeners)\nworkers: \"4\"",
            [
                "2:10: \"workers\" is \"4\", text in quotes; expected auto or a whole number from 1 to 1024"
            ]
        ),
        (
            "\(listeners)\nworkers: [auto]",
            ["2:10: \"workers\" is a list; expected auto or a whole number from 1 to 1024"]
        ),
        ("\(listeners)\nadmin: 127.0.0.1:1", ["2:8: \"admin\" is \"127.0.0.1:1\"; expected an object"]),
        (
            "\(listeners)\nadmin: {}",
            [
                "2:8: missing key \"address\" in admin; expected IP:PORT, [IPv6]:PORT, localhost:PORT, :PORT or unix:PATH"
            ]
        ),
        (
            "\(listeners)\ndrain_timeout: 25h",
            [
                "2:16: \"drain_timeout\" is \"25h\", which is out of range; expected a duration from 0 to 1d, such as 250ms, 5s or 1m"
            ]
        ),
        (
            "\(listeners)\nbuffers: { size: 8KiB, max_per_worker: 65GiB, count: 1 }",
            [
                "2:18: \"size\" is \"8KiB\", which is out of range; expected a power of two from 16KiB to 256KiB, such as 32KiB",
                "2:40: \"max_per_worker\" is \"65GiB\", which is out of range; expected a size from 1MiB to 64GiB, such as 512B, 16KiB or 1MiB",
                "2:47: unknown key \"count\" in buffers; expected one of size, max_per_worker",
            ]
        ),
        (
            "\(listeners)\nbuffers: { size: 48KiB }",
            [
                "2:18: \"size\" is \"48KiB\", which is no power of two; expected a power of two from 16KiB to 256KiB, such as 32KiB"
            ]
        ),
    ] as [(String, [String])])
func aWrongTopLevelIsExplained(_ text: String, _ expected: [String]) {
    #expect(errors(in: text) == expected)
}

@Test func allErrorsOfAFileComeAtOnce() {
    let text = """
        workers: many
        listeners:
          - name: edge
            adress: :80
            tcp: { cluster: wbe, idle_timeout: 5 }
        clusters:
          - name: web
            endpoints: ["10.0.0.1"]
            load_balancing: fastest
        """
    let all = errors(in: text)
    #expect(
        all.map { $0.split(separator: ":").prefix(2).joined(separator: ":") } == [
            "1:10", "3:5", "4:5", "5:21", "5:40", "8:17", "9:21",
        ])
}

@Test func aConfigurationWithErrorsIsStillThereForLaterStages() throws {
    let loaded = Configuration.load(
        text: """
            listeners:
              - address: nowhere
                network_filters: [{ rate_limit: { burst: x } }]
            """, file: "c.yaml")
    let filter = try #require(loaded.configuration?.listeners.first?.networkFilters.first)
    loaded.diagnostics.report("the filter minds", expected: "peace", at: filter.config.position)
    #expect(rendered(loaded.errors).map { String($0.prefix(5)) } == ["2:5: ", "2:14:", "3:37:"])
}

/// A directory of its own for each test, gone after it.
private func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("config-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: directory) }
    try body(directory.path)
}

@Test func filesAreReadFromDisk() throws {
    try withTemporaryDirectory { directory in
        let path = "\(directory)/ringway.yaml"
        try Data("\u{FEFF}\(listeners)\r\nworkers: 2\r\n".utf8).write(to: URL(fileURLWithPath: path))
        let loaded = Configuration.load(path: path)
        #expect(loaded.errors.isEmpty)
        #expect(loaded.configuration?.workers == .fixed(2))
    }
}

@Test func filesThatCannotBeReadSayWhy() throws {
    try withTemporaryDirectory { directory in
        let path = "\(directory)/c.yaml"
        let message: () -> [String] = { Configuration.load(path: path).errors.map { String(describing: $0) } }
        #expect(
            message() == [
                "\(path):1:1: error: the file cannot be read: No such file or directory; expected a readable file"
            ])
        try Data().write(to: URL(fileURLWithPath: path))
        #expect(message() == ["\(path):1:1: error: the file is empty; expected a configuration"])
        try Data([0x61, 0xFF]).write(to: URL(fileURLWithPath: path))
        #expect(message() == ["\(path):1:1: error: the file is not UTF-8; expected text in UTF-8"])
        try Data(repeating: 0x20, count: ConfigDocumentLimits.bytes + 1).write(to: URL(fileURLWithPath: path))
        #expect(message() == ["\(path):1:1: error: the file has more than 16777216 bytes; expected at most that"])
        #expect(
            Configuration.load(path: directory).errors.map(\.problem) == [
                "the file cannot be read: Is a directory"
            ])
    }
}

@Test func manyClustersAndEndpointsAreRead() throws {
    var text = "listeners:\n"
    for listener in 0..<100 {
        text += "  - { name: l\(listener), address: \":\(1000 + listener)\", tcp: c\(listener) }\n"
    }
    text += "clusters:\n"
    for cluster in 0..<2000 {
        text += "  - name: c\(cluster)\n    endpoints:\n"
        for endpoint in 0..<5 {
            text += "      - { address: \"10.\(cluster >> 8).\(cluster & 255).\(endpoint):8080\", weight: 2 }\n"
        }
    }
    let read = try #require(configuration(text))
    #expect(read.clusters.count == 2000)
    #expect(read.clusters.map(\.endpoints.count).reduce(0, +) == 10_000)
}
