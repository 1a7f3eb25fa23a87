public import Config
public import Engine
public import HTTP

/// `cors`: tells browsers which origins may read responses (Fetch standard, §3.2), and answers their preflights.
///
/// A preflight of an origin that is allowed is answered here; requests of other origins pass, without a word about
/// them in the response, so that the browser keeps the response from the page.
public final class CORSFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        /// Exact origins, such as `https://www.example.com`.
        fileprivate var exact: [[UInt8]] = []
        /// Origins with `*` for one or more leading labels of the host: what stands before and behind it.
        fileprivate var wildcards: [(prefix: [UInt8], suffix: [UInt8])] = []
        fileprivate var allowsAny = false
        fileprivate var methods: String
        fileprivate var headers: String
        fileprivate var exposed: String
        fileprivate var maxAge: Int?
        fileprivate var allowsCredentials: Bool

        package func allows(_ origin: ByteSlice) -> Bool {
            if allowsAny { return true }
            if exact.contains(where: { text in ByteSlice.withBytes(of: text) { $0 == origin } }) { return true }
            return wildcards.contains { pattern in
                ByteSlice.withBytes(of: pattern.prefix) { prefix in
                    ByteSlice.withBytes(of: pattern.suffix) { suffix in
                        guard origin.count > prefix.count + suffix.count, origin.hasPrefix(prefix),
                            origin.hasSuffix(suffix)
                        else { return false }
                        let label = origin[prefix.count..<(origin.count - suffix.count)]
                        return label.firstIndex(of: UInt8(ascii: "/")) == nil
                            && label.firstIndex(of: UInt8(ascii: ":")) == nil
                    }
                }
            }
        }
    }

    public static let name = "cors"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let origins = object.required("allow_origins", .list(of: .string, count: 1...256)) ?? []
        var settings = Settings(
            methods: object.value("allow_methods", .list(of: .string), default: []).joined(separator: ", "),
            headers: object.value("allow_headers", .list(of: .string), default: []).joined(separator: ", "),
            exposed: object.value("expose_headers", .list(of: .string), default: []).joined(separator: ", "),
            maxAge: object.optional("max_age", .int(in: 0...86_400)),
            allowsCredentials: object.value("allow_credentials", .bool, default: false))
        for origin in origins { add(origin, to: &settings, object, diagnostics) }
        for (key, list) in [
            ("allow_methods", settings.methods), ("allow_headers", settings.headers),
            ("expose_headers", settings.exposed),
        ] where !list.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) {
            diagnostics.report(
                "a value that no header field can hold", expected: "names of letters, digits and -",
                at: object.position(of: key))
        }
        if settings.allowsAny, settings.allowsCredentials {
            diagnostics.report(
                "\"allow_credentials\" together with the origin \"*\" would let every site act for its visitors",
                expected: "the origins that may", at: object.position(of: "allow_credentials"))
        }
        return object.finish() ? settings : nil
    }

    private static func add(
        _ origin: String, to settings: inout Settings, _ object: ConfigObject, _ diagnostics: Diagnostics
    ) {
        if origin == "*" {
            settings.allowsAny = true
            return
        }
        let parts = origin.split(separator: "*", omittingEmptySubsequences: false)
        let isOrigin = origin.contains("://") && origin.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        if isOrigin, parts.count == 1 {
            settings.exact.append(Array(origin.utf8))
        } else if isOrigin, parts.count == 2, parts[0].hasSuffix("://"), parts[1].hasPrefix(".") {
            settings.wildcards.append((Array(parts[0].utf8), Array(parts[1].utf8)))
        } else {
            diagnostics.report(
                "\"\(origin)\" is no origin", expected: "*, https://www.example.com or https://*.example.com",
                at: object.position(of: "allow_origins"))
        }
    }

    private let settings: Settings
    private static let allowed: UInt64 = 1

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard let origin = stream.request.headers[.origin], settings.allows(origin) else { return .proceed }
        stream.filterState[index] = Self.allowed
        guard stream.request.method == .options, stream.request.headers.contains(.accessControlRequestMethod) else {
            return .proceed
        }
        var headers: [(name: String, value: String)] = []
        if !settings.methods.isEmpty { headers.append(("access-control-allow-methods", settings.methods)) }
        if !settings.headers.isEmpty { headers.append(("access-control-allow-headers", settings.headers)) }
        if let maxAge = settings.maxAge { headers.append(("access-control-max-age", "\(maxAge)")) }
        return .respond(LocalResponse(.noContent, headers: headers), .none)
    }

    public override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        // Whether the origin is named decides what is in the response, also for caches on the way.
        if !settings.allowsAny { head.headers.append(.vary, ByteSlice("Origin")) }
        guard stream.filterState[index] == Self.allowed, let origin = stream.request.headers[.origin] else {
            return .proceed
        }
        head.headers.set(.accessControlAllowOrigin, settings.allowsAny ? ByteSlice("*") : origin)
        if settings.allowsCredentials { head.headers.set(.accessControlAllowCredentials, ByteSlice("true")) }
        if !settings.exposed.isEmpty {
            ByteSlice.withBytes(of: settings.exposed) { _ = head.headers.set(.accessControlExposeHeaders, $0) }
        }
        return .proceed
    }
}
