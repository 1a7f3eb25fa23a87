/// Passes the bytes of each connection to an endpoint of a cluster.
package struct TCPProxyConfiguration: Sendable, Equatable {
    /// At least one. Each new connection goes to one of them, in proportion to their weights.
    package var clusters: [WeightedCluster]
    /// Without a byte in either direction; nil for no limit.
    package var idleTimeout: TimeSpan?
    /// How many endpoints are tried before the connection is given up.
    package var connectAttempts: Int
    package var accessLogs: [AccessLogConfiguration]

    package static let defaultIdleTimeout: TimeSpan? = .hours(1)
    package static let defaultConnectAttempts = 1

    package init(
        clusters: [WeightedCluster],
        idleTimeout: TimeSpan? = TCPProxyConfiguration.defaultIdleTimeout,
        connectAttempts: Int = TCPProxyConfiguration.defaultConnectAttempts,
        accessLogs: [AccessLogConfiguration] = []
    ) {
        self.clusters = clusters
        self.idleTimeout = idleTimeout
        self.connectAttempts = connectAttempts
        self.accessLogs = accessLogs
    }

    /// All connections to one cluster: `tcp: NAME`.
    package init(cluster: ClusterReference) {
        self.init(clusters: [WeightedCluster(cluster: cluster)])
    }
}

/// The name of a cluster, as something else refers to it. Filters read theirs with `ConfigFormat.cluster`.
public struct ClusterReference: Sendable, Hashable {
    public package(set) var name: String
    package var origin: ConfigOrigin

    package init(_ name: String, origin: ConfigOrigin = ConfigOrigin()) {
        self.name = name
        self.origin = origin
    }
}

package struct WeightedCluster: Sendable, Equatable {
    package var cluster: ClusterReference
    /// Its share is this weight by the sum of all weights in the list.
    package var weight: Int

    package init(cluster: ClusterReference, weight: Int = 1) {
        self.cluster = cluster
        self.weight = weight
    }
}
