package import Config
package import HTTP

/// What becomes of the requests that a route is for. Immutable; keeps everything it hands out in place.
package final class Route: Sendable {
    package enum Action: Sendable {
        /// To one cluster, by its number in `RouteTable.clusterNames`.
        case cluster(Int)
        case weighted(WeightedClusters)
        /// To the cluster that this request header names.
        case clusterHeader(HeaderKey)
        case redirect(RouteRedirect)
        case respond(RouteResponse)
    }

    /// In `RouteTable.routes`.
    package let index: Int
    package let configuration: RouteConfiguration
    package let action: Action
    /// Where nearly all routes lead: at hand, because looking into `action` copies it.
    let onlyCluster: Int?
    /// From the end of the request to the end of the response, all tries together; 0 for no limit.
    package let timeoutNs: UInt64
    /// Without a byte in either direction; 0 for no limit.
    package let idleTimeoutNs: UInt64
    package let rewrite: RouteRewrite
    package let upgrades: RouteUpgrades
    /// nil for no retries.
    package let retry: RetryPolicy?
    let hasRetry: Bool
    /// 0 for no limit but that of the route.
    let perTryTimeoutNs: UInt64
    /// Clusters that get copies of requests.
    let mirrors: RouteArray<RouteMirror>
    package let requestHeaders: HeaderEdits
    package let responseHeaders: HeaderEdits
    /// Empty without one.
    let nameText: RouteText
    private let memory: RouteMemory

    /// - Parameters:
    ///   - idleTimeoutNs: that of the listener
    ///   - regexes: numbers the patterns
    ///   - clusterIndex: the number of a cluster's name
    init(
        _ configuration: RouteConfiguration, index: Int, idleTimeoutNs: UInt64, in memory: RouteMemory,
        regexes: inout RegexNumbers, clusterIndex: (String) -> Int
    ) {
        self.index = index
        self.configuration = configuration
        self.memory = memory
        var forward = ForwardConfiguration(clusters: [])
        switch configuration.action {
        case .forward(let configuration):
            forward = configuration
            let clusters = configuration.clusters.map { (clusterIndex($0.cluster.name), $0.weight) }
            if let header = configuration.clusterHeader {
                guard let key = HeaderKey(header) else { preconditionFailure("a configuration has valid header names") }
                action = .clusterHeader(key)
            } else {
                precondition(!clusters.isEmpty, "a route that forwards has a cluster")
                action =
                    clusters.count == 1 ? .cluster(clusters[0].0) : .weighted(WeightedClusters(clusters, in: memory))
            }
        case .redirect(let redirect):
            action = .redirect(RouteRedirect(redirect, of: configuration.match.path, in: memory, regexes: &regexes))
        case .respond(let response):
            action = .respond(RouteResponse(response, in: memory))
        }
        timeoutNs = forward.timeout?.nanoseconds ?? 0
        self.idleTimeoutNs = forward.idleTimeout?.nanoseconds ?? idleTimeoutNs
        rewrite = RouteRewrite(forward.rewrite, of: configuration.match.path, in: memory, regexes: &regexes)
        upgrades = RouteUpgrades(forward.upgrade, in: memory)
        onlyCluster = if case .cluster(let cluster) = action { cluster } else { nil }
        retry = forward.retry.map(RetryPolicy.init)
        hasRetry = retry != nil
        perTryTimeoutNs = retry?.perTryTimeoutNs ?? 0
        mirrors = memory.store(
            forward.mirrors.map { RouteMirror(cluster: clusterIndex($0.cluster.name), fraction: $0.fraction) })
        requestHeaders = HeaderEdits(forward.requestHeaders, in: memory)
        responseHeaders = HeaderEdits(configuration.responseHeaders, in: memory)
        nameText = memory.store(configuration.name ?? "")
    }

    /// What stats and logs call it, if anything.
    package var name: String? { configuration.name }

    /// Where it was written.
    package var position: ConfigPosition { configuration.origin.position }
}
