/// `tracing` at the top level: under which name this proxy appears in traces, and who gets its spans.
package struct TracingConfiguration: Sendable, Equatable {
    package var serviceName: String
    /// Of this process among those of its service; nil for the name of the machine.
    package var nodeID: String?
    /// No name twice.
    package var exporters: [TraceExporterConfiguration]

    package static let defaultServiceName = "ringway"

    package init(
        serviceName: String = TracingConfiguration.defaultServiceName, nodeID: String? = nil,
        exporters: [TraceExporterConfiguration] = []
    ) {
        self.serviceName = serviceName
        self.nodeID = nodeID
        self.exporters = exporters
    }
}

/// One tracing backend.
package struct TraceExporterConfiguration: Sendable, Equatable {
    /// What listeners call it.
    package var name: String
    package var backend: TraceBackendConfiguration
    package var origin: ConfigOrigin

    package init(name: String, backend: TraceBackendConfiguration, origin: ConfigOrigin = ConfigOrigin()) {
        self.name = name
        self.backend = backend
        self.origin = origin
    }
}

package enum TraceBackendConfiguration: Sendable, Equatable {
    case http(HTTPTraceBackend, TraceCollector)
    case xray(XRayDaemonConfiguration)

    /// Where spans go; nil where that is no HTTP server.
    package var collector: TraceCollector? {
        if case .http(_, let collector) = self { collector } else { nil }
    }
}

/// What a collector understands.
package enum HTTPTraceBackend: Sendable, Equatable {
    case zipkin(ZipkinEncoding)
    case otlp(OTLPProtocol)
    case datadog(DatadogVersion)
    case skyWalking
}

/// A daemon that takes segments in datagrams.
package struct XRayDaemonConfiguration: Sendable, Equatable {
    package var address: SocketAddress
    /// What segments are called; nil for the name of the service.
    package var segmentName: String?

    /// Where AWS's daemon listens.
    package static let defaultAddress = SocketAddress.ip(.v4(0x7F00_0001), port: 2000)

    package init(address: SocketAddress = XRayDaemonConfiguration.defaultAddress, segmentName: String? = nil) {
        self.address = address
        self.segmentName = segmentName
    }
}

/// An HTTP server that takes spans.
package struct TraceCollector: Sendable, Equatable {
    package var cluster: ClusterReference
    package var path: String
    /// nil for the name of the cluster.
    package var host: String?
    /// Of every request, such as a token.
    package var headers: [HeaderConfiguration]

    package init(
        cluster: ClusterReference, path: String, host: String? = nil, headers: [HeaderConfiguration] = []
    ) {
        self.cluster = cluster
        self.path = path
        self.host = host
        self.headers = headers
    }
}

package enum ZipkinEncoding: Sendable, Equatable {
    case json, protobuf

    package static let defaultPath = "/api/v2/spans"
}

package enum OTLPProtocol: Sendable, Equatable {
    case http, grpc

    package static let defaultPath = "/v1/traces"
    /// What gRPC makes of the service and its method.
    package static let grpcPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
}

/// Of what a Datadog agent takes.
package enum DatadogVersion: Sendable, Equatable {
    case v04, v05

    package var defaultPath: String {
        switch self {
        case .v04: "/v0.4/traces"
        case .v05: "/v0.5/traces"
        }
    }
}

package enum TracePaths {
    /// What gRPC makes of SkyWalking's service and its method.
    package static let skyWalking = "/skywalking.v3.TraceSegmentReportService/collect"
}

/// The formats in which headers carry a trace from one service to the next.
package enum TraceFormat: UInt8, Sendable, Equatable, CaseIterable {
    /// `traceparent`.
    case w3c
    /// `x-b3-traceid` and its kin.
    case b3
    /// The one header `b3`.
    case b3Single
    /// `x-datadog-trace-id` and its kin.
    case datadog
    /// `sw8`.
    case skyWalking
    /// `x-amzn-trace-id`.
    case xray
    /// `ot-tracer-traceid` and its kin.
    case openTracing
}

