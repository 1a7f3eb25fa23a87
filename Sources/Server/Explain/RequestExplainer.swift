internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

/// Finds out what a configuration makes of a request, by the code that serves requests.
struct RequestExplainer {
    let snapshot: Snapshot
    /// Where a listener can be reached.
    let address: (ListenerPlan) -> String

    /// Routes that are named one by one.
    private static let rejectedMax = 50
    private static let endpointsMax = 100

    /// - Parameter listener: the name of one; nil for the one at the request's port
    func explain(_ request: ExplainedRequest, listener: String?) throws(ExplainedRequest.Invalid) -> Explanation {
        let plan = try find(listener, for: request)
        var explanation = Explanation(file: snapshot.file)
        explanation.add("listener", "\(plan.configuration.name), \(address(plan))", at: plan.configuration.origin)
        guard let chain = choose(of: plan, for: request, into: &explanation) else { return explanation }
        let filters = chain.configuration.networkFilters.map(\.name)
        if !filters.isEmpty { explanation.add("network_filters", filters) }
        switch (chain.terminal, chain.configuration.proxy) {
        case (.http(let server), .http(let http)): explain(request, server, http, into: &explanation)
        case (.tcpProxy(let tcp), _):
            explanation.add("answer", "of the endpoint: bytes are passed on as they come")
            let total = tcp.clusters.reduce(0) { $0 + $1.weight }
            for (cluster, weight) in tcp.clusters {
                describe(
                    cluster, tcp.clusters.count > 1 ? " with weight \(weight) of \(total)" : "", into: &explanation)
            }
        default: explanation.add("answer", "of the last network filter")
        }
        return explanation
    }

    /// The chain that the client's connection gets; nil after saying that it gets none.
    private func choose(
        of plan: ListenerPlan, for request: ExplainedRequest, into explanation: inout Explanation
    ) -> ChainPlan? {
        guard !plan.configuration.filterChains.isEmpty else { return plan.chains.first }
        for chain in plan.chains {
            let matcher = FilterChainMatcher(chain.configuration.match)
            switch matcher.verdict(port: request.port, source: request.source, request.firstBytes) {
            case .fits:
                explanation.add("filter_chain", chain.title, at: chain.configuration.origin)
                return chain
            case .not(let mismatch):
                explanation.add(
                    "not", "\(chain.title): \(mismatch.reason(for: request))", at: chain.configuration.origin)
            case .needsFirstBytes:
                explanation.add("not", "\(chain.title): not known", at: chain.configuration.origin)
            }
        }
        explanation.add("answer", "none, the connection is reset: no filter chain is for it")
        return nil
    }

    private func find(
        _ name: String?, for request: ExplainedRequest
    ) throws(ExplainedRequest.Invalid) -> ListenerPlan {
        let servers = snapshot.listeners.filter(\.servesHTTP)
        if let name {
            if let found = servers.first(where: { $0.configuration.name == name }) { return found }
        } else if let port = request.port,
            let found = servers.first(where: { address($0).hasSuffix(":\(port)") })
        {
            return found
        } else if servers.count == 1 {
            return servers[0]
        }
        guard !servers.isEmpty else { throw ExplainedRequest.Invalid(message: "no listener speaks HTTP") }
        let names = servers.map { "\($0.configuration.name) (\(address($0)))" }.joined(separator: ", ")
        let problem = name.map { "no listener \"\($0)\" speaks HTTP" } ?? "which listener is not clear from the port"
        throw ExplainedRequest.Invalid(message: "\(problem); name one of \(names)")
    }

    // MARK: One request

