public import Config
public import Engine
internal import HTTP

/// `csrf`: refuses requests that change something and come from the page of another site, with 403.
///
/// Browsers name the site of the page in `Origin`, and where they keep that to themselves often in `Referer`. A
/// request with neither is refused as well, as in Envoy: what browsers send for a form has one of them.
public final class CSRFFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        /// Hosts besides the one that the request is for.
        fileprivate let hosts: [DomainPattern]
        fileprivate let isShadow: Bool
    }

    public static let name = "csrf"

    private static let hostCount = 1...256

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let domain = ConfigFormat<DomainPattern>.text(
            "a host such as www.example.com or *.example.com", DomainPattern.init(parsing:))
        let hosts = object.value("allow_hosts", .list(of: domain, count: hostCount), default: [])
        let isShadow = object.value("shadow", .bool, default: false)
        if hosts.contains(.any) {
            diagnostics.report(
                "\"allow_hosts\" has \"*\", which would let every site act for its visitors",
                expected: "the hosts that may", at: object.position(of: "allow_hosts"))
        }
        return object.finish() ? Settings(hosts: hosts, isShadow: isShadow) : nil
    }

    private let settings: Settings
    private let memory = RouteMemory()
    private let allowed: DomainIndex

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        allowed = DomainIndex([settings.hosts], in: memory)
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        // CONNECT changes nothing here, and browsers do not let pages send it.
        if stream.request.method.isSafe || stream.request.method == .connect || isTrusted(stream.request) {
            return .proceed
        }
        guard !settings.isShadow else {
            stream.count(.csrfShadowDenied)
            return .proceed
        }
        stream.count(.csrfDenied)
        return .respond(LocalResponse(.forbidden, text: "the request comes from another site\n"), .none)
    }

    private func isTrusted(_ head: borrowing RequestHead) -> Bool {
        guard let source = source(head.headers[.origin]) ?? source(head.headers[.referer]) else { return false }
        let port: StaticString = source.isSecure ? ":443" : ":80"
        let isSame = source.authority.without(port).equalsIgnoringCase(head.authority.without(port))
        return isSame || allowed.host(for: source.authority) != nil
    }

    /// The site of the page, out of `https://host:port` with or without a path; nil for `null` and whatever is no URL.
    private func source(_ url: ByteSlice?) -> (authority: ByteSlice, isSecure: Bool)? {
        guard let url else { return nil }
        let isSecure = url.hasPrefix(ByteSlice("https://"))
        guard isSecure || url.hasPrefix(ByteSlice("http://")) else { return nil }
        let start = isSecure ? 8 : 7
        let end = url.firstIndex(of: UInt8(ascii: "/"), from: start) ?? url.count
        return end > start ? (url[start..<end], isSecure) : nil
    }
}

extension ByteSlice {
    /// An authority without the port that its scheme has anyway.
    fileprivate func without(_ port: StaticString) -> ByteSlice {
        let port = ByteSlice(port)
        return hasSuffix(port) ? self[0..<count - port.count] : self
    }
}
