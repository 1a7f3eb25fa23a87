internal import Config
internal import Engine
internal import Filters
internal import HTTP
internal import Upstream

/// What an admin path answers: all of it, or a head whose body is made while it is sent.
enum AdminAnswer {
    case whole(LocalResponse)
    case exposition(LocalResponse, Exposition)
    /// Takes a while, and nothing of `Control`: made on the queue of scrapes.
    case later(@Sendable () -> LocalResponse)
}

/// What each admin path answers. Runs on the control queue.
struct AdminHandler {
    let control: Control

    private enum Access {
        case read, change, both
    }

    /// The method that changes what a page of both kinds shows.
    private static func changing(_ path: String) -> HTTPMethod { path == "/config" ? .put : .post }

    private typealias Page = (
        path: String, access: Access, about: String, answer: @Sendable (AdminHandler, AdminRequest) -> AdminAnswer
    )

    /// Every path, in the order of the index page.
    private static let pages: [Page] = [
        ("/metrics", .read, "metrics for Prometheus, as text or OpenMetrics", { $0.metrics($1) }),
        ("/stats/prometheus", .read, "the same under Envoy's names", { $0.envoyMetrics($1) }),
        (
            "/stats", .read, "every stat (?filter=REGEX, ?format=json, ?format=prometheus, ?usedonly)",
            { $0.stats($1) }
        ),
        (
            "/requests", .read, "the last requests (?status=5xx&flag=UF&route=R&min_duration=1s&id=I, ?format=json)",
            { $0.requests($1) }
        ),
        (
            "/ready", .read, "200 LIVE, or 503 while starting or draining",
            { handler, request in .whole(ready(request, handler.control.readiness)) }
        ),
        ("/clusters", .read, "clusters and endpoints (?format=json)", { .whole($0.clusters($1)) }),
        ("/listeners", .read, "listeners (?format=json)", { .whole($0.listeners($1)) }),
        ("/certs", .read, "certificates in use (?format=json)", { .whole($0.certificates($1)) }),
        (
            "/server_info", .read, "version, uptime, workers, kernel features",
            { handler, _ in .whole(handler.serverInfo()) }
        ),
        (
            "/explain", .read, "what becomes of a request (?method=GET&url=URL&header=NAME:VALUE, ?format=json)",
            { .whole($0.explain($1)) }
        ),
        (
            "/config_dump", .read, "the running configuration without secrets (?format=json)",
            { .whole($0.configDump($1)) }
        ),
        (
            "/tracing", .both, "GET: sampling and exporters; POST: ?listener=NAME&sampling=1%25",
            { .whole($0.tracing($1)) }
        ),
        ("/config", .both, "GET: the running configuration; PUT: replace it as a whole", { .whole($0.config($1)) }),
        (
            "/reopen_logs", .change, "write access logs to files opened anew",
            { handler, _ in .whole(handler.reopenLogs()) }
        ),
        (
            "/healthcheck/fail", .change, "/ready and the health_check filter answer 503",
            { handler, _ in .whole(handler.setHealthChecks(failed: true)) }
        ),
        (
            "/healthcheck/ok", .change, "they answer 200 again",
            { handler, _ in .whole(handler.setHealthChecks(failed: false)) }
        ),
        (
            "/drain_listeners", .change, "stop accepting connections",
            { handler, _ in .whole(handler.drainListeners()) }
        ),
        ("/quitquitquit", .change, "drain, then end the process", { handler, _ in .whole(handler.quit()) }),
    ]

    func answer(to request: AdminRequest) -> AdminAnswer {
        if request.path == "/" { return .whole(request.isRead ? index() : Self.notAllowed("GET, HEAD")) }
        guard let page = Self.pages.first(where: { $0.path == request.path }) else {
            return .whole(LocalResponse(.notFound, text: "no such page; / lists them\n"))
        }
        switch page.access {
        case .change where request.method != .post && request.method != .put:
            return .whole(Self.notAllowed("POST, PUT"))
        case .read where !request.isRead: return .whole(Self.notAllowed("GET, HEAD"))
        case .both where !request.isRead && request.method != Self.changing(page.path):
            return .whole(Self.notAllowed("GET, HEAD, \(Self.changing(page.path) == .put ? "PUT" : "POST")"))
        default:
            return page.answer(self, request)
        }
    }

