/// `tracing`, at the top level, of listeners, and of routes.
extension ConfigurationDecoder {
    // MARK: Top level

    func tracing(_ object: ConfigObject) -> TracingConfiguration? {
        var names = UniqueNames(kind: "exporter", diagnostics: diagnostics)
        let exporters = object.value(
            "exporters",
            .list(of: .object("exporter") { self.exporter($0, &names) }, count: ConfigLimits.traceExporters),
            default: [])
        return TracingConfiguration(
            serviceName: object.value(
                "service_name", .serviceName, default: TracingConfiguration.defaultServiceName),
            nodeID: object.optional("node_id", .serviceName), exporters: exporters)
    }

    /// `{ zipkin: { ... } }`, with a name where there are several of a kind.
    private func exporter(_ object: ConfigObject, _ names: inout UniqueNames) -> TraceExporterConfiguration? {
        let name = object.optional("name", .name)
        let backends = [
            "zipkin": object.optional("zipkin", .object("zipkin", zipkin)),
            "otlp": object.optional("otlp", .object("otlp", otlp)),
            "datadog": object.optional("datadog", .object("datadog", datadog)),
            "skywalking": object.optional("skywalking", .object("skywalking", skyWalking)),
            "xray": object.optional("xray", .object("xray", xray)),
        ]
        let kinds = ["zipkin", "otlp", "datadog", "skywalking", "xray"]
        guard let entry = object.exactlyOne(of: kinds), let backend = backends[entry.key] ?? nil else {
            return nil
        }
        let position = name == nil ? entry.keyPosition : object.position(of: "name")
        names.insert(name ?? entry.key, at: position)
        return TraceExporterConfiguration(name: name ?? entry.key, backend: backend, origin: ConfigOrigin(position))
    }

    private func zipkin(_ object: ConfigObject) -> TraceBackendConfiguration? {
        let encodings: KeyValuePairs<String, ZipkinEncoding> = ["json": .json, "protobuf": .protobuf]
        let encoding = object.value("encoding", .choice(encodings), default: .json)
        return collector(object, path: ZipkinEncoding.defaultPath).map { .http(.zipkin(encoding), $0) }
    }

    private func otlp(_ object: ConfigObject) -> TraceBackendConfiguration? {
        let kind = object.value("protocol", .choice(["http": OTLPProtocol.http, "grpc": .grpc]), default: .http)
        let isGRPC = kind == .grpc
        if isGRPC, let entry = object.entry("path") {
            diagnostics.report(
                "\"path\" with gRPC, which knows where spans go", expected: "it beside \"protocol: http\"",
                at: entry.keyPosition)
        }
        let collector = collector(object, path: isGRPC ? OTLPProtocol.grpcPath : OTLPProtocol.defaultPath)
        if isGRPC, let collector { http2References.append(collector.cluster) }
        return collector.map { .http(.otlp(kind), $0) }
    }

    private func datadog(_ object: ConfigObject) -> TraceBackendConfiguration? {
        let version = object.value("version", .choice(["v0.4": DatadogVersion.v04, "v0.5": .v05]), default: .v04)
        return collector(object, path: version.defaultPath).map { .http(.datadog(version), $0) }
    }

    private func skyWalking(_ object: ConfigObject) -> TraceBackendConfiguration? {
        let collector = collector(object, path: TracePaths.skyWalking)
        if let collector { http2References.append(collector.cluster) }
        return collector.map { .http(.skyWalking, $0) }
    }

    private func xray(_ object: ConfigObject) -> TraceBackendConfiguration? {
        .xray(
            XRayDaemonConfiguration(
                address: object.value("address", .endpointAddress, default: XRayDaemonConfiguration.defaultAddress),
                segmentName: object.optional("segment_name", .serviceName)))
    }

    private func collector(_ object: ConfigObject, path: String) -> TraceCollector? {
        let cluster = clusterReference(object, "cluster")
        let path = object.value("path", .pathAndQuery, default: path)
        let host = object.optional("host", .authority)
        let headers = object.value("headers", traceHeaders, default: [])
        return cluster.map { TraceCollector(cluster: $0, path: path, host: host, headers: headers) }
    }

    private var traceHeaders: ConfigFormat<[HeaderConfiguration]> {
        let format = ConfigFormat<[HeaderConfiguration]>.object("headers") { object in
            self.texts(in: object, max: ConfigLimits.headerEditsMax, name: .headerName, value: .headerValue).map {
                HeaderConfiguration(name: $0.name, value: $0.value)
            }
        }
        return format.expecting("an object of header names and their values")
    }

    // MARK: Listeners