    private func explain(
        _ request: ExplainedRequest, _ server: HTTPServerPlan, _ http: HTTPConfiguration,
        into explanation: inout Explanation
    ) {
        ByteSlice.withBytes(of: request.bytes) { bytes in
            var head = RequestHead(headersMax: server.settings.limits.headersMax)
            var parser = HTTP1RequestParser()
            switch parser.parse(bytes, limits: server.settings.limits, into: &head) {
            case .complete: break
            case .incomplete:
                return explanation.add("answer", "400, the head is not complete")
            case .malformed(let error):
                return explanation.add("answer", "\(error.status.rawValue), refused: \(error.label)")
            }
            explanation.add("request", "\(head.methodText.text) \(head.authority.text)\(head.target)")
            let sent = head.path.text
            if let normalizer = server.settings.normalizer, let refusal = head.normalizePath(normalizer) {
                return explanation.add("answer", "400, refused: \(refusal.label)")
            }
            if head.path.text != sent { explanation.add("normalized_path", head.path.text) }
            for filter in http.filters { explanation.add("filter", filter.name, at: filter.origin) }
            route(&head, scheme: request.scheme, server, into: &explanation)
        }
    }

    private func route(
        _ head: inout RequestHead, scheme: String?, _ server: HTTPServerPlan, into explanation: inout Explanation
    ) {
        let found = server.table.explain(head)
        guard let index = found.host else {
            return explanation.add("answer", "404, flag NR: no host has a domain that fits")
        }
        let host = server.table.configuration[index]
        let domains = host.domains.map(\.description).joined(separator: ", ")
        explanation.add("host", domains, at: host.origin)
        for (route, mismatch) in found.rejected.suffix(Self.rejectedMax) {
            let reason = mismatch.reason(in: route.configuration.match, for: head)
            explanation.add("not", [route.name, reason].compactMap(\.self).joined(separator: ": "), at: route.origin)
        }
        let before = host.routes.firstIndex { $0.origin.position == found.route?.position } ?? host.routes.count
        let others = before - min(found.rejected.count, Self.rejectedMax)
        if others > 0 { explanation.add("not", "\(others) more, most or all of them for other paths") }
        guard let route = found.route else {
            return explanation.add("answer", "404, flag NR: no route of this host fits")
        }
        explanation.add("route", route.name ?? route.configuration.match.path.text, at: route.origin)
        if let tracing = server.tracing {
            let isEdge = server.settings.useRemoteAddress
            explanation.add("trace", tracing.explain(head.headers, route: route.index, isEdge: isEdge))
        }
        answer(&head, scheme: scheme, route, found.regexes, server, into: &explanation)
    }

    private func answer(
        _ head: inout RequestHead, scheme: String?, _ route: Route, _ regexes: RouteRegexes, _ server: HTTPServerPlan,
        into explanation: inout Explanation
    ) {
        switch route.action {
        case .redirect(let redirect):
            let proto = head.headers[.xForwardedProto]?.text ?? scheme
            let isSecure = proto?.lowercased() == "https"
            let location = written(capacity: 128 << 10) {
                redirect.writeLocation(for: head, scheme: isSecure ? .https : .http, regexes, to: &$0)
            }
            explanation.add(
                "answer", location == nil ? "400, the request names no host" : "\(redirect.status.rawValue)")
            if let location { explanation.add("location", location) }
        case .respond(let response):
            explanation.add(
                "answer", "\(response.status.rawValue), \(response.body.count) bytes from the configuration")
        case .cluster, .weighted, .clusterHeader:
            guard case .forward(let forward) = route.configuration.action else { return }
            let clusters = clusters(head, route, forward, server)
            guard !clusters.isEmpty else {
                return explanation.add("answer", "503, flag NC: header \(forward.clusterHeader ?? "") names no cluster")
            }
            for (cluster, how) in clusters { describe(cluster, how, into: &explanation) }
            upstream(&head, route, forward, regexes, into: &explanation)
        }
    }

    // MARK: Forwarding

    /// Those that the request may go to, and how each came about.
    private func clusters(
        _ head: borrowing RequestHead, _ route: Route, _ forward: ForwardConfiguration, _ server: HTTPServerPlan
    ) -> [(Cluster, String)] {
        if let header = forward.clusterHeader {
            let index = server.table.clusterIndex(of: route, for: head, random: 0)
            return index.map { [(server.clusters[$0], " named by \(header)")] } ?? []
        }
        let total = forward.clusters.reduce(0) { $0 + $1.weight }
        return forward.clusters.compactMap { entry in
            guard let cluster = snapshot.clusters[entry.cluster.name] else { return nil }
            return (cluster, forward.clusters.count > 1 ? " with weight \(entry.weight) of \(total)" : "")
        }
    }

