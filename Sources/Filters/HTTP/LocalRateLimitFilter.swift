public import Config
public import Engine
internal import HTTP

/// `local_rate_limit`: refuses requests beyond a rate, with 429 or another status.
///
/// One token bucket for all workers and connections of the listener.
public final class LocalRateLimitFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let bucket: TokenBucket
        fileprivate let status: HTTPStatus
    }

    public static let name = "local_rate_limit"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let rate = object.required("requests_per_second", .int(in: 1...10_000_000))
        let burst = object.optional("burst", .int(in: 1...10_000_000))
        let status = object.value("status", .int(in: 400...599), default: 429)
        guard object.finish(), let rate else { return nil }
        return Settings(
            bucket: TokenBucket(perSecond: rate, burst: burst ?? rate), status: HTTPStatus(rawValue: UInt16(status)))
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        if settings.bucket.take(nowNs: stream.worker.nowNs) { return .proceed }
        return .respond(LocalResponse(settings.status, text: "local rate limited\n"), .rateLimited)
    }
}
