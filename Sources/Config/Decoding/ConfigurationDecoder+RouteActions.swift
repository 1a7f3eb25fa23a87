extension ConfigurationDecoder {
    /// Keys that say how a request is forwarded, and mean nothing where it is not.
    private static let forwardingKeys = [
        "rewrite", "timeout", "idle_timeout", "upgrade", "retry", "mirror", "request_headers",
    ]

    /// - Parameter path: what the route matches, nil when that could not be read
    func action(_ object: ConfigObject, matching path: PathMatch?) -> RouteAction? {
        let clusters = clusters(object)
        let clusterHeader = object.optional("cluster_header", .headerName)
        let redirect = object.optional("redirect", .object("redirect") { self.redirect($0, path) })
        let response = object.optional("respond", .object("respond", DirectResponse.init))
        let forward = forward(object, to: clusters, header: clusterHeader, path)
        let key = object.exactlyOne(of: ["cluster", "weighted", "cluster_header", "redirect", "respond"])?.key
        switch key {
        case "redirect", "respond":
            for entry in Self.forwardingKeys.compactMap(object.entry) {
                diagnostics.report(
                    "\(entry.key.quotedForMessage) in a route that does not forward",
                    expected: "it beside \"cluster\", \"weighted\" or \"cluster_header\"", at: entry.keyPosition)
            }
            return key == "redirect" ? redirect.map(RouteAction.redirect) : response.map(RouteAction.respond)
        default:
            return clusters.isEmpty && clusterHeader == nil ? nil : .forward(forward)
        }
    }

    // MARK: Forwarding

    private func forward(
        _ object: ConfigObject, to clusters: [WeightedCluster], header clusterHeader: String?, _ path: PathMatch?
    ) -> ForwardConfiguration {
        ForwardConfiguration(
            clusters: clusters, clusterHeader: clusterHeader,
            rewrite: object.value(
                "rewrite", .object("rewrite") { self.rewrite($0, path) }, default: RewriteConfiguration()),
            timeout: object.value(
                "timeout", .durationOrOff(in: ConfigLimits.routeTimeout),
                default: ForwardConfiguration.defaultTimeout),
            idleTimeout: object.optional("idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout))
                .map { $0 ?? .zero },
            upgrade: object.value("upgrade", .upgradePolicy, default: .none),
            retry: object.optional("retry", .object("retry", retry)),
            mirrors: object.value("mirror", mirrors, default: []),
            requestHeaders: object.value(
                "request_headers", .headerEdits(of: .request), default: HeaderEditConfiguration()))
    }

    private func rewrite(_ object: ConfigObject, _ path: PathMatch?) -> RewriteConfiguration? {
        let rewrite = pathRewrite(object, prefix: "path_prefix", whole: .path, path)
        let host = object.optional("host", .authority)
        if !rewrite.isThere, object.entry("host") == nil {
            object.reportMissing(
                "\"path_prefix\", \"path\", \"path_regex\", \"path_template\" or \"host\"",
                expected: "at least one of them")
            return nil
        }
        return RewriteConfiguration(path: rewrite.value, host: host)
    }

    /// At most one of the ways to another path.
    ///
    /// - Parameters:
    ///   - prefix: the key of what replaces the prefix
    ///   - whole: how the whole path is written
    private func pathRewrite(
        _ object: ConfigObject, prefix: String, whole: ConfigFormat<String>, _ match: PathMatch?
    ) -> (isThere: Bool, value: PathRewrite?) {
        let rewrites = [
            prefix: object.optional(prefix, .path).map(PathRewrite.prefix),
            "path": object.optional("path", whole).map(PathRewrite.whole),
            "path_regex": object.optional("path_regex", .object("path_regex", regexRewrite)),
            "path_template": templateRewrite(object, match),
        ]
        let key = object.atMostOne(of: [prefix, "path", "path_regex", "path_template"])?.key
        if let entry = object.entry(prefix), let match {
            if case .prefix = match {} else { reportMismatch(entry, "path_prefix", instead: "path") }
        }
        return (key != nil, key.flatMap { rewrites[$0] ?? nil })
    }

    private func regexRewrite(_ object: ConfigObject) -> PathRewrite? {
        let pattern = object.required("pattern", regex)
        let substitution = object.required("substitution", .substitution)
        guard let pattern, let substitution else { return nil }
        guard substitution.groupMax <= pattern.groupCount else {
            diagnostics.report(
                "\"substitution\" names group \(substitution.groupMax), but the pattern has \(pattern.groupCount)",
                expected: "groups that the pattern has", at: object.position(of: "substitution"))
            return nil
        }
        return .regex(pattern, substitution)
    }

    /// Variables are those of the match's template.
    private func templateRewrite(_ object: ConfigObject, _ match: PathMatch?) -> PathRewrite? {
        guard let entry = object.entry("path_template") else { return nil }
        guard case .template(let template) = match else {
            if match != nil { reportMismatch(entry, "path_template", instead: "path") }
            return nil
        }
        let format = ConfigFormat<PathTemplateRewrite>.text("a path with variables of the match, such as /v2/{id}") {
            text throws(ConfigProblem) in
            try PathTemplateRewrite(parsing: text, variables: template.variables.map(\.name))
        }
        return object.optional("path_template", format).map(PathRewrite.template)
    }

    /// What was matched in another way cannot be replaced in this one.
    private func reportMismatch(_ entry: ConfigEntry, _ key: String, instead: String) {
        diagnostics.report(
            "\(entry.key.quotedForMessage) in a route whose match has no \(key.quotedForMessage)",
            expected: "\(instead.quotedForMessage), or a match with \(key.quotedForMessage)", at: entry.keyPosition)
    }

    private func retry(_ object: ConfigObject) -> RetryConfiguration? {
        let on = object.required("on", .list(of: .retryCause, count: ConfigLimits.retryOn)) ?? []
        let attempts = object.value(
            "attempts", .int(in: ConfigLimits.retryAttempts), default: RetryConfiguration.defaultAttempts)
        let perTryTimeout = object.optional("per_try_timeout", .duration(in: ConfigLimits.routeTimeout))
        let backOff = object.value(
            "back_off", .duration(in: ConfigLimits.retryBackOff), default: RetryConfiguration.defaultBackOff)
        let budget = object.optional("budget", .percent)
        var conditions: RetryConditions = []
        var statuses: [Int] = []
        for cause in on {
            switch cause {
            case .condition(let condition): conditions.insert(condition)
            case .status(let status): if !statuses.contains(status) { statuses.append(status) }
            }
        }
        return RetryConfiguration(
            conditions: conditions, statuses: statuses, attempts: attempts, perTryTimeout: perTryTimeout,
            backOff: backOff, budget: budget)
    }

    /// One object, or a list of them.
    private var mirrors: ConfigFormat<[MirrorConfiguration]> {
        let mirror = ConfigFormat<MirrorConfiguration>.object("mirror") { object in
            let cluster = self.clusterReference(object, "cluster")
            let fraction = object.value("fraction", .percent, default: MirrorConfiguration.defaultFraction)
            return cluster.map { MirrorConfiguration(cluster: $0, fraction: fraction) }
        }
        let list = ConfigFormat<[MirrorConfiguration]>.list(of: mirror, count: ConfigLimits.mirrors)
        return ConfigFormat("an object with cluster and fraction, or a list of such") { value in
            if case .list = value.node.value { return value.read(as: list) }
            return value.read(as: mirror.expecting(value.expectation)).map { [$0] }
        }
    }

    // MARK: Answers of our own

    private func redirect(_ object: ConfigObject, _ match: PathMatch?) -> RedirectConfiguration? {
        let rewrite = pathRewrite(object, prefix: "prefix_rewrite", whole: .pathAndQuery, match)
        let host = object.optional("host", .host)
        let scheme = object.optional("scheme", .choice(["http": RedirectScheme.http, "https": .https]))
        let port = object.optional("port", .int(in: ConfigLimits.port))
        let status = object.value("status", .redirectStatus, default: RedirectConfiguration.defaultStatus)
        let stripsQuery = object.value("strip_query", .bool, default: false)
        if !rewrite.isThere, ["host", "scheme", "port"].allSatisfy({ object.entry($0) == nil }) {
            // The client would come back with the same request for ever.
            object.reportMissing(
                "\"path\", \"prefix_rewrite\", \"path_regex\", \"path_template\", \"host\", \"scheme\" or \"port\"",
                expected: "at least one of them")
            return nil
        }
        return RedirectConfiguration(
            path: rewrite.value, host: host, scheme: scheme, port: port.map { UInt16($0) }, status: status,
            stripsQuery: stripsQuery)
    }
}

extension DirectResponse {
    /// Reads `{ status, body, headers }`. nil after an error was reported.
    package init?(_ object: ConfigObject) {
        let status = object.required("status", .int(in: ConfigLimits.responseStatus))
        let body = object.value("body", .responseBody, default: "")
        let headers = object.value("headers", .headers(of: .response), default: [])
        guard let status else { return nil }
        if !body.isEmpty, [204, 205, 304].contains(status) {
            // RFC 9110 §15.3.5, §15.3.6, §15.4.5
            object.diagnostics.report(
                "\"body\" is not empty, but responses with status \(status) have none", expected: "no body",
                at: object.position(of: "body"))
        }
        self.init(status: status, body: body, headers: headers)
    }
}

extension ConfigFormat where Value == HeaderEditConfiguration {
    static func headerEdits(of message: HeaderRules) -> ConfigFormat {
        object(message == .request ? "request_headers" : "response_headers") { object in
            let set = object.value("set", .headers(of: message), default: [])
            let add = object.value("add", .headers(of: message), default: [])
            let remove = object.value(
                "remove", .list(of: .editableHeaderName(of: message), count: 1...ConfigLimits.headerEditsMax),
                default: [])
            if ["set", "add", "remove"].allSatisfy({ object.entry($0) == nil }) {
                object.reportMissing("\"set\", \"add\" or \"remove\"", expected: "at least one of them")
            }
            return HeaderEditConfiguration(set: set, add: add, remove: remove)
        }
    }
}

extension ConfigFormat where Value == RegexSubstitution {
    fileprivate static var substitution: ConfigFormat {
        let bytesMax = ConfigLimits.pathBytesMax
        return text("part of a path, with \\0 to \\9 for what was matched") { text throws(ConfigProblem) in
            guard text.utf8.count <= bytesMax else { throw ConfigProblem("which is longer than \(bytesMax) bytes") }
            return try RegexSubstitution(parsing: text)
        }
    }
}

extension ConfigFormat where Value == UpgradePolicy {
    fileprivate static var upgradePolicy: ConfigFormat {
        let protocols = ConfigFormat<[String]>.list(of: .upgradeProtocol, count: ConfigLimits.upgrades)
        return ConfigFormat("true, false or a list of protocols such as [websocket]") { value in
            if case .list = value.node.value { return value.read(as: protocols).map(UpgradePolicy.protocols) }
            return value.read(as: ConfigFormat<Bool>.bool.expecting(value.expectation)).map { $0 ? .any : .none }
        }
    }
}

private enum RetryCause {
    case condition(RetryConditions)
    case status(Int)
}

extension ConfigFormat where Value == RetryCause {
    fileprivate static var retryCause: ConfigFormat {
        let words: KeyValuePairs<String, RetryConditions> = [
            "connect-failure": .connectFailure, "refused-stream": .refusedStream, "reset": .reset,
            "5xx": .serverError, "gateway-error": .gatewayError, "cancelled": .cancelled,
            "deadline-exceeded": .deadlineExceeded, "internal": .internal,
            "resource-exhausted": .resourceExhausted, "unavailable": .unavailable,
        ]
        let range = ConfigLimits.retryStatus
        let expectation =
            "one of \(words.map(\.key).joined(separator: ", ")), "
            + "or a status from \(range.lowerBound) to \(range.upperBound)"
        return ConfigFormat(expectation) { value in
            guard let text = value.text else { return nil }
            if let word = words.first(where: { $0.key == text }) { return .condition(word.value) }
            if text.utf8.allSatisfy({ $0.decimalDigit != nil }), let status = Int(text), range.contains(status) {
                return .status(status)
            }
            value.refuse(suggestion: value.diagnostics.suggestion(for: text, among: words.lazy.map(\.key)))
            return nil
        }
    }
}

extension ConfigFormat where Value == Int {
    fileprivate static var redirectStatus: ConfigFormat {
        let statuses = ConfigLimits.redirectStatuses
        let format = ConfigFormat<Int>.int(in: (statuses.min() ?? 0)...(statuses.max() ?? 0))
        let expectation = "one of \(statuses.map(String.init).joined(separator: ", "))"
        return ConfigFormat(expectation) { value in
            guard let status = value.read(as: format.expecting(expectation)) else { return nil }
            guard statuses.contains(status) else {
                value.refuse()
                return nil
            }
            return status
        }
    }
}

extension ConfigFormat where Value == String {
    /// RFC 9110 §7.8: the name of a protocol, without a version.
    fileprivate static var upgradeProtocol: ConfigFormat {
        text("a protocol such as websocket") { text throws(ConfigProblem) in
            guard text.isToken, text.utf8.count <= 64 else { throw ConfigProblem() }
            return text
        }
    }

    fileprivate static var responseBody: ConfigFormat {
        ConfigFormat("text of at most \(ConfigLimits.responseBodyBytesMax) bytes") { value in
            guard let text = value.text else { return nil }
            guard text.utf8.count <= ConfigLimits.responseBodyBytesMax else {
                value.diagnostics.report(
                    "\(value.subject) has \(text.utf8.count) bytes", expected: value.expectation,
                    at: value.node.position)
                return nil
            }
            return text
        }
    }
}