    static func ready(_ request: AdminRequest, _ phase: Control.Phase) -> LocalResponse {
        guard request.isRead else { return notAllowed("GET, HEAD") }
        return switch phase {
        case .live: LocalResponse(.ok, text: "LIVE\n")
        case .starting: LocalResponse(.serviceUnavailable, text: "INITIALIZING\n")
        case .draining: LocalResponse(.serviceUnavailable, text: "DRAINING\n")
        }
    }

    private static func notAllowed(_ methods: String) -> LocalResponse {
        LocalResponse(
            .methodNotAllowed, headers: [("Allow", methods), ("Content-Type", "text/plain; charset=utf-8")],
            body: Array("this page takes \(methods)\n".utf8))
    }

    // MARK: Reads

    private func clusters(_ request: AdminRequest) -> LocalResponse {
        let clusters = (control.snapshot?.clusters.values ?? [:].values).sorted { $0.name < $1.name }
        if request.wantsJSON {
            return .json(.object([("clusters", .array(clusters.map(json)))]))
        }
        var text = ""
        for cluster in clusters {
            text += "\(cluster.name)::policy::\(cluster.policy.name)\n"
            text += "\(cluster.name)::max_connections::\(cluster.connectionsMax.map(String.init) ?? "unlimited")\n"
            for (index, endpoint) in cluster.endpoints.enumerated() {
                let prefix = "\(cluster.name)::\(endpoint.name)::"
                text += prefix + "cx_active::\(control.registry.sum(endpoint.stats, EndpointStat.active))\n"
                text += prefix + "cx_total::\(control.registry.sum(endpoint.stats, EndpointStat.opened))\n"
                text +=
                    prefix + "cx_connect_fail::\(control.registry.sum(endpoint.stats, EndpointStat.connectFailures))\n"
                text += prefix + "weight::\(endpoint.weight)\n"
                text += prefix + "health_flags::\(cluster.health(of: index).flags)\n"
            }
        }
        return LocalResponse(.ok, text: text)
    }

    private func json(_ cluster: Cluster) -> JSON {
        let endpoints = cluster.endpoints.enumerated().map { index, endpoint in
            JSON.object([
                ("address", .string(endpoint.name)),
                ("weight", .number(UInt64(endpoint.weight))),
                ("state", .string(cluster.health(of: index).state.rawValue)),
                ("connections_active", .number(control.registry.sum(endpoint.stats, EndpointStat.active))),
                ("connections_total", .number(control.registry.sum(endpoint.stats, EndpointStat.opened))),
                ("connect_failures", .number(control.registry.sum(endpoint.stats, EndpointStat.connectFailures))),
            ])
        }
        return .object([
            ("name", .string(cluster.name)),
            ("load_balancing", .string(cluster.policy.name)),
            ("max_connections", cluster.connectionsMax.map { .number($0) } ?? .null),
            ("endpoints", .array(endpoints)),
        ])
    }

    private func listeners(_ request: AdminRequest) -> LocalResponse {
        let listeners = control.snapshot?.listeners ?? []
        if request.wantsJSON {
            let entries = listeners.map { listener in
                JSON.object([
                    ("name", .string(listener.configuration.name)),
                    ("address", .string(control.address(of: listener))),
                    ("connections_active", .number(control.registry.sum(listener.stats, ConnectionStat.active))),
                    ("connections_total", .number(control.registry.sum(listener.stats, ConnectionStat.opened))),
                    ("filter_chains", .array(listener.configuration.filterChains.map(Self.json))),
                ])
            }
            return .json(.object([("listeners", .array(entries))]))
        }
        var text = ""
        for listener in listeners {
            let name = listener.configuration.name
            text += "\(name)::\(control.address(of: listener))\n"
            for (index, chain) in listener.configuration.filterChains.enumerated() {
                text += "\(name)::filter_chain::\(chain.name ?? "\(index)")::\(chain.match)\(chain.kind)\n"
            }
        }
        return LocalResponse(.ok, text: text)
    }

