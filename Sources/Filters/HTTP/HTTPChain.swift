package import Config
package import Engine
package import HTTP
package import HTTP2
internal import Upstream

/// What `http:` of a listener says, for one worker: its filters with the router behind them, and the streams that
/// wait to be used again.
package final class HTTPChain {
    let settings: HTTPChainSettings
    let filters: HTTPFilterSet
    /// Those of routes that have their own, by the number of the route; empty when none has.
    private let routeFilters: [HTTPFilterSet?]
    let router: RouterFilter
    let counters: StatsScope
    let worker: Worker
    /// nil without any.
    let accessLogs: HTTPAccessLogs?
    /// Remembers the last requests; nil when nobody wants that.
    let recorder: FlightRecorder?
    /// nil without tracing.
    let tracing: HTTPTracing?
    /// The chain of a newer configuration. Connections that are open go on with it from their next request.
    package var successor: HTTPChain?
    /// A newer configuration has no such chain: connections end with their next request.
    private(set) var isRetired = false

    /// Where HTTP/2 connections write their frames, one after the other.
    let http2Output = HTTP2Output()
    /// Of the HTTP/2 request that is being read.
    var trailers = HeaderTable(capacity: 16)
    let requestIDs = RequestIDSource()
    let date = ResponseDate()
    private var free: [HTTPStream] = []

    /// Streams that are kept; beyond, they are made anew when there are more requests at once.
    private static let freeMax = 1024

    package init(
        settings: HTTPChainSettings, filters: [HTTPFilter],
        routeFilters: [(route: Int, filters: [Int: HTTPFilter])] = [], router: RouterFilter, counters: StatsScope,
        worker: Worker,
        accessLogs: HTTPAccessLogs? = nil, tracing: HTTPTracing? = nil, recorder: FlightRecorder? = nil
    ) {
        self.settings = settings
        self.router = router
        self.counters = counters
        self.worker = worker
        self.accessLogs = accessLogs
        self.recorder = recorder
        self.tracing = tracing
        for (index, filter) in filters.enumerated() { filter.index = index }
        self.filters = HTTPFilterSet(filters)
        var sets = [HTTPFilterSet?](repeating: nil, count: (routeFilters.map(\.route).max() ?? -1) + 1)
        for entry in routeFilters {
            var own = filters
            for (index, filter) in entry.filters {
                filter.index = index
                own[index] = filter
            }
            sets[entry.route] = HTTPFilterSet(own)
        }
        self.routeFilters = sets
    }

    /// Filters may differ between routes, so the route has to be known before the first of them.
    var hasRouteFilters: Bool { !routeFilters.isEmpty }

    func filters(of route: Route) -> HTTPFilterSet {
        (route.index < routeFilters.count ? routeFilters[route.index] : nil) ?? filters
    }

    /// The newest chain of the listener.
    var newest: HTTPChain {
        var chain = self
        while let next = chain.successor { chain = next }
        return chain
    }

    package func retire() { isRetired = true }

    func takeStream() -> HTTPStream { free.popLast() ?? HTTPStream(chain: self) }

    func giveBack(_ stream: HTTPStream) {
        if free.count < Self.freeMax, successor == nil { free.append(stream) }
    }
}

