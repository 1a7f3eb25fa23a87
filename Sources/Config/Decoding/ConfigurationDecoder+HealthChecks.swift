extension ConfigurationDecoder {
    func healthCheck(_ object: ConfigObject) -> HealthCheckConfiguration? {
        let http = object.optional("http", .object("http", httpHealthCheck))
        let tcp = object.optional("tcp", .object("tcp", tcpHealthCheck))
        let grpc = object.optional("grpc", .object("grpc", grpcHealthCheck))
        let interval = ConfigFormat<TimeSpan>.duration(in: ConfigLimits.healthCheckInterval)
        let threshold = ConfigFormat<Int>.int(in: ConfigLimits.healthCheckThreshold)
        let settings = (
            interval: object.value("interval", interval, default: HealthCheckConfiguration.defaultInterval),
            timeout: object.value(
                "timeout", .duration(in: ConfigLimits.healthCheckTimeout),
                default: HealthCheckConfiguration.defaultTimeout),
            healthy: object.value("healthy", threshold, default: HealthCheckConfiguration.defaultHealthy),
            unhealthy: object.value("unhealthy", threshold, default: HealthCheckConfiguration.defaultUnhealthy),
            jitter: object.value("jitter", .percent, default: HealthCheckConfiguration.defaultJitter),
            unhealthyInterval: object.optional("unhealthy_interval", interval),
            noTrafficInterval: object.optional("no_traffic_interval", interval)
        )
        let question: HealthCheckConfiguration.Question? =
            switch object.exactlyOne(of: ["http", "tcp", "grpc"])?.key {
            case "http": http.map { .http($0) }
            case "grpc": grpc.map { .grpc($0) }
            default: tcp.map { .tcp($0) }
            }
        guard let question else { return nil }
        return HealthCheckConfiguration(
            question: question, interval: settings.interval, unhealthyInterval: settings.unhealthyInterval,
            noTrafficInterval: settings.noTrafficInterval, timeout: settings.timeout, jitter: settings.jitter,
            healthy: settings.healthy, unhealthy: settings.unhealthy)
    }

    func outlierDetection(_ object: ConfigObject) -> OutlierDetectionConfiguration? {
        OutlierDetectionConfiguration(
            consecutive5xx: object.value(
                "consecutive_5xx", .int(in: ConfigLimits.healthCheckThreshold),
                default: OutlierDetectionConfiguration.defaultConsecutive5xx),
            baseEjection: object.value(
                "base_ejection", .duration(in: ConfigLimits.ejection),
                default: OutlierDetectionConfiguration.defaultBaseEjection),
            maxEjectionTime: object.value(
                "max_ejection_time", .duration(in: ConfigLimits.ejection),
                default: OutlierDetectionConfiguration.defaultMaxEjectionTime),
            maxEjected: object.value(
                "max_ejected", .percent, default: OutlierDetectionConfiguration.defaultMaxEjected))
    }

    private func httpHealthCheck(_ object: ConfigObject) -> HTTPHealthCheckConfiguration? {
        let path = object.required("path", .pathAndQuery)
        let statuses = ConfigFormat<[ClosedRange<Int>]>.list(
            of: .statusRange, count: 1...ConfigLimits.healthCheckStatuses)
        let check = HTTPHealthCheckConfiguration(
            method: object.value("method", .healthCheckMethod, default: .get),
            path: path ?? "/",
            host: object.optional("host", .authority),
            headers: object.value("headers", .headers(of: .request), default: []),
            expectedStatuses: object.value(
                "expected_statuses", statuses, default: HTTPHealthCheckConfiguration.defaultExpectedStatuses),
            retriableStatuses: object.value("retriable_statuses", statuses, default: []),
            reusesConnection: object.value("reuse_connection", .bool, default: true))
        return path == nil ? nil : check
    }

    private func grpcHealthCheck(_ object: ConfigObject) -> GRPCHealthCheckConfiguration? {
        GRPCHealthCheckConfiguration(
            service: object.value("service", .grpcService, default: ""),
            host: object.optional("host", .authority),
            headers: object.value("headers", .headers(of: .request), default: []))
    }

    /// gRPC is HTTP/2.
    func check(_ healthCheck: HealthCheckConfiguration?, of cluster: ConfigObject, _ upstream: UpstreamProtocol) {
        guard case .grpc = healthCheck?.question, upstream == .http1 else { return }
        diagnostics.report(
            "a \"grpc\" health check in a cluster of HTTP/1.1", expected: "`protocol: http2` beside it",
            at: cluster.position(of: "health_check"))
    }

    private func tcpHealthCheck(_ object: ConfigObject) -> TCPHealthCheckConfiguration? {
        TCPHealthCheckConfiguration(
            send: object.value("send", .payload, default: []), expect: object.value("expect", .payload, default: []))
    }
}

extension ConfigFormat where Value == String {
    fileprivate static var grpcService: ConfigFormat {
        let max = ConfigLimits.healthCheckPayloadBytesMax
        return text("the name of a service, up to \(max) bytes") { text throws(ConfigProblem) in
            guard text.utf8.count <= max else { throw ConfigProblem("which has \(text.utf8.count) bytes") }
            return text
        }
    }
}

extension ConfigFormat where Value == HTTPHealthCheckConfiguration.Method {
    fileprivate static var healthCheckMethod: ConfigFormat {
        choice(["GET": .get, "HEAD": .head, "OPTIONS": .options])
    }
}

extension ConfigFormat where Value == ClosedRange<Int> {
    /// `204`, or `200-299`.
    fileprivate static var statusRange: ConfigFormat {
        let range = ConfigLimits.responseStatus
        return text("a status from \(range.lowerBound) to \(range.upperBound), or a range such as 200-299") {
            text throws(ConfigProblem) in
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            let numbers = ends.compactMap { $0.utf8.allSatisfy { $0.decimalDigit != nil } ? Int($0) : nil }
            guard numbers.count == ends.count, (1...2).contains(numbers.count), let first = numbers.first,
                let last = numbers.last, numbers.allSatisfy(range.contains)
            else { throw ConfigProblem() }
            guard first <= last else { throw ConfigProblem("whose end is before its start") }
            return first...last
        }
    }
}

extension ConfigFormat where Value == [UInt8] {
    /// Text as it is, or bytes in hexadecimal behind `hex:`.
    fileprivate static var payload: ConfigFormat {
        let max = ConfigLimits.healthCheckPayloadBytesMax
        return text("text of 1 to \(max) bytes, or bytes such as hex:0d0a") { text throws(ConfigProblem) in
            let bytes = text.hasPrefix("hex:") ? try hex(text.utf8.dropFirst(4)) : Array(text.utf8)
            guard !bytes.isEmpty else { throw ConfigProblem() }
            guard bytes.count <= max else { throw ConfigProblem("which has \(bytes.count) bytes") }
            return bytes
        }
    }

    private static func hex(_ digits: Substring.UTF8View) throws(ConfigProblem) -> [UInt8] {
        let values = digits.compactMap { Character(Unicode.Scalar($0)).hexDigitValue.map(UInt8.init) }
        guard values.count == digits.count, values.count.isMultiple(of: 2) else {
            throw ConfigProblem("which has something else than pairs of hexadecimal digits")
        }
        return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }
}
