internal import Config

/// Who the spans of this process are of.
struct SpanSource: Sendable, Equatable {
    var serviceName: String
    var nodeID: String
}

/// Collects spans in the form of one backend. One file each; the line that makes them is in `makeSpanEncoder`.
protocol SpanEncoder {
    /// `content-type` of what `finish` gives.
    var contentType: String { get }
    /// Spans since the last `finish`.
    var count: Int { get }
    /// Bytes that they will have, about.
    var byteCount: Int { get }

    /// Adds all spans of an exchange.
    mutating func append(_ exchange: ExchangeSpans)
    /// All of them as the body of a request, and begins anew.
    mutating func finish() -> [UInt8]
}

func makeSpanEncoder(_ backend: TraceBackendConfiguration, _ source: SpanSource) -> any SpanEncoder {
    switch backend {
    case .zipkin(_, .json): ZipkinJSONEncoder(source)
    case .zipkin(_, .protobuf): ZipkinProtobufEncoder(source)
    case .otlp(_, let kind): OTLPEncoder(source, isGRPC: kind == .grpc)
    }
}
