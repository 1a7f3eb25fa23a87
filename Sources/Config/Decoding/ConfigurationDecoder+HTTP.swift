extension ConfigurationDecoder {
    func http(_ object: ConfigObject) -> HTTPConfiguration? {
        HTTPConfiguration(
            useRemoteAddress: object.value("use_remote_address", .bool, default: false),
            xffNumTrustedHops: object.value(
                "xff_num_trusted_hops", .int(in: ConfigLimits.trustedHops),
                default: HTTPConfiguration.defaultXFFNumTrustedHops),
            serverName: object.value("server_name", .serverName, default: HTTPConfiguration.defaultServerName),
            idleTimeout: object.value(
                "idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout),
                default: HTTPConfiguration.defaultIdleTimeout),
            requestTimeout: object.value(
                "request_timeout", .durationOrOff(in: ConfigLimits.requestTimeout),
                default: HTTPConfiguration.defaultRequestTimeout),
            requestBodyTimeout: object.value(
                "request_body_timeout", .durationOrOff(in: ConfigLimits.requestTimeout),
                default: HTTPConfiguration.defaultRequestBodyTimeout),
            requestBodyMinRate: object.value(
                "request_body_min_rate", .size(in: ConfigLimits.requestBodyMinRate),
                default: HTTPConfiguration.defaultRequestBodyMinRate),
            streamIdleTimeout: object.value(
                "stream_idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout),
                default: HTTPConfiguration.defaultStreamIdleTimeout),
            maxRequestsPerConnection: object.optional(
                "max_requests_per_connection", .int(in: ConfigLimits.requestsPerConnection)),
            maxConnectionDuration: object.optional(
                "max_connection_duration", .duration(in: ConfigLimits.connectionDuration)),
            limits: object.value("limits", .object("limits", limits), default: HTTPLimits()),
            http2: object.value("http2", .object("http2", listenerHTTP2), default: HTTP2Configuration()),
            paths: paths(object),
            requestID: RequestIDConfiguration(
                isGenerated: object.value("generate_request_id", .bool, default: true),
                preservesExternal: object.value("preserve_external_request_id", .bool, default: false),
                isSetInResponse: object.value("always_set_request_id_in_response", .bool, default: false),
                packsTraceReason: object.value("pack_trace_reason", .bool, default: false)),
            internalAddresses: object.value(
                "internal_addresses", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []),
            tracing: object.optional("tracing", .object("tracing", httpTracing)),
            accessLogs: accessLogs(object),
            filters: object.value(
                "filters", .list(of: .filter(HTTPFilterConfiguration.init), count: ConfigLimits.httpFilters),
                default: []),
            hosts: hosts(object))
    }

    private func limits(_ object: ConfigObject) -> HTTPLimits? {
        HTTPLimits(
            headerBytes: object.value(
                "header_bytes", .size(in: ConfigLimits.headerBytes), default: HTTPLimits.defaultHeaderBytes),
            headers: object.value("headers", .int(in: ConfigLimits.headers), default: HTTPLimits.defaultHeaders),
            urlBytes: object.value(
                "url_bytes", .size(in: ConfigLimits.urlBytes), default: HTTPLimits.defaultURLBytes),
            bodyBytes: object.optional("body_bytes", .size(in: ConfigLimits.bodyBytes)),
            bufferBytes: object.value(
                "buffer_bytes", .size(in: ConfigLimits.bufferBytes), default: HTTPLimits.defaultBufferBytes))
    }

    private func paths(_ object: ConfigObject) -> PathConfiguration {
        PathConfiguration(
            isNormalized: object.value("normalize_path", .bool, default: true),
            mergesSlashes: object.value("merge_slashes", .bool, default: true),
            escapedSlashes: object.value(
                "escaped_slashes", .choice(["keep": .keep, "unescape": .unescape, "reject": .reject]),
                default: .keep))
    }
}

extension ConfigFormat where Value == String {
    fileprivate static var serverName: ConfigFormat {
        let header = ConfigFormat<String>.headerValue
        return ConfigFormat("text of 1 to \(ConfigLimits.serverNameBytesMax) bytes for a header") { value in
            guard let text = value.read(as: header.expecting(value.expectation)) else { return nil }
            guard (1...ConfigLimits.serverNameBytesMax).contains(text.utf8.count) else {
                value.refuse()
                return nil
            }
            return text
        }
    }
}
