public import Config
public import Engine
internal import HTTP

/// `rbac`: lets requests pass, or refuses them with 403, by who sends them and what they ask for.
///
/// With the action `allow` a request passes when one of the policies fits it; with `deny` when none does. A shadow
/// filter only counts what it would refuse.
public final class RBACFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        /// Requests that a policy fits pass; the others do when it is false.
        fileprivate let allows: Bool
        fileprivate let isShadow: Bool
        fileprivate let rules: RequestRules
    }

    public static let name = "rbac"
    public static var events: [String] { ["allowed", "denied", "shadow_allowed", "shadow_denied"] }

    private enum Event: Int { case allowed, denied, shadowAllowed, shadowDenied }

    private static let policyCount = 1...256

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let allows = object.value("action", .choice(["allow": true, "deny": false]), default: true)
        let isShadow = object.value("shadow", .bool, default: false)
        let rule = RequestRules.Rule.format(diagnostics)
        let rules = object.required("policies", .list(of: rule, count: policyCount))
        guard object.finish(), let rules else { return nil }
        return Settings(allows: allows, isShadow: isShadow, rules: RequestRules(rules))
    }

    private let settings: Settings
    private let regexes: RouteRegexes

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        regexes = settings.rules.makeRegexes()
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        let fits = settings.rules.fit(stream.request, from: stream.connection?.peerAddress, regexes)
        let isAllowed = fits == settings.allows
        if settings.isShadow {
            count(isAllowed ? Event.shadowAllowed : .shadowDenied)
            return .proceed
        }
        count(isAllowed ? Event.allowed : .denied)
        return isAllowed ? .proceed : .respond(Self.refusal, .none)
    }

    private static let refusal = LocalResponse(.forbidden, text: "access denied\n")
}
