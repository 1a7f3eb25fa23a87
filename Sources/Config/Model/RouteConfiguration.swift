/// Hosts that share a list of routes.
package struct VirtualHostConfiguration: Sendable, Equatable {
    /// At least one.
    package var domains: [DomainPattern]
    /// At least one; the first that matches answers.
    package var routes: [RouteConfiguration]
    package var origin: ConfigOrigin

    package init(
        domains: [DomainPattern] = [.any], routes: [RouteConfiguration], origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.domains = domains
        self.routes = routes
        self.origin = origin
    }
}

/// Which requests, and what becomes of them.
package struct RouteConfiguration: Sendable, Equatable {
    /// What stats and logs call it.
    package var name: String?
    package var match: RouteMatch
    package var action: RouteAction
    /// Applied to every response of this route, the proxy's own included.
    package var responseHeaders: HeaderEditConfiguration
    /// What filters of the listener have as settings for this route, in place of their own.
    package var filters: [HTTPFilterConfiguration]
    /// What it has different from the listener's `tracing`; nil for nothing.
    package var tracing: RouteTracingConfiguration?
    package var origin: ConfigOrigin

    package init(
        name: String? = nil,
        match: RouteMatch,
        action: RouteAction,
        responseHeaders: HeaderEditConfiguration = HeaderEditConfiguration(),
        filters: [HTTPFilterConfiguration] = [],
        tracing: RouteTracingConfiguration? = nil,
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.name = name
        self.match = match
        self.action = action
        self.responseHeaders = responseHeaders
        self.filters = filters
        self.tracing = tracing
        self.origin = origin
    }
}

package enum RouteAction: Sendable, Equatable {
    case forward(ForwardConfiguration)
    case redirect(RedirectConfiguration)
    case respond(DirectResponse)
}

/// Sends the request to an endpoint of a cluster.
package struct ForwardConfiguration: Sendable, Equatable {
    /// Each request goes to one of them, in proportion to their weights. At least one, unless there is a
    /// `clusterHeader`.
    package var clusters: [WeightedCluster]
    /// The request header that names the cluster.
    package var clusterHeader: String?
    package var rewrite: RewriteConfiguration
    /// From the end of the request to the end of the response, all tries together; nil for no limit.
    package var timeout: TimeSpan?
    /// Without a byte in either direction. nil is that of the listener; zero is no limit.
    package var idleTimeout: TimeSpan?
    package var upgrade: UpgradePolicy
    /// nil for no retries.
    package var retry: RetryConfiguration?
    /// Clusters that get copies of requests.
    package var mirrors: [MirrorConfiguration]
    package var requestHeaders: HeaderEditConfiguration

    package static let defaultTimeout: TimeSpan? = .seconds(15)

    package init(
        clusters: [WeightedCluster],
        clusterHeader: String? = nil,
        rewrite: RewriteConfiguration = RewriteConfiguration(),
        timeout: TimeSpan? = ForwardConfiguration.defaultTimeout,
        idleTimeout: TimeSpan? = nil,
        upgrade: UpgradePolicy = .none,
        retry: RetryConfiguration? = nil,
        mirrors: [MirrorConfiguration] = [],
        requestHeaders: HeaderEditConfiguration = HeaderEditConfiguration()
    ) {
        self.clusters = clusters
        self.clusterHeader = clusterHeader
        self.rewrite = rewrite
        self.timeout = timeout
        self.idleTimeout = idleTimeout
        self.upgrade = upgrade
        self.retry = retry
        self.mirrors = mirrors
        self.requestHeaders = requestHeaders
    }

    /// All requests to one cluster: `cluster: NAME`.
    package init(cluster: ClusterReference) {
        self.init(clusters: [WeightedCluster(cluster: cluster)])
    }
}

/// A cluster that gets copies of a route's requests. Its answers are thrown away.
package struct MirrorConfiguration: Sendable, Equatable {
    package var cluster: ClusterReference
    /// Of the requests.
    package var fraction: Percent

    package static let defaultFraction = Percent(partsPerMillion: 1_000_000)

    package init(cluster: ClusterReference, fraction: Percent = MirrorConfiguration.defaultFraction) {
        self.cluster = cluster
        self.fraction = fraction
    }
}

/// What the upstream sees instead of what the client asked for.
package struct RewriteConfiguration: Sendable, Equatable {
    package var path: PathRewrite?
    /// The authority: a host and perhaps a port.
    package var host: String?

    package init(path: PathRewrite? = nil, host: String? = nil) {
        self.path = path
        self.host = host
    }
}

