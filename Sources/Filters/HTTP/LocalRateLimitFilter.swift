public import Config
public import Engine
internal import HTTP
internal import Synchronization

/// `local_rate_limit`: refuses requests beyond a rate, with 429 or another status.
///
/// One token bucket for all workers and connections of the listener.
public final class LocalRateLimitFilter: HTTPFilter, ConfigurableHTTPFilter {
    public final class Settings: Sendable {
        private let intervalNs: UInt64
        private let burstNs: UInt64
        fileprivate let status: HTTPStatus
        /// When the bucket will be full again, as monotonic time: the whole state of a token bucket in one
        /// word (the generic cell rate algorithm, ITU-T I.371).
        private let fullAtNs = Atomic<UInt64>(0)

        package init(requestsPerSecond: Int, burst: Int, status: Int = 429) {
            intervalNs = 1_000_000_000 / UInt64(requestsPerSecond)
            burstNs = intervalNs * UInt64(burst)
            self.status = HTTPStatus(rawValue: UInt16(status))
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

    public static let name = "local_rate_limit"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let rate = object.required("requests_per_second", .int(in: 1...10_000_000))
        let burst = object.optional("burst", .int(in: 1...10_000_000))
        let status = object.value("status", .int(in: 400...599), default: 429)
        guard object.finish(), let rate else { return nil }
        return Settings(requestsPerSecond: rate, burst: burst ?? rate, status: status)
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        if settings.take(nowNs: stream.worker.nowNs) { return .proceed }
        return .respond(LocalResponse(settings.status, text: "local rate limited\n"), .rateLimited)
    }
}
