@testable import Config

/// The lines that a user would see for this text, without the name of the file.
func errors(in text: String) -> [String] {
    rendered(Configuration.load(text: text, file: "c.yaml").errors)
}

func rendered(_ errors: [ConfigError]) -> [String] {
    errors.map { String(describing: $0).replacingPrefix("c.yaml:", with: "").replacing(" error:", with: "") }
}

/// The configuration of a text without errors; nil if it has one.
func configuration(_ text: String) -> Configuration? {
    let loaded = Configuration.load(text: text, file: "c.yaml")
    return loaded.errors.isEmpty ? loaded.configuration : nil
}

/// The errors of one listener's keys, written from column 5 of line 3 on.
func errors(inListener keys: String, clusters: String = "") -> [String] {
    errors(in: document(listener: keys, clusters: clusters))
}

/// The errors of one cluster's keys, written from column 5 of line 3 on.
func errors(inCluster keys: String) -> [String] {
    errors(in: document(cluster: keys))
}

func document(listener keys: String, clusters: String = "") -> String {
    "listeners:\n  - name: edge\n\(keys.indented(by: 4))\n\(clusters)"
}

func document(cluster keys: String) -> String {
    "clusters:\n  - name: web\n\(keys.indented(by: 4))\nlisteners: [{ name: l, address: \":1\", tcp: web }]\n"
}

/// Reads `text` as a document and `key` of it in a format.
func read<Value>(_ text: String, as format: ConfigFormat<Value>) -> (value: Value?, errors: [String]) {
    let diagnostics = Diagnostics(file: "c.yaml")
    guard let node = ConfigDocument.parse("k: \(text)", diagnostics: diagnostics),
        let object = ConfigObject(node, kind: "test", diagnostics: diagnostics)
    else { return (nil, rendered(diagnostics.errors)) }
    let value = object.required("k", format)
    object.finish()
    return (value, rendered(diagnostics.errors))
}

extension String {
    func indented(by count: Int) -> String {
        split(separator: "\n", omittingEmptySubsequences: false)
            .map { String(repeating: " ", count: count) + $0 }.joined(separator: "\n")
    }

    fileprivate func replacingPrefix(_ prefix: String, with replacement: String) -> String {
        hasPrefix(prefix) ? replacement + dropFirst(prefix.count) : self
    }

    func replacing(_ text: String, with replacement: String) -> String {
        guard let range = self.firstRange(of: text) else { return self }
        return String(self[..<range.lowerBound] + replacement + self[range.upperBound...])
    }
}
