package import Engine
package import HTTP

/// One worker's connections to the endpoints of a cluster, kept alive between requests.
///
/// Idle ones are used last in, first out: the one used last is the least likely to have been closed, and those
/// at the bottom reach the idle timeout. Each idle connection has its receive armed, so one that the endpoint
/// closes leaves the pool at once.
package final class HTTPConnectionPool {
    package let cluster: WorkerCluster
    package let limits: HTTP1Limits
    package let idleTimeoutNs: UInt64
    private let requestsPerConnectionMax: UInt64?
    private let pendingMax: Int
    private var idle: [[UpstreamConnection]]
    /// Requests that wait for a connection, because the cluster is at its connection limit.
    private var pending: [UpstreamRequest] = []

    package init(
        cluster: WorkerCluster, limits: HTTP1Limits, idleTimeoutNs: UInt64, requestsPerConnectionMax: UInt64?,
        pendingMax: Int
    ) {
        self.cluster = cluster
        self.limits = limits
        self.idleTimeoutNs = idleTimeoutNs
        self.requestsPerConnectionMax = requestsPerConnectionMax
        self.pendingMax = pendingMax
        idle = Array(repeating: [], count: cluster.cluster.endpoints.count)
    }
}
