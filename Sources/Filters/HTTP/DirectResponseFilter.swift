public import Config
public import Engine
internal import HTTP

/// `direct_response`: answers every request that reaches it.
public final class DirectResponseFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let response: LocalResponse
    }

    public static let name = "direct_response"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let direct = DirectResponse(object)
        guard object.finish(), let direct else { return nil }
        var headers = direct.headers.map { (name: $0.name, value: $0.value) }
        if !direct.body.isEmpty, !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            headers.append((name: "content-type", value: "text/plain; charset=utf-8"))
        }
        return Settings(
            response: LocalResponse(
                HTTPStatus(rawValue: UInt16(direct.status)), headers: headers, body: Array(direct.body.utf8)))
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status { .respond(settings.response, .none) }
}