    func httpTracing(_ object: ConfigObject) -> HTTPTracingConfiguration? {
        let exporters = object.optional(
            "exporters",
            .list(of: .placedText("the name of an exporter"), count: ConfigLimits.traceExporters))
        for exporter in exporters ?? [] { exporterReferences.append(exporter) }
        let formats: KeyValuePairs<String, TraceFormat> = [
            "w3c": .w3c, "b3": .b3, "b3_single": .b3Single, "datadog": .datadog, "skywalking": .skyWalking,
            "xray": .xray,
            "opentracing": .openTracing,
        ]
        return HTTPTracingConfiguration(
            exporters: exporters,
            sampling: TraceSampling(
                random: object.value("sampling", .percent, default: .all),
                client: object.value("client_sampling", .percent, default: .all),
                overall: object.value("overall_sampling", .percent, default: .all)),
            samplingRules: object.optional("sampling_rules", .placedText("the path of a manifest of sampling rules")),
            propagation: object.value(
                "propagation", .list(of: .choice(formats), count: 0...formats.count),
                default: HTTPTracingConfiguration.defaultPropagation),
            upstreamSpans: object.value("upstream_spans", .bool, default: false),
            operation: object.optional("operation", .placedText("text with operators")),
            tags: object.value("tags", traceTags, default: []),
            maxPathTagLength: object.value(
                "max_path_tag_length", .int(in: ConfigLimits.tracePathTagLength),
                default: HTTPTracingConfiguration.defaultMaxPathTagLength),
            late: object.value("late", .object("late", lateTraces), default: LateTracesConfiguration()))
    }

    private func lateTraces(_ object: ConfigObject) -> LateTracesConfiguration? {
        LateTracesConfiguration(
            errors: object.value("errors", .bool, default: true),
            slowThreshold: object.optional("slow_threshold", .duration(in: ConfigLimits.accessLogDuration)),
            perSecond: object.value(
                "per_second", .int(in: ConfigLimits.lateTracesPerSecond),
                default: LateTracesConfiguration.defaultPerSecond))
    }

    private var traceTags: ConfigFormat<[TraceTagConfiguration]> {
        let format = ConfigFormat<[TraceTagConfiguration]>.object("tags") { object in
            self.texts(
                in: object, max: ConfigLimits.traceTagsMax, name: .tagName, value: .placedText("text with operators")
            ).map { TraceTagConfiguration(name: $0.name, value: $0.value) }
        }
        return format.expecting("an object of names and of texts with operators")
    }

    /// The entries of an object whose keys its author chooses.
    private func texts<Value>(
        in object: ConfigObject, max: Int, name: ConfigFormat<String>, value: ConfigFormat<Value>
    ) -> [(name: String, value: Value)] {
        let entries = object.allEntries()
        if entries.count > max {
            diagnostics.report("there are \(entries.count) keys", expected: "at most \(max)", at: object.position)
        }
        return entries.compactMap { entry in
            let key = ConfigValue(
                node: ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition),
                subject: "a key", expectation: name.expectation, diagnostics: diagnostics)
            let text = ConfigValue(
                node: entry.value, subject: entry.key.quotedForMessage, expectation: value.expectation,
                diagnostics: diagnostics)
            guard let key = key.read(as: name), let text = text.read(as: value) else { return nil }
            return (key, text)
        }
    }

    // MARK: Routes

    /// `off`, or what is different from the listener.
    var routeTracing: ConfigFormat<RouteTracingConfiguration> {
        let object = ConfigFormat<RouteTracingConfiguration>.object("tracing") { object in
            RouteTracingConfiguration(
                random: object.optional("sampling", .percent),
                client: object.optional("client_sampling", .percent),
                overall: object.optional("overall_sampling", .percent),
                operation: object.optional("operation", .headerValue),
                propagatesOperation: object.value("propagate_operation", .bool, default: false))
        }
        return ConfigFormat("off, or an object") { value in
            if case .scalar(let scalar) = value.node.value, scalar.text == "off" { return .off }
            return value.read(as: object.expecting(value.expectation))
        }
    }

    // MARK: Checks

    /// Names that only the whole document can tell right from wrong.
    func checkTracing(_ configuration: Configuration) {
        let names = configuration.tracing.exporters.map(\.name)
        for reference in exporterReferences where !names.contains(reference.text) {
            diagnostics.report(
                "unknown exporter \(reference.text.quotedForMessage)",
                expected: names.isEmpty ? "an exporter, but there are none in `tracing`" : "the name of an exporter",
                suggestion: diagnostics.suggestion(for: reference.text, among: names), at: reference.origin.position)
        }
        for reference in http2References {
            guard let cluster = configuration.clusters.first(where: { $0.name == reference.name }),
                cluster.upstreamProtocol != .http2
            else { continue }
            diagnostics.report(
                "cluster \(reference.name.quotedForMessage) does not speak HTTP/2, which gRPC needs",
                expected: "`protocol: http2` there", at: reference.origin.position)
        }
    }
}

extension ConfigFormat where Value == String {
    fileprivate static var serviceName: ConfigFormat { name(bytesMax: ConfigLimits.serviceNameBytesMax) }
    fileprivate static var tagName: ConfigFormat {
        let bytesMax = ConfigLimits.traceTagNameBytesMax
        return name(
            bytesMax: bytesMax, "1 to \(bytesMax) bytes of text without control characters, not what every span has",
            except: TraceTagConfiguration.namesInUse)
    }

    private static func name(
        bytesMax: Int, _ expectation: String? = nil, except taken: Set<String> = []
    ) -> ConfigFormat {
        let expectation = expectation ?? "1 to \(bytesMax) bytes of text without control characters"
        return text(expectation) { text throws(ConfigProblem) in
            guard (1...bytesMax).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }),
                !taken.contains(text)
            else { throw ConfigProblem() }
            return text
        }
    }
}
