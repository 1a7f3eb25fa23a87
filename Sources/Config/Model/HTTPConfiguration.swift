/// Speaks HTTP with the peers of a listener and answers by route.
package struct HTTPConfiguration: Sendable, Equatable {
    /// The peer of the connection is the client: its address is trusted and appended to `x-forwarded-for`.
    package var useRemoteAddress: Bool
    /// Proxies in front of this one whose entries in `x-forwarded-for` are trusted.
    package var xffNumTrustedHops: Int
    /// The value of `server` in responses.
    package var serverName: String
    /// Without a request in progress; nil for no limit.
    package var idleTimeout: TimeSpan?
    /// From the first byte of a request to the end of its head; nil for no limit.
    package var requestTimeout: TimeSpan?
    /// How long the body of a request may be waited for; nil for no limit.
    package var requestBodyTimeout: TimeSpan?
    /// Bytes of a body that give back a second of `requestBodyTimeout`.
    package var requestBodyMinRate: ByteSize
    /// Without a byte of a request in progress or of its response; nil for no limit. Routes may differ.
    package var streamIdleTimeout: TimeSpan?
    /// After which a connection is closed; nil for no limit.
    package var maxRequestsPerConnection: Int?
    /// After which a connection ends with its next request; nil for no limit.
    package var maxConnectionDuration: TimeSpan?
    package var limits: HTTPLimits
    /// Of clients that speak HTTP/2, by prior knowledge or by choosing h2 in TLS; nil where they may not.
    package var http2: HTTP2Configuration?
    package var paths: PathConfiguration
    package var requestID: RequestIDConfiguration
    /// Peers that are part of the same system, whose `x-envoy-*` fields are taken at their word.
    package var internalAddresses: [CIDR]
    /// nil for none.
    package var tracing: HTTPTracingConfiguration?
    package var accessLogs: [AccessLogConfiguration]
    /// In the order of requests; the router follows behind the last.
    package var filters: [HTTPFilterConfiguration]
    /// At least one; no domain twice. The most specific that fits a request's host answers.
    package var hosts: [VirtualHostConfiguration]

    package static let defaultXFFNumTrustedHops = 0
    package static let defaultServerName = "ringway"
    package static let defaultIdleTimeout: TimeSpan? = .seconds(60)
    package static let defaultRequestTimeout: TimeSpan? = .seconds(15)
    package static let defaultRequestBodyTimeout: TimeSpan? = .seconds(20)
    package static let defaultRequestBodyMinRate = ByteSize(bytes: 500)
    package static let defaultStreamIdleTimeout: TimeSpan? = .minutes(5)

    package init(
        useRemoteAddress: Bool = false,
        xffNumTrustedHops: Int = HTTPConfiguration.defaultXFFNumTrustedHops,
        serverName: String = HTTPConfiguration.defaultServerName,
        idleTimeout: TimeSpan? = HTTPConfiguration.defaultIdleTimeout,
        requestTimeout: TimeSpan? = HTTPConfiguration.defaultRequestTimeout,
        requestBodyTimeout: TimeSpan? = HTTPConfiguration.defaultRequestBodyTimeout,
        requestBodyMinRate: ByteSize = HTTPConfiguration.defaultRequestBodyMinRate,
        streamIdleTimeout: TimeSpan? = HTTPConfiguration.defaultStreamIdleTimeout,
        maxRequestsPerConnection: Int? = nil,
        maxConnectionDuration: TimeSpan? = nil,
        limits: HTTPLimits = HTTPLimits(),
        http2: HTTP2Configuration? = HTTP2Configuration(),
        paths: PathConfiguration = PathConfiguration(),
        requestID: RequestIDConfiguration = RequestIDConfiguration(),
        internalAddresses: [CIDR] = [],
        tracing: HTTPTracingConfiguration? = nil,
        accessLogs: [AccessLogConfiguration] = [],
        filters: [HTTPFilterConfiguration] = [],
        hosts: [VirtualHostConfiguration]
    ) {
        self.useRemoteAddress = useRemoteAddress
        self.xffNumTrustedHops = xffNumTrustedHops
        self.serverName = serverName
        self.idleTimeout = idleTimeout
        self.requestTimeout = requestTimeout
        self.requestBodyTimeout = requestBodyTimeout
        self.requestBodyMinRate = requestBodyMinRate
        self.streamIdleTimeout = streamIdleTimeout
        self.maxRequestsPerConnection = maxRequestsPerConnection
        self.maxConnectionDuration = maxConnectionDuration
        self.limits = limits
        self.http2 = http2
        self.paths = paths
        self.requestID = requestID
        self.internalAddresses = internalAddresses
        self.tracing = tracing
        self.accessLogs = accessLogs
        self.filters = filters
        self.hosts = hosts
    }

    /// Every request, whatever its host, by the same routes.
    package init(routes: [RouteConfiguration]) {
        self.init(hosts: [VirtualHostConfiguration(routes: routes)])
    }
}