    private static func json(_ chain: FilterChainConfiguration) -> JSON {
        .object([
            ("name", chain.name.map { .string($0) } ?? .null),
            ("match", .string(chain.match.description)),
            ("tls", .bool(chain.tls != nil)),
        ])
    }

    private func serverInfo() -> LocalResponse {
        let capabilities = RingCapabilities.probe()
        let phase =
            switch control.readiness {
            case .starting: "INITIALIZING"
            case .live: "LIVE"
            case .draining: "DRAINING"
            }
        return .json(
            .object([
                ("version", .string(RingwayVersion.current)),
                ("state", .string(phase)),
                ("uptime_seconds", .number(control.uptimeSeconds)),
                ("workers", .number(UInt64(control.workerCount))),
                ("config_generation", .number(control.snapshot?.generation ?? 0)),
                ("io", .string("uring")),
                ("kernel", .string(capabilities.kernel)),
                ("ring_features", .object(capabilities.features.map { ($0.name, .bool($0.isThere)) })),
            ]))
    }

    private func explain(_ request: AdminRequest) -> LocalResponse {
        guard let snapshot = control.snapshot else { return LocalResponse(.serviceUnavailable, text: "starting\n") }
        let query = request.query
        guard let url = query["url"] else {
            return LocalResponse(.badRequest, text: "url= is missing: whole, or a path that starts with a slash\n")
        }
        do throws(ExplainedRequest.Invalid) {
            let asked = try ExplainedRequest(
                method: query["method"] ?? "GET", url: url,
                headers: request.parameters.filter { $0.name == "header" }.map(\.value), source: query["source"])
            let explainer = RequestExplainer(snapshot: snapshot, address: control.address)
            let explanation = try explainer.explain(asked, listener: query["listener"])
            return request.wantsJSON ? .json(explanation.json) : LocalResponse(.ok, text: explanation.text)
        } catch {
            return LocalResponse(.badRequest, text: error.message + "\n")
        }
    }

    private func index() -> LocalResponse {
        var html = """
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Ringway</title>
            <style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:50rem;padding:0 1rem}
            td{padding:.2rem 1rem .2rem 0;vertical-align:top}</style>
            <h1>Ringway \(RingwayVersion.current)</h1><table>

            """
        for page in Self.pages {
            let isLink = page.access != .change
            let name = isLink ? "<a href=\"\(page.path)\">\(page.path)</a>" : "POST \(page.path)"
            html += "<tr><td>\(name)</td><td>\(page.about)</td></tr>\n"
        }
        return LocalResponse(.ok, text: html + "</table></html>\n", type: "text/html; charset=utf-8")
    }

    // MARK: Configuration

    private func config(_ request: AdminRequest) -> LocalResponse {
        guard request.method == .put else { return currentConfig() }
        var expected: UInt64?
        // `*` is any generation there is (RFC 9110 §13.1.1).
        if let ifMatch = request.ifMatch, ifMatch != "*" {
            guard let generation = UInt64(ifMatch.filter { $0 != "\"" }) else {
                return LocalResponse(.badRequest, text: "If-Match is a generation, as in the ETag of GET /config\n")
            }
            expected = generation
        }
        guard let text = String(validating: request.body, as: UTF8.self) else {
            return LocalResponse(.badRequest, text: "the configuration is not UTF-8\n")
        }
        if let position = ConfigRedaction.position(ofMarkIn: text) {
            return Self.unprocessable([
                ConfigError(
                    file: "PUT /config", position: position,
                    problem: "\"\(ConfigRedaction.mark)\" stands where a secret was", expected: "the secret")
            ])
        }
        switch control.apply(text: text, file: "PUT /config", ifGeneration: expected) {
        case .applied(let generation):
            return .json(.object([("generation", .number(generation))]), generation: generation)
        case .conflict(let generation):
            return .json(
                .object([
                    ("error", .string("the running configuration is another generation")),
                    ("generation", .number(generation)),
                ]), status: .conflict, generation: generation)
        case .rejected(let errors): return Self.unprocessable(errors)
        }
    }

