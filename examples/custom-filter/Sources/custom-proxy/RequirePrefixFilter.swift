import Config
import Engine
import Filters

/// Admits connections that begin with the bytes of `prefix`, such as `SSH-`.
///
/// Bytes are passed on as long as they agree, so nothing is held back. The first one that does not agree ends the
/// connection with a reset, counted under the reason `denied`.
final class RequirePrefixFilter: NetworkFilter, ConfigurableNetworkFilter {
    struct Settings: Sendable {
        let prefix: [UInt8]
    }

    static let name = "require_prefix"

    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let prefix = object.required("prefix", prefixFormat)
        guard object.finish(), let prefix else { return nil }
        return Settings(prefix: prefix)
    }

    private static let prefixBytes = 1...64

    private static var prefixFormat: ConfigFormat<[UInt8]> {
        .text("text of \(prefixBytes.lowerBound) to \(prefixBytes.upperBound) bytes") { text throws(ConfigProblem) in
            guard prefixBytes.contains(text.utf8.count) else { throw ConfigProblem() }
            return Array(text.utf8)
        }
    }

    private let settings: Settings
    /// Bytes that have agreed so far.
    private var matched = 0

    init(connection: Connection, settings: Settings) {
        self.settings = settings
        super.init(connection: connection)
    }

    override var observesData: Bool { true }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        if agrees(data) {
            forward(data)
        } else {
            connection.worker.discard(data)
            connection.close(.denied, reset: true)
        }
    }

    private func agrees(_ data: borrowing Lease) -> Bool {
        data.withBytes { bytes in
            let count = min(bytes.byteCount, settings.prefix.count - matched)
            for offset in 0..<count {
                let byte = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)  // offset < byteCount
                if byte != settings.prefix[matched + offset] { return false }
            }
            matched += count
            return true
        }
    }
}
