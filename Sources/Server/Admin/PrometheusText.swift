/// Writes the Prometheus text exposition format 0.0.4: each family once, with its HELP and TYPE.
struct PrometheusText {
    enum Kind: String {
        case counter, gauge, histogram
    }

    private(set) var bytes: [UInt8] = []
    private var family = ""

    init() {
        bytes.reserveCapacity(64 * 1024)
    }

    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        family = name
        append("# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n")
    }

    /// A sample of the current family. Label values are escaped as the format asks.
    mutating func sample(_ labels: KeyValuePairs<String, String>, suffix: String = "", _ value: UInt64) {
        name(labels, suffix)
        append("\(value)\n")
    }

    mutating func sample(_ labels: KeyValuePairs<String, String>, suffix: String = "", seconds: Double) {
        name(labels, suffix)
        append("\(seconds)\n")
    }

    mutating func sample(_ labels: KeyValuePairs<String, String>, ratio: Double) { sample(labels, seconds: ratio) }

    private mutating func name(_ labels: KeyValuePairs<String, String>, _ suffix: String) {
        append(family)
        append(suffix)
        if !labels.isEmpty {
            append("{")
            var isFirst = true
            for (key, value) in labels {
                if !isFirst { append(",") }
                isFirst = false
                append(key)
                append("=\"")
                escape(value)
                append("\"")
            }
            append("}")
        }
        append(" ")
    }

    private mutating func escape(_ value: String) {
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
}