    private static func unprocessable(_ errors: [ConfigError]) -> LocalResponse {
        let list = errors.map { error in
            JSON.object([
                ("line", .number(UInt64(error.line))), ("column", .number(UInt64(error.column))),
                ("problem", .string(error.problem)), ("expected", .string(error.expected)),
                ("suggestion", error.suggestion.map { .string($0) } ?? .null),
                ("text", .string(error.description)),
            ])
        }
        return .json(.object([("errors", .array(list))]), status: .unprocessableContent)
    }

    // MARK: Tracing

    private func tracing(_ request: AdminRequest) -> LocalResponse {
        guard let snapshot = control.snapshot else { return LocalResponse(.serviceUnavailable, text: "starting\n") }
        let page = TracingPage(snapshot: snapshot, hub: control.compiler.tracing)
        return request.isRead ? page.show() : page.change(request.query)
    }

    private func currentConfig() -> LocalResponse {
        guard let snapshot = control.snapshot else { return LocalResponse(.serviceUnavailable, text: "starting\n") }
        return LocalResponse(
            .ok,
            headers: [
                ("Content-Type", "application/yaml"), ("ETag", "\"\(snapshot.generation)\""),
                ("X-Ringway-Generation", "\(snapshot.generation)"),
            ], body: Array(control.redaction.text(of: snapshot.source).utf8))
    }

    private func configDump(_ request: AdminRequest) -> LocalResponse {
        guard request.wantsJSON else { return currentConfig() }
        guard let snapshot = control.snapshot else { return LocalResponse(.serviceUnavailable, text: "starting\n") }
        let document = control.redaction.document(of: snapshot.source)
        return .json(
            .object([
                ("generation", .number(snapshot.generation)), ("config", document.map(JSON.init) ?? .null),
            ]), generation: snapshot.generation)
    }

    // MARK: Changes

    private func reopenLogs() -> LocalResponse {
        control.reopenLogs()
        return LocalResponse(.ok, text: "OK\n")
    }

    private func setHealthChecks(failed: Bool) -> LocalResponse {
        control.serving.setFailed(failed)
        return LocalResponse(.ok, text: "OK\n")
    }

    private func drainListeners() -> LocalResponse {
        control.drainListeners()
        return LocalResponse(.ok, text: "OK\n")
    }

    private func quit() -> LocalResponse {
        control.drain()
        return LocalResponse(.ok, text: "OK\n")
    }
}

extension FilterChainConfiguration {
    fileprivate var kind: String { tls == nil ? "" : "::tls" }
}

extension AdminRequest {
    var isRead: Bool { method == .get || method == .head }
    var wantsJSON: Bool { query["format"] == "json" }
}

extension LocalResponse {
    static func json(_ value: JSON, status: HTTPStatus = .ok, generation: UInt64? = nil) -> LocalResponse {
        var headers = [(name: "Content-Type", value: "application/json")]
        if let generation { headers.append(("ETag", "\"\(generation)\"")) }
        return LocalResponse(status, headers: headers, body: Array((value.text + "\n").utf8))
    }
}

extension LoadBalancingPolicy {
    /// As in the configuration file.
    var name: String {
        switch self {
        case .roundRobin: "round_robin"
        case .leastRequest: "least_request"
        case .random: "random"
        }
    }
}

extension JSON {
    /// As YAML's core schema reads it: what is not in quotes may be a number, a truth value or nothing.
    fileprivate init(_ node: ConfigNode) {
        switch node.value {
        case .scalar(let scalar) where scalar.isNull: self = .null
        case .scalar(let scalar) where scalar.isQuoted: self = .string(scalar.text)
        case .scalar(let scalar) where scalar.text == "true" || scalar.text == "false":
            self = .bool(scalar.text == "true")
        case .scalar(let scalar):
            // As it would be written: `007` and `1_000` stay text.
            if let number = UInt64(scalar.text), "\(number)" == scalar.text {
                self = .number(number)
            } else {
                self = .string(scalar.text)
            }
        case .list(let nodes): self = .array(nodes.map(JSON.init))
        case .object(let entries): self = .object(entries.map { ($0.key, JSON($0.value)) })
        }
    }
}