/// What the connections of a listener need to know. An object, so that whoever has it copies nothing.
package final class HTTPChainSettings: Sendable {
    package let limits: HTTP1Limits
    /// Nanoseconds without a request in progress; 0 for no limit.
    package let idleTimeoutNs: UInt64
    /// Nanoseconds from the first byte of a request to the end of its head; 0 for no limit.
    package let requestTimeoutNs: UInt64
    let requestBodyLimit: RequestBodyLimit
    /// Nanoseconds without a byte while a request is in progress; 0 for no limit.
    package let streamIdleTimeoutNs: UInt64
    package let requestsPerConnectionMax: UInt64?
    /// Nanoseconds after which a connection ends with its next request; 0 for no limit.
    package let connectionDurationNs: UInt64
    /// Whether clients may speak HTTP/2.
    package let acceptsHTTP2: Bool
    package let http2: HTTP2Settings
    /// nil where clients are not asked whether they are there.
    let http2KeepAlive: HTTP2KeepAlive.Settings?
    /// What filters may hold back of each direction of a stream.
    package let bufferBytesMax: Int
    /// nil leaves paths as they are.
    package let normalizer: PathNormalizer?
    package let useRemoteAddress: Bool
    package let trustedHops: Int
    let serverName: RouteText
    package let requestID: RequestIDConfiguration
    package let internalAddresses: [CIDR]
    /// Of texts that all workers write into messages.
    private let memory = RouteMemory()

    package init(_ configuration: HTTPConfiguration) {
        limits = HTTP1Limits(
            headerBytesMax: configuration.limits.headerBytes.bytes, headersMax: configuration.limits.headers,
            targetBytesMax: configuration.limits.urlBytes.bytes,
            bodyBytesMax: configuration.limits.bodyBytes.map { UInt64($0.bytes) } ?? .max)
        idleTimeoutNs = configuration.idleTimeout?.nanoseconds ?? 0
        requestTimeoutNs = configuration.requestTimeout?.nanoseconds ?? 0
        requestBodyLimit = RequestBodyLimit(
            timeoutNs: configuration.requestBodyTimeout?.nanoseconds ?? 0,
            bytesPerSecond: UInt64(configuration.requestBodyMinRate.bytes))
        streamIdleTimeoutNs = configuration.streamIdleTimeout?.nanoseconds ?? 0
        requestsPerConnectionMax = configuration.maxRequestsPerConnection.map(UInt64.init)
        connectionDurationNs = configuration.maxConnectionDuration?.nanoseconds ?? 0
        bufferBytesMax = configuration.limits.bufferBytes.bytes
        acceptsHTTP2 = configuration.http2 != nil
        let http2Configuration = configuration.http2 ?? HTTP2Configuration()
        var http2 = HTTP2Settings(http2Configuration, limits: limits)
        http2.allowsExtendedConnect = true
        self.http2 = http2
        http2KeepAlive = HTTP2KeepAlive.Settings(http2Configuration)
        let paths = configuration.paths
        let slashes: PathNormalizer.EscapedSlashes =
            switch paths.escapedSlashes {
            case .keep: .keep
            case .unescape: .unescape
            case .reject: .reject
            }
        normalizer =
            paths.isNormalized
            ? PathNormalizer(mergesSlashes: paths.mergesSlashes, escapedSlashes: slashes) : nil
        useRemoteAddress = configuration.useRemoteAddress
        trustedHops = configuration.xffNumTrustedHops
        serverName = memory.store(configuration.serverName)
        requestID = configuration.requestID
        internalAddresses = configuration.internalAddresses
    }
}

/// Counted for each listener, after what the engine counts there.
package enum HTTPStat: Int, Sendable {
    case requestsActive = 80
    /// One cell a class of status, 1xx to 5xx.
    case responses1xx, responses2xx, responses3xx, responses4xx, responses5xx
    /// Requests that ran out of time, by what was late.
    case requestHeadTimeouts, requestBodyTimeouts, streamIdleTimeouts
    /// Requests that the client did not wait for.
    case requestsReset
    /// Requests whose head came, and those that ended without, whether or not they were answered.
    case requestsStarted
    /// One cell an `HTTPMessageError`.
    case refused = 96
    case requestTime = 192
    // HTTP/2, after the request times.
    /// Connections that speak it.
    case http2Connections = 304
    /// Streams beyond the limit.
    case http2StreamsRefused
    /// One cell an `HTTP2Abuse`.
    case http2Abuse = 308

    package static let cellCount = http2Abuse.rawValue + HTTP2Abuse.allCases.count

    package static func abuse(_ abuse: HTTP2Abuse) -> StatCell {
        StatCell(rawValue: http2Abuse.rawValue + Int(abuse.rawValue))
    }

    /// Follows the cells of `HTTPMessageError`.
    package static func refused(_ path: PathNormalizer.Refusal) -> StatCell {
        StatCell(rawValue: refused.rawValue + HTTPMessageError.allCases.count + Int(path.rawValue))
    }

    package static func refused(_ error: HTTPMessageError) -> StatCell {
        StatCell(rawValue: refused.rawValue + Int(error.rawValue))
    }

    package static func responses(_ status: HTTPStatus) -> StatCell {
        StatCell(rawValue: responses1xx.rawValue + min(max(status.codeClass, 1), 5) - 1)
    }
}