/// Another path; the query stays as it is.
package enum PathRewrite: Sendable, Equatable {
    /// Instead of the prefix that the route matched. Only routes with a path prefix have this.
    case prefix(String)
    /// Instead of the whole path.
    case whole(String)
    /// Instead of each part of the path that the pattern matches.
    case regex(RegexPattern, RegexSubstitution)
    /// Instead of the whole path. Only routes with a path template have this.
    case template(PathTemplateRewrite)
}

/// Which protocols a client may switch to through `Upgrade` (RFC 9110 §7.8).
package enum UpgradePolicy: Sendable, Equatable {
    case none
    case any
    /// Names without version; compared without case. `connect` stands for the method CONNECT.
    case protocols([String])
}

/// When and how a request is tried again.
package struct RetryConfiguration: Sendable, Equatable {
    package var conditions: RetryConditions
    /// Responses with these are tried again, besides those that `conditions` names.
    package var statuses: [Int]
    /// How often, besides the first try.
    package var attempts: Int
    /// Of one try; nil for no limit but that of the route.
    package var perTryTimeout: TimeSpan?
    /// The first wait is random up to this; later ones up to twice the one before, to ten times this.
    package var backOff: TimeSpan
    /// Retries in progress, as a share of the cluster's requests; nil for the cluster's `pool.max_retries`.
    package var budget: Percent?

    package static let defaultAttempts = 1
    package static let defaultBackOff = TimeSpan.milliseconds(25)

    package init(
        conditions: RetryConditions,
        statuses: [Int] = [],
        attempts: Int = RetryConfiguration.defaultAttempts,
        perTryTimeout: TimeSpan? = nil,
        backOff: TimeSpan = RetryConfiguration.defaultBackOff,
        budget: Percent? = nil
    ) {
        self.conditions = conditions
        self.statuses = statuses
        self.attempts = attempts
        self.perTryTimeout = perTryTimeout
        self.backOff = backOff
        self.budget = budget
    }
}

/// Envoy's words for what makes a request worth another try.
package struct RetryConditions: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// No connection came about.
    package static let connectFailure = RetryConditions(rawValue: 1)
    /// The upstream said that it did not look at the request (HTTP/2 REFUSED_STREAM).
    package static let refusedStream = RetryConditions(rawValue: 2)
    /// No response came, for whatever reason.
    package static let reset = RetryConditions(rawValue: 4)
    /// Any status from 500 on, or no response.
    package static let serverError = RetryConditions(rawValue: 8)
    /// 502, 503 or 504, or no response.
    package static let gatewayError = RetryConditions(rawValue: 16)
    // A response that is nothing but a status of gRPC.
    package static let cancelled = RetryConditions(rawValue: 32)
    package static let deadlineExceeded = RetryConditions(rawValue: 64)
    package static let `internal` = RetryConditions(rawValue: 128)
    package static let resourceExhausted = RetryConditions(rawValue: 256)
    package static let unavailable = RetryConditions(rawValue: 512)
}

/// Sends the client elsewhere. What is nil stays as it was in the request.
package struct RedirectConfiguration: Sendable, Equatable {
    /// With `prefix` for the prefix that the route matched. A whole path may bring its own query.
    package var path: PathRewrite?
    package var host: String?
    package var scheme: RedirectScheme?
    package var port: UInt16?
    package var status: Int
    package var stripsQuery: Bool

    package static let defaultStatus = 301

    package init(
        path: PathRewrite? = nil,
        host: String? = nil,
        scheme: RedirectScheme? = nil,
        port: UInt16? = nil,
        status: Int = RedirectConfiguration.defaultStatus,
        stripsQuery: Bool = false
    ) {
        self.path = path
        self.host = host
        self.scheme = scheme
        self.port = port
        self.status = status
        self.stripsQuery = stripsQuery
    }
}

package enum RedirectScheme: Sendable, Equatable {
    case http, https
}

/// An answer that the configuration holds.
package struct DirectResponse: Sendable, Equatable {
    package var status: Int
    package var body: String
    /// In the order of the file; names and values are valid field names and values (RFC 9110 §5.1, §5.5).
    package var headers: [HeaderConfiguration]

    package init(status: Int, body: String = "", headers: [HeaderConfiguration] = []) {
        self.status = status
        self.body = body
        self.headers = headers
    }
}

package struct HeaderConfiguration: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// What becomes of a message's header fields: first removed, then set, then added.
package struct HeaderEditConfiguration: Sendable, Equatable {
    package var set: [HeaderConfiguration]
    package var add: [HeaderConfiguration]
    package var remove: [String]

    package init(set: [HeaderConfiguration] = [], add: [HeaderConfiguration] = [], remove: [String] = []) {
        self.set = set
        self.add = add
        self.remove = remove
    }
}
