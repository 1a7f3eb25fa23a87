public import Config
public import Engine
internal import Glibc
internal import HTTP

/// `rbac`: allows or denies requests by who sends them and what they ask for.
///
/// A policy fits a request when all that it says holds. With `action: allow` a request must fit one of the policies,
/// with `action: deny` it must fit none; others are answered with 403. In shadow mode all go on, and only counters and
/// logs tell what would have become of them.
public final class RBACFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate var isAllowing: Bool
        fileprivate var isShadow: Bool
        fileprivate var policies: [Policy]
    }

    fileprivate struct Policy: Sendable {
        let name: String
        let match: RouteMatch
        /// Where the client is; empty for anywhere.
        let sources: [CIDR]
        /// Where the connection comes from; empty for anywhere.
        let directSources: [CIDR]
    }

    private enum Event: Int { case allowed, denied, shadowAllowed, shadowDenied }

    public static let name = "rbac"
    public static var events: [String] { ["allowed", "denied", "shadow_allowed", "shadow_denied"] }
    private static let policiesMax = 1...256
    private static let ranges = 1...1000

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let isAllowing = object.required("action", .choice(["allow": true, "deny": false]))
        let isShadow = object.value("shadow", .bool, default: false)
        let policies = object.required("policies", .list(of: .object("policy", policy), count: policiesMax))
        guard object.finish(), let isAllowing, let policies else { return nil }
        return Settings(isAllowing: isAllowing, isShadow: isShadow, policies: policies)
    }

    private static func policy(_ object: ConfigObject) -> Policy? {
        let name = object.required("name", .name)
        let match = object.value("match", .routeMatch, default: .all)
        let sources = object.value("sources", .list(of: .cidr, count: ranges), default: [])
        let directSources = object.value("direct_sources", .list(of: .cidr, count: ranges), default: [])
        return name.map { Policy(name: $0, match: match, sources: sources, directSources: directSources) }
    }

    private let isAllowing: Bool
    private let isShadow: Bool
    private let policies: [WorkerPolicy]
    private let needsAddresses: Bool

    public init(settings: Settings, worker: Worker) {
        isAllowing = settings.isAllowing
        isShadow = settings.isShadow
        policies = settings.policies.map(WorkerPolicy.init)
        needsAddresses = settings.policies.contains { !$0.sources.isEmpty || !$0.directSources.isEmpty }
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        let found = fittingPolicy(for: stream)
        let isAllowed = (found != nil) == isAllowing
        if isShadow {
            count(isAllowed ? Event.shadowAllowed : .shadowDenied)
        } else {
            count(isAllowed ? Event.allowed : .denied)
        }
        ByteSlice.withBytes(of: found?.name ?? Self.noPolicy) { name in
            stream.setMetadata(isShadow ? "rbac:shadow_policy" : "rbac:policy", name)
        }
        if isShadow {
            stream.setMetadata("rbac:shadow_result", ByteSlice(isAllowed ? "allowed" : "denied"))
            return .proceed
        }
        if isAllowed { return .proceed }
        stream.hot.value.info.details = "rbac_access_denied"
        return .respond(LocalResponse(.forbidden, text: "RBAC: access denied\n"), .none)
    }

    /// What the metadata name when no policy fits.
    private static let noPolicy = Array("none".utf8)

    private func fittingPolicy(for stream: HTTPStream) -> WorkerPolicy? {
        var direct: IPAddress?
        var client: IPAddress?
        if needsAddresses {
            stream.askForAddresses()
            let context = CommandContext(stream)
            direct = context.remote?.ip
            client = context.forwardedAddress.map { IPAddress(text: $0) } ?? direct
        }
        return policies.first { $0.fits(stream.request, client: client, direct: direct) }
    }

    /// A policy with what one worker needs to try it: its conditions are those of a route.
    private final class WorkerPolicy {
        let name: [UInt8]
        private let table: RouteTable
        private let regexes: RouteRegexes
        private let sources: [CIDR]
        private let directSources: [CIDR]

        init(_ policy: Policy) {
            name = Array(policy.name.utf8)
            let route = RouteConfiguration(match: policy.match, action: .respond(DirectResponse(status: 200)))
            table = RouteTable(HTTPConfiguration(routes: [route]), workers: 1)
            regexes = table.regexes(ofWorker: 0)
            sources = policy.sources
            directSources = policy.directSources
        }

        func fits(_ head: borrowing RequestHead, client: IPAddress?, direct: IPAddress?) -> Bool {
            Self.contains(client, sources) && Self.contains(direct, directSources)
                && table.route(for: head, regexes) != nil
        }

        /// Clients of Unix sockets have no address, so they are in no range.
        private static func contains(_ address: IPAddress?, _ ranges: [CIDR]) -> Bool {
            if ranges.isEmpty { return true }
            guard let address else { return false }
            return ranges.contains { $0.contains(address) }
        }
    }
}

extension IPAddress {
    /// The address that a header tells; without an allocation, unlike the one for configurations.
    fileprivate init?(text: ByteSlice) {
        var address: IPAddress?
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(INET6_ADDRSTRLEN) + 1) { memory in
            guard text.count < memory.count - 1 else { return }
            for index in 0..<text.count { unsafe memory[index] = text[index] }
            unsafe memory[text.count] = 0
            address = unsafe memory.withMemoryRebound(to: CChar.self) {
                unsafe Self.parsed(UnsafePointer($0.baseAddress!))
            }
        }
        guard let address else { return nil }
        self = address
    }

    private static func parsed(_ text: UnsafePointer<CChar>) -> IPAddress? {
        var v4: UInt32 = 0
        if unsafe inet_pton(AF_INET, text, &v4) == 1 { return .v4(UInt32(bigEndian: v4)) }
        var v6: UInt128 = 0
        if unsafe inet_pton(AF_INET6, text, &v6) == 1 { return IPAddress.v6(UInt128(bigEndian: v6)).unmapped }
        return nil
    }
}
