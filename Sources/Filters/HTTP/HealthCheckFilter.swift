public import Config
public import Engine
internal import HTTP

/// `health_check`: answers the health checks of whoever balances load over proxies, for the proxy itself.
///
/// 200 while the process wants requests; 503 while it drains and after `POST /healthcheck/fail`, with
/// `x-envoy-immediate-health-check-fail`, on which an Envoy takes this proxy out at once.
public final class HealthCheckFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let path: [UInt8]
        /// All of these have to be there, with these values.
        fileprivate let headers: [(key: HeaderKey, value: [UInt8])]
    }

    public static let name = "health_check"
    public static var events: [String] { ["ok", "failed"] }

    private enum Event: Int { case ok, failed }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let path = object.required("path", .path)
        let headers = object.value("headers", .headers(of: .request), default: [])
        guard object.finish(), let path else { return nil }
        return Settings(
            path: Array(path.utf8),
            headers: headers.compactMap { header in
                HeaderKey(header.name).map { (key: $0, value: Array(header.value.utf8)) }
            })
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard stream.request.method == .get || stream.request.method == .head, isCheck(stream) else { return .proceed }
        stream.trace { $0.leaveOut($1) }
        if isProcessServing {
            count(Event.ok)
            return .respond(Self.healthy, .none)
        }
        count(Event.failed)
        return .respond(Self.unhealthy, .none)
    }

    private func isCheck(_ stream: HTTPStream) -> Bool {
        guard ByteSlice.withBytes(of: settings.path, { $0 == stream.request.path }) else { return false }
        return settings.headers.allSatisfy { header in
            guard let value = stream.request.headers[header.key] else { return false }
            return ByteSlice.withBytes(of: header.value) { $0 == value }
        }
    }

    private static let healthy = LocalResponse(.ok, text: "OK\n")
    private static let unhealthy = LocalResponse(
        .serviceUnavailable, headers: [("x-envoy-immediate-health-check-fail", "true")], body: [])
}
