extension ConfigurationDecoder {
    func http(_ object: ConfigObject) -> HTTPConfiguration? {
        HTTPConfiguration(
            idleTimeout: object.value(
                "idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout),
                default: HTTPConfiguration.defaultIdleTimeout),
            requestTimeout: object.value(
                "request_timeout", .durationOrOff(in: ConfigLimits.requestTimeout),
                default: HTTPConfiguration.defaultRequestTimeout),
            limits: object.value("limits", .object("limits", limits), default: HTTPLimits()),
            routes: object.required("routes", .list(of: .object("route", route), count: ConfigLimits.routes)) ?? [])
    }

    private func limits(_ object: ConfigObject) -> HTTPLimits? {
        HTTPLimits(
            headerBytes: object.value(
                "header_bytes", .size(in: ConfigLimits.headerBytes), default: HTTPLimits.defaultHeaderBytes),
            headers: object.value("headers", .int(in: ConfigLimits.headers), default: HTTPLimits.defaultHeaders))
    }

    private func route(_ object: ConfigObject) -> DirectResponseRoute? {
        let match = object.required("match", .object("match", match).expecting("an object, {} to match every request"))
        let response = object.required("respond", .object("respond", respond))
        guard let match, let response else { return nil }
        return DirectResponseRoute(match: match, response: response, origin: ConfigOrigin(object.position))
    }

    private func match(_ object: ConfigObject) -> RouteMatch? {
        let path = object.optional("path", .path)
        let pathPrefix = object.optional("path_prefix", .path)
        guard let pathEntry = object.entry("path") else {
            guard object.entry("path_prefix") != nil else { return .all }
            return pathPrefix.map(RouteMatch.pathPrefix)
        }
        if let prefixEntry = object.entry("path_prefix") {
            diagnostics.report(
                "both \"path\" and \"path_prefix\" in match", expected: "one of them",
                at: max(pathEntry.keyPosition, prefixEntry.keyPosition))
        }
        return path.map(RouteMatch.path)
    }

    private func respond(_ object: ConfigObject) -> DirectResponse? {
        let status = object.required("status", .int(in: ConfigLimits.responseStatus))
        let body = object.value("body", .responseBody, default: "")
        let headers = object.value("headers", .responseHeaders, default: [])
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

extension ConfigFormat where Value == String {
    /// An absolute path as it stands in a request line (RFC 9110 §4.1): visible ASCII, without query and fragment.
    fileprivate static var path: ConfigFormat {
        text("a path such as /index.html") { text throws(ConfigProblem) in
            guard text.utf8.first == UInt8(ascii: "/") else { throw ConfigProblem("which does not start with /") }
            guard text.utf8.count <= ConfigLimits.pathBytesMax else {
                throw ConfigProblem("which is longer than \(ConfigLimits.pathBytesMax) bytes")
            }
            guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw ConfigProblem("which has characters that a request must percent-encode")
            }
            guard !text.contains(where: { $0 == "?" || $0 == "#" }) else {
                throw ConfigProblem("which has a query or a fragment")
            }
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

extension ConfigFormat where Value == [ResponseHeader] {
    fileprivate static var responseHeaders: ConfigFormat {
        let format = ConfigFormat<[ResponseHeader]>.object("headers") { object in
            let entries = object.allEntries()
            if entries.count > ConfigLimits.responseHeadersMax {
                object.diagnostics.report(
                    "\"headers\" has \(entries.count) keys", expected: "at most \(ConfigLimits.responseHeadersMax)",
                    at: object.position)
            }
            return entries.compactMap { responseHeader($0, object.diagnostics) }
        }
        return format.expecting("an object of header names and values")
    }

    /// What frames a message is the proxy's business: a wrong one would let a peer see two responses in one.
    private static let framingHeaders: Set<String> = [
        "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    ]

    private static func responseHeader(_ entry: ConfigEntry, _ diagnostics: Diagnostics) -> ResponseHeader? {
        let name = entry.key.quotedForMessage
        guard !entry.key.isEmpty, entry.key.utf8.allSatisfy(\.isTokenByte) else {
            diagnostics.report(
                "\(name) is not a header name", expected: "letters, digits and -", at: entry.keyPosition)
            return nil
        }
        guard !framingHeaders.contains(entry.key.lowercased()) else {
            diagnostics.report("the proxy sets \(name) itself", expected: "another header", at: entry.keyPosition)
            return nil
        }
        let value = ConfigValue(
            node: entry.value, subject: name, expectation: ConfigFormat<String>.headerValue.expectation,
            diagnostics: diagnostics)
        return value.read(as: .headerValue).map { ResponseHeader(name: entry.key, value: $0) }
    }
}

extension ConfigFormat where Value == String {
    /// RFC 9110 §5.5: no control characters but tabs within, no white space around.
    fileprivate static var headerValue: ConfigFormat {
        text("a header value: text without line breaks and other control characters") { text throws(ConfigProblem) in
            let isBlank: (UInt8?) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == UInt8(ascii: "\t") }) else {
                throw ConfigProblem()
            }
            guard !isBlank(text.utf8.first), !isBlank(text.utf8.last) else {
                throw ConfigProblem("which starts or ends with white space")
            }
            return text
        }
    }
}

extension UInt8 {
    /// RFC 9110 §5.6.2: tchar.
    fileprivate var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
