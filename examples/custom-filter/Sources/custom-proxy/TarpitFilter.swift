import Config
import Engine
import Filters
import HTTP

/// `tarpit: { header: …, delay: … }` lets requests with a certain header wait before they go on.
///
/// Waiting takes a timer and no thread: the request is paused, and goes on when the timer fires. If its client leaves
/// before, the timer goes with it.
final class TarpitFilter: HTTPFilter, ConfigurableHTTPFilter {
    struct Settings: Sendable {
        let header: HeaderKey
        let delayNs: UInt64
    }

    static let name = "tarpit"
    static var events: [String] { ["delayed"] }

    private enum Event: Int { case delayed }

    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let header = object.required("header", .headerName).flatMap(HeaderKey.init)
        let delay = object.required("delay", .duration(in: .milliseconds(1) ... .minutes(1)))
        guard object.finish(), let header, let delay else { return nil }
        return Settings(header: header, delayNs: delay.nanoseconds)
    }

    private let settings: Settings

    init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard stream.request.headers[settings.header] != nil else { return .proceed }
        count(Event.delayed)
        stream.startTimer(for: self, afterNs: settings.delayNs)
        return .pause
    }

    override func onTimer(_ stream: HTTPStream) { stream.resumeRequest() }
}
