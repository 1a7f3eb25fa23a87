extension ConfigurationDecoder {
    /// Keys that say how a request is forwarded, and mean nothing where it is not.
    private static let forwardingKeys = [
        "rewrite", "timeout", "idle_timeout", "upgrade", "retry", "request_headers",
    ]

    /// - Parameter matchesPrefix: the route has a path prefix that can be replaced
    func action(_ object: ConfigObject, matchesPrefix: Bool) -> RouteAction? {
        let clusters = clusters(object)
        let redirect = object.optional("redirect", .object("redirect") { self.redirect($0, matchesPrefix) })
        let response = object.optional("respond", .object("respond", respond))
        let forward = forward(object, to: clusters, matchesPrefix)
        let key = object.exactlyOne(of: ["cluster", "weighted", "redirect", "respond"])?.key
        switch key {
        case "redirect", "respond":
            for entry in Self.forwardingKeys.compactMap(object.entry) {
                diagnostics.report(
                    "\(entry.key.quotedForMessage) in a route that does not forward",
                    expected: "it beside \"cluster\" or \"weighted\"", at: entry.keyPosition)
            }
            return key == "redirect" ? redirect.map(RouteAction.redirect) : response.map(RouteAction.respond)
        default:
            return clusters.isEmpty ? nil : .forward(forward)
        }
    }

    // MARK: Forwarding

    private func forward(
        _ object: ConfigObject, to clusters: [WeightedCluster], _ matchesPrefix: Bool
    ) -> ForwardConfiguration {
        ForwardConfiguration(
            clusters: clusters,
            rewrite: object.value(
                "rewrite", .object("rewrite") { self.rewrite($0, matchesPrefix) }, default: RewriteConfiguration()),
            timeout: object.value(
                "timeout", .durationOrOff(in: ConfigLimits.routeTimeout),
                default: ForwardConfiguration.defaultTimeout),
            idleTimeout: object.optional("idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout))
                .map { $0 ?? .zero },
            upgrade: object.value("upgrade", .upgradePolicy, default: .none),
            retry: object.optional("retry", .object("retry", retry)),
            requestHeaders: object.value(
                "request_headers", .headerEdits(of: .request), default: HeaderEditConfiguration()))
    }

    private func rewrite(_ object: ConfigObject, _ matchesPrefix: Bool) -> RewriteConfiguration? {
        let prefix = object.optional("path_prefix", .path)
        let path = object.optional("path", .path)
        let host = object.optional("host", .authority)
        let pathKey = object.atMostOne(of: ["path_prefix", "path"])?.key
        if pathKey == nil, object.entry("host") == nil {
            object.reportMissing("\"path_prefix\", \"path\" or \"host\"", expected: "at least one of them")
            return nil
        }
        checkPrefix(object, "path_prefix", matchesPrefix, instead: "path")
        let rewrite = pathKey == "path" ? path.map(PathRewrite.whole) : prefix.map(PathRewrite.prefix)
        return RewriteConfiguration(path: rewrite, host: host)
    }

    /// A prefix can only be replaced where one was matched.
    private func checkPrefix(_ object: ConfigObject, _ key: String, _ matchesPrefix: Bool, instead: String) {
        guard let entry = object.entry(key), !matchesPrefix else { return }
        diagnostics.report(
            "\(key.quotedForMessage) in a route whose match has no \"path_prefix\"",
            expected: "\(instead.quotedForMessage), or a match with a prefix", at: entry.keyPosition)
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

    // MARK: Answers of our own

    private func redirect(_ object: ConfigObject, _ matchesPrefix: Bool) -> RedirectConfiguration? {
        let path = object.optional("path", .pathAndQuery)
        let prefix = object.optional("prefix_rewrite", .path)
        let host = object.optional("host", .host)
        let scheme = object.optional("scheme", .choice(["http": RedirectScheme.http, "https": .https]))
        let port = object.optional("port", .int(in: ConfigLimits.port))
        let status = object.value("status", .redirectStatus, default: RedirectConfiguration.defaultStatus)
        let stripsQuery = object.value("strip_query", .bool, default: false)
        let pathKey = object.atMostOne(of: ["path", "prefix_rewrite"])?.key
        if pathKey == nil, ["host", "scheme", "port"].allSatisfy({ object.entry($0) == nil }) {
            // The client would come back with the same request for ever.
            object.reportMissing(
                "\"path\", \"prefix_rewrite\", \"host\", \"scheme\" or \"port\"", expected: "at least one of them")
            return nil
        }
        checkPrefix(object, "prefix_rewrite", matchesPrefix, instead: "path")
        return RedirectConfiguration(
            path: pathKey == "path" ? path.map(PathRewrite.whole) : prefix.map(PathRewrite.prefix),
            host: host, scheme: scheme, port: port.map { UInt16($0) }, status: status, stripsQuery: stripsQuery)
    }

    private func respond(_ object: ConfigObject) -> DirectResponse? {
        let status = object.required("status", .int(in: ConfigLimits.responseStatus))
        let body = object.value("body", .responseBody, default: "")
        let headers = object.value("headers", .headers(of: .response), default: [])
        guard let status else { return nil }
        if !body.isEmpty, [204, 205, 304].contains(status) {
            // RFC 9110 §15.3.5, §15.3.6, §15.4.5
            diagnostics.report(
                "\"body\" is not empty, but responses with status \(status) have none", expected: "no body",
                at: object.position(of: "body"))
        }
        return DirectResponse(status: status, body: body, headers: headers)
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
            "5xx": .serverError, "gateway-error": .gatewayError,
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
