internal import Config
internal import Filters

/// Collects spans in the form of one backend. One file each; the line that makes them is in `makeSpanEncoder`. An object,
/// because a value in an existential is copied with all it holds for each question.
protocol SpanEncoder: AnyObject {
    /// `content-type` of what `finish` gives.
    var contentType: String { get }
    /// Spans since the last `finish`.
    var count: Int { get }
    /// Bytes that they will have, about.
    var byteCount: Int { get }

    /// Adds all spans of an exchange.
    ///
    /// - Returns: how many they are
    func append(_ exchange: SpanView) -> Int
    /// All of them as a request, and begins anew.
    func finish() -> EncodedSpans
}

/// What goes into one request.
struct EncodedSpans {
    /// Stands before the body.
    var prefix: [UInt8] = []
    var body: [UInt8]
    /// What the backend wants to know of this body, besides `content-type`.
    var headers: [(name: String, value: String)] = []

    var byteCount: Int { prefix.count + body.count }
}

func makeSpanEncoder(_ backend: HTTPTraceBackend, _ source: SpanSource) -> any SpanEncoder {
    switch backend {
    case .zipkin(.json): ZipkinJSONEncoder(source)
    case .zipkin(.protobuf): ZipkinProtobufEncoder(source)
    case .otlp(let kind): OTLPEncoder(source, isGRPC: kind == .grpc)
    case .datadog(let version): DatadogEncoder(source, version)
    case .skyWalking: SkyWalkingEncoder(source)
    }
}

/// Somebody who takes the spans of finished exchanges. Lives on the tracing thread.
protocol SpanSink: AnyObject {
    var plan: TracingPlan.Exporter { get }

    /// The next generation can go on with it.
    func serves(_ next: TracingPlan.Exporter, _ source: SpanSource) -> Bool
    /// - Parameter exchange: only there during the call
    func append(_ exchange: SpanView, nowNs: UInt64)
    /// Sends what has waited long enough.
    ///
    /// - Parameter all: nothing waits for company any more
    func tick(nowNs: UInt64, all: Bool)
    /// Nobody wants its spans any more.
    func stop()
}
