public import Config
public import Engine

/// Sends back what it receives: a terminal filter for tests and for measuring a listener without an upstream.
public final class EchoFilter: NetworkFilter, ConfigurableNetworkFilter {
    public struct Settings: Sendable {}

    public static let name = "echo"
    public static let isTerminal = true

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        return object.finish() ? Settings() : nil
    }

    public init(connection: Connection, settings: Settings) {
        super.init(connection: connection)
    }

    public override func onConnected(_ connection: Connection) { connection.startReading() }
    public override func onData(_ data: consuming Lease, on connection: Connection) { forwardWrite(data) }
    public override func onEnd(_ connection: Connection) { connection.finishWriting() }
    public override func onAboveHighWatermark(_ connection: Connection) { connection.pauseReading() }
    public override func onBelowLowWatermark(_ connection: Connection) { connection.resumeReading() }
    public override func onDrain(_ connection: Connection) { connection.closeWhenSent(.drained) }
}
