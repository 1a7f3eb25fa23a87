public import Config
public import Engine
internal import Synchronization

/// Refuses connections beyond a rate: a token bucket that all workers draw from.
///
/// A refused connection is closed with a reset and counted under the reason `limit`.
public final class ConnectionRateLimitFilter: NetworkFilter, ConfigurableNetworkFilter {
    /// One bucket for all workers, drawn from once per connection, so a shared word costs nothing that shows.
    public final class Settings: Sendable {
        private let intervalNs: UInt64
        private let burstNs: UInt64
        /// When the bucket will be full again, as monotonic time: the whole state of a token bucket in one
        /// word (the generic cell rate algorithm, ITU-T I.371).
        private let fullAtNs = Atomic<UInt64>(0)

        package init(connectionsPerSecond: Int, burst: Int) {
            intervalNs = 1_000_000_000 / UInt64(connectionsPerSecond)
            burstNs = intervalNs * UInt64(burst)
        }

        package func take(nowNs: UInt64) -> Bool {
            var current = fullAtNs.load(ordering: .relaxed)
            while true {
                let next = max(current, nowNs) + intervalNs
                guard next <= nowNs + burstNs else { return false }
                let result = fullAtNs.compareExchange(expected: current, desired: next, ordering: .relaxed)
                if result.exchanged { return true }
                current = result.original
            }
        }
    }

    public static let name = "connection_rate_limit"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let rate = object.required("connections_per_second", .int(in: 1...1_000_000))
        let burst = object.optional("burst", .int(in: 1...1_000_000))
        guard object.finish(), let rate else { return nil }
        return Settings(connectionsPerSecond: rate, burst: burst ?? rate)
    }

    private let settings: Settings

    public init(connection: Connection, settings: Settings) {
        self.settings = settings
        super.init(connection: connection)
    }

    public override func onConnected(_ connection: Connection) {
        if settings.take(nowNs: connection.worker.nowNs) {
            super.onConnected(connection)
        } else {
            connection.close(.limit, reset: true)
        }
    }
}