/// What a request may measure.
package struct HTTPLimits: Sendable, Equatable {
    /// Request line and all field lines together.
    package var headerBytes: ByteSize
    package var headers: Int
    /// The request target: path and query, or whatever stands in their place.
    package var urlBytes: ByteSize
    /// nil for no limit.
    package var bodyBytes: ByteSize?
    /// What filters may hold back of each direction of a request.
    package var bufferBytes: ByteSize

    package static let defaultHeaderBytes = ByteSize.kibibytes(64)
    package static let defaultHeaders = 100
    package static let defaultURLBytes = ByteSize.kibibytes(8)
    package static let defaultBufferBytes = ByteSize.mebibytes(1)

    package init(
        headerBytes: ByteSize = HTTPLimits.defaultHeaderBytes,
        headers: Int = HTTPLimits.defaultHeaders,
        urlBytes: ByteSize = HTTPLimits.defaultURLBytes,
        bodyBytes: ByteSize? = nil,
        bufferBytes: ByteSize = HTTPLimits.defaultBufferBytes
    ) {
        self.headerBytes = headerBytes
        self.headers = headers
        self.urlBytes = urlBytes
        self.bodyBytes = bodyBytes
        self.bufferBytes = bufferBytes
    }
}

/// How paths are brought into one form before they are routed and forwarded.
package struct PathConfiguration: Sendable, Equatable {
    /// What becomes of `%2F` and `%5C`.
    package enum EscapedSlashes: Sendable {
        /// They stay, and separate nothing.
        case keep
        /// They become slashes, before dot segments are resolved.
        case unescape
        /// The request is refused.
        case reject
    }

    /// Percent escapes and dot segments (RFC 3986 §6.2.2).
    package var isNormalized: Bool
    /// Of neighbouring slashes one stays.
    package var mergesSlashes: Bool
    package var escapedSlashes: EscapedSlashes

    package init(isNormalized: Bool = true, mergesSlashes: Bool = true, escapedSlashes: EscapedSlashes = .keep) {
        self.isNormalized = isNormalized
        self.mergesSlashes = mergesSlashes
        self.escapedSlashes = escapedSlashes
    }
}

/// What happens with `x-request-id`.
package struct RequestIDConfiguration: Sendable, Equatable {
    /// Requests without one get one.
    package var isGenerated: Bool
    /// One that comes from outside stays; for listeners with `use_remote_address`.
    package var preservesExternal: Bool
    /// Responses carry it too.
    package var isSetInResponse: Bool
    /// Why a request is traced is written into the id's 15th character, as Envoy does, and read from there.
    package var packsTraceReason: Bool

    package init(
        isGenerated: Bool = true, preservesExternal: Bool = false, isSetInResponse: Bool = false,
        packsTraceReason: Bool = false
    ) {
        self.isGenerated = isGenerated
        self.preservesExternal = preservesExternal
        self.isSetInResponse = isSetInResponse
        self.packsTraceReason = packsTraceReason
    }
}

/// An HTTP filter by name, with a configuration that only the filter itself can read.
package struct HTTPFilterConfiguration: Sendable, Equatable {
    package var name: String
    /// An empty object when the filter was named without a configuration.
    package var config: ConfigNode
    /// Where the name stands.
    package var origin: ConfigOrigin

    package init(name: String, config: ConfigNode = .emptyObject(at: .start), origin: ConfigOrigin = ConfigOrigin()) {
        self.name = name
        self.config = config
        self.origin = origin
    }

    /// `NAME: off`: the filter lets everything pass. In a listener's `filters` it holds the place for routes that turn
    /// it on.
    package var isOff: Bool {
        if case .scalar(let scalar) = config.value { scalar.text == "off" || scalar.text == "false" } else { false }
    }
}