    private func describe(_ cluster: Cluster, _ how: String, into explanation: inout Explanation) {
        let origin = snapshot.configuration.clusters.first { $0.name == cluster.name }?.origin
        explanation.add("cluster", "\(cluster.name)\(how), \(cluster.policy.name)", at: origin)
        for endpoint in cluster.endpoints.prefix(Self.endpointsMax) {
            explanation.add("endpoint", "\(endpoint.name), weight \(endpoint.weight)")
        }
        if cluster.endpoints.count > Self.endpointsMax {
            explanation.add("endpoint", "\(cluster.endpoints.count - Self.endpointsMax) more")
        }
    }

    private func upstream(
        _ head: inout RequestHead, _ route: Route, _ forward: ForwardConfiguration, _ regexes: RouteRegexes,
        into explanation: inout Explanation
    ) {
        guard route.rewrite.apply(to: &head, regexes), route.requestHeaders.apply(to: &head.headers) else {
            return explanation.add("answer", "431, the rewritten head is too large")
        }
        explanation.add("upstream_request", "\(head.methodText.text) \(head.target), host \(head.authority.text)")
        explanation.add("timeout", forward.timeout?.description ?? "none")
        let idle = TimeSpan(nanoseconds: route.idleTimeoutNs)
        explanation.add("idle_timeout", idle == .zero ? "none" : idle.description)
        explanation.add("retry", forward.retry.map(Self.text) ?? "none")
        for mirror in forward.mirrors {
            let percent = Double(mirror.fraction.partsPerMillion) / 10_000
            explanation.add("mirror", "\(mirror.cluster.name), \(percent) % of requests", at: mirror.cluster.origin)
        }
        switch forward.upgrade {
        case .none: break
        case .any: explanation.add("upgrade", "any but h2c")
        case .protocols(let names): explanation.add("upgrade", names)
        }
    }

    private static func text(_ retry: RetryConfiguration) -> String {
        let words: [(RetryConditions, String)] = [
            (.connectFailure, "connect-failure"), (.refusedStream, "refused-stream"), (.reset, "reset"),
            (.serverError, "5xx"), (.gatewayError, "gateway-error"),
        ]
        let causes = words.filter { retry.conditions.contains($0.0) }.map(\.1) + retry.statuses.map(String.init)
        return "up to \(retry.attempts) on \(causes.joined(separator: ", ")), back-off \(retry.backOff)"
            + (retry.perTryTimeout.map { ", \($0) a try" } ?? "")
    }

    /// nil when `write` says so, or there is no room.
    private func written(capacity: Int, _ write: (inout ByteWriter) -> Bool) -> String? {
        var isWritten = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: capacity)
            isWritten = write(&writer) && writer.fits
            count = isWritten ? writer.count : 0
        }
        return isWritten ? String(decoding: bytes, as: UTF8.self) : nil
    }
}

extension FilterChainMatcher.Mismatch {
    fileprivate func reason(for request: ExplainedRequest) -> String {
        switch self {
        case .destinationPort: request.port.map { "the port is \($0)" } ?? "the request names no port"
        case .source: "the client's address is \(request.source.map { "\($0)" } ?? "not known (--source)")"
        case .transport: "the client speaks \(request.scheme == "https" ? "TLS" : "no TLS")"
        case .serverName: "the client names \(request.serverName.isEmpty ? "no server" : request.serverName)"
        case .applicationProtocol: "the client offers h2 and http/1.1"
        }
    }
}

extension Route {
    fileprivate var origin: ConfigOrigin { configuration.origin }
}

extension RequestHead {
    /// Path and query.
    fileprivate var target: String { path.text + (query.map { "?" + $0.text } ?? "") }
}
