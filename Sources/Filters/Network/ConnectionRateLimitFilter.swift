public import Config
public import Engine

/// Refuses connections beyond a rate: a token bucket that all workers draw from.
///
/// A refused connection is closed with a reset and counted under the reason `limit`.
public final class ConnectionRateLimitFilter: NetworkFilter, ConfigurableNetworkFilter {
    public struct Settings: Sendable {
        private let bucket: TokenBucket

        package init(bucket: TokenBucket) { self.bucket = bucket }

        fileprivate func take(nowNs: UInt64) -> Bool { bucket.take(nowNs: nowNs) }
    }

    public static let name = "connection_rate_limit"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let rate = object.required("connections_per_second", .int(in: 1...1_000_000))
        let burst = object.optional("burst", .int(in: 1...1_000_000))
        guard object.finish(), let rate else { return nil }
        return Settings(bucket: TokenBucket(perSecond: rate, burst: burst ?? rate))
    }

    private let settings: Settings

    public init(connection: Connection, settings: Settings) {
        self.settings = settings
        super.init(connection: connection)
    }

    public override func onAccepted(_ connection: Connection) {
        if settings.take(nowNs: connection.worker.nowNs) {
            super.onAccepted(connection)
        } else {
            connection.close(.limit, reset: true)
        }
    }
}
