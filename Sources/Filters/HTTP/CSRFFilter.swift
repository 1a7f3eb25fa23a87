public import Config
public import Engine
internal import HTTP

/// `csrf`: lets a request that changes something pass only from the site's own pages, by what browsers say of where
/// it comes from.
///
/// The host of `Origin`, or of `Referer` where there is no `Origin`, has to be the host of the request, or one of
/// `additional_origins`; POST, PUT, PATCH and DELETE without either are refused, with 403. Other methods pass.
public final class CSRFFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        /// Hosts, perhaps with ports.
        fileprivate var exact: [[UInt8]] = []
        /// `.example.com` for any subdomain.
        fileprivate var suffixes: [[UInt8]] = []
        fileprivate var isShadow: Bool

        /// Whether a page of `source`, a host and perhaps a port, is trusted besides those of the site itself.
        func trusts(_ source: ByteSlice) -> Bool {
            if exact.contains(where: { host in ByteSlice.withBytes(of: host) { $0.equalsIgnoringCase(source) } }) {
                return true
            }
            return suffixes.contains { suffix in
                ByteSlice.withBytes(of: suffix) { suffix in
                    source.count > suffix.count
                        && source[(source.count - suffix.count)..<source.count].equalsIgnoringCase(suffix)
                }
            }
        }
    }

    public static let name = "csrf"
    public static var events: [String] { ["valid", "invalid", "missing_origin"] }

    private enum Event: Int { case valid, invalid, missingOrigin }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        var settings = Settings(isShadow: object.value("shadow", .bool, default: false))
        for origin in object.value("additional_origins", .list(of: .trustedOrigin, count: 1...256), default: []) {
            if origin.hasPrefix("*") {
                settings.suffixes.append(Array(origin.utf8.dropFirst()))
            } else {
                settings.exact.append(Array(origin.utf8))
            }
        }
        return object.finish() ? settings : nil
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        switch stream.request.method {
        case .post, .put, .patch, .delete: break
        case .get, .head, .options, .trace, .connect, .other: return .proceed
        }
        let event = judge(stream)
        count(event)
        if event == .valid || settings.isShadow { return .proceed }
        return .respond(Self.refusal, .none)
    }

    private func judge(_ stream: HTTPStream) -> Event {
        guard let source = PageOrigin(of: stream.request.headers) else { return .missingOrigin }
        return source.isOf(stream.request.authority) || settings.trusts(source.authority) ? .valid : .invalid
    }

    private static let refusal = LocalResponse(.forbidden, text: "the request comes from another site\n")
}

/// The site that a browser was on when it made a request.
struct PageOrigin {
    /// Host and, unless it is the scheme's own, port, as the browser wrote them.
    let authority: ByteSlice
    private let defaultPort: UInt16?

    /// Of `Origin`, or else of `Referer`; nil without either, and for the opaque origin `null` (RFC 6454 §7.3).
    init?(of headers: borrowing HeaderTable) {
        if let origin = headers[.origin], !origin.isEmpty {
            self.init(origin)
        } else if let referer = headers[.referer] {
            self.init(referer)
        } else {
            return nil
        }
    }

    /// Of a URL, or of an origin as it is serialised.
    init?(_ url: ByteSlice) {
        guard let colon = url.firstIndex(of: UInt8(ascii: ":")), colon + 3 <= url.count,
            url[colon..<(colon + 3)] == "://"
        else { return nil }
        let scheme = url[0..<colon]
        defaultPort = scheme.equalsIgnoringCase("https") ? 443 : scheme.equalsIgnoringCase("http") ? 80 : nil
        let rest = url[(colon + 3)..<url.count]
        var end = 0
        while end < rest.count, !Self.endsAuthority(rest[end]) { end += 1 }
        authority = rest[0..<end]
        guard Authority(authority) != nil else { return nil }
    }

    private static func endsAuthority(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#")
    }

    /// Whether a request to `host` stays on the site: hosts without case, the scheme's own port or none.
    func isOf(_ host: ByteSlice) -> Bool { Authority.same(authority, host, defaultPort: defaultPort) }
}

extension ConfigFormat where Value == String {
    /// A host, perhaps with a port, or all subdomains of one.
    fileprivate static var trustedOrigin: ConfigFormat {
        text("a host such as www.example.com, www.example.com:8443 or *.example.com") { text throws(ConfigProblem) in
            let host = text.hasPrefix("*.") ? String(text.dropFirst(2)) : text
            guard !host.contains("*"), ByteSlice.withBytes(of: host, { Authority($0) != nil }) else {
                throw ConfigProblem()
            }
            return text
        }
    }
}