/// `tracing` of a listener.
package struct HTTPTracingConfiguration: Sendable, Equatable {
    /// nil for all there are.
    package var exporters: [PlacedText]?
    package var sampling: TraceSampling
    /// The path of a manifest that decides in the place of `sampling.random`; nil for none.
    package var samplingRules: PlacedText?
    /// Read in this order, until one is there; all of them are written.
    package var propagation: [TraceFormat]
    /// Each try of an endpoint is a span of its own.
    package var upstreamSpans: Bool
    /// The name of the span, with operators; nil for what the request or the route says, or the host.
    package var operation: PlacedText?
    package var tags: [TraceTagConfiguration]
    package var maxPathTagLength: Int
    package var late: LateTracesConfiguration

    package static let defaultPropagation = [TraceFormat.w3c]
    package static let defaultMaxPathTagLength = 256

    package init(
        exporters: [PlacedText]? = nil, sampling: TraceSampling = TraceSampling(),
        samplingRules: PlacedText? = nil,
        propagation: [TraceFormat] = HTTPTracingConfiguration.defaultPropagation, upstreamSpans: Bool = false,
        operation: PlacedText? = nil, tags: [TraceTagConfiguration] = [],
        maxPathTagLength: Int = HTTPTracingConfiguration.defaultMaxPathTagLength,
        late: LateTracesConfiguration = LateTracesConfiguration()
    ) {
        self.exporters = exporters
        self.sampling = sampling
        self.samplingRules = samplingRules
        self.propagation = propagation
        self.upstreamSpans = upstreamSpans
        self.operation = operation
        self.tags = tags
        self.maxPathTagLength = maxPathTagLength
        self.late = late
    }
}

/// Which requests are traced.
package struct TraceSampling: Sendable, Equatable {
    /// Of those that nobody asks for.
    package var random: Percent
    /// Of those with `x-client-trace-id`.
    package var client: Percent
    /// Of all that would be, whoever asked.
    package var overall: Percent

    package init(random: Percent = .all, client: Percent = .all, overall: Percent = .all) {
        self.random = random
        self.client = client
        self.overall = overall
    }
}

/// What is exported although it was not to be traced, because of how it ended.
package struct LateTracesConfiguration: Sendable, Equatable {
    /// Responses of 500 and more, and failures of gRPC.
    package var errors: Bool
    /// What took at least so long; nil for nothing.
    package var slowThreshold: TimeSpan?
    /// Of one worker.
    package var perSecond: Int

    package static let defaultPerSecond = 10

    package init(
        errors: Bool = true, slowThreshold: TimeSpan? = nil,
        perSecond: Int = LateTracesConfiguration.defaultPerSecond
    ) {
        self.errors = errors
        self.slowThreshold = slowThreshold
        self.perSecond = perSecond
    }
}

/// A tag of every span of a listener or route. Its value may have operators.
package struct TraceTagConfiguration: Sendable, Equatable {
    package var name: String
    package var value: PlacedText

    /// Spans have these anyway, and no backend takes a name twice.
    package static let namesInUse: Set<String> = [
        "component", "guid:x-request-id", "guid:x-client-trace-id", "http.url", "http.method", "http.protocol",
        "http.status_code", "user_agent", "downstream_cluster", "peer.address", "upstream_cluster",
        "upstream_cluster.name", "upstream_address", "request_size", "response_size", "response_flags", "grpc.path",
        "grpc.authority", "grpc.content_type", "grpc.timeout", "grpc.status_code", "error", "listener", "route",
        "retry.count", "node_id", "sampling.late",
    ]

    package init(name: String, value: PlacedText) {
        self.name = name
        self.value = value
    }
}

/// What a route has different. nil is as the listener has it.
package struct RouteTracingConfiguration: Sendable, Equatable {
    package var random: Percent?
    package var client: Percent?
    package var overall: Percent?
    /// What the request is, as Envoy's decorator says it: a name for its span unless the request has a better one.
    package var operation: String?
    /// The services on both sides are told of it.
    package var propagatesOperation: Bool

    /// `off`: nothing of the route is traced.
    package static let off = RouteTracingConfiguration(overall: .zero)

    package init(
        random: Percent? = nil, client: Percent? = nil, overall: Percent? = nil, operation: String? = nil,
        propagatesOperation: Bool = false
    ) {
        self.random = random
        self.client = client
        self.overall = overall
        self.operation = operation
        self.propagatesOperation = propagatesOperation
    }
}

extension Percent {
    package static let all = Percent(partsPerMillion: 1_000_000)
    package static let zero = Percent(partsPerMillion: 0)
}
