package import Engine
package import Upstream

/// What `tcp:` in a listener says, for one worker.
package final class TCPProxySettings {
    /// Clusters and the sums of their weights up to and including each.
    private let clusters: [(cluster: WorkerCluster, cumulativeWeight: UInt64)]
    package let idleTimeoutNs: UInt64
    package let connectAttempts: Int
    let accessLogs: [AccessLog]
    private var random: SplitMix64

    package init(
        clusters: [(cluster: WorkerCluster, weight: UInt32)], idleTimeoutNs: UInt64, connectAttempts: Int, seed: UInt64,
        accessLogs: [AccessLog] = []
    ) {
        precondition(!clusters.isEmpty)
        var sum: UInt64 = 0
        self.clusters = clusters.map { entry in
            sum += UInt64(entry.weight)
            return (entry.cluster, sum)
        }
        self.idleTimeoutNs = idleTimeoutNs
        self.connectAttempts = connectAttempts
        self.accessLogs = accessLogs
        random = SplitMix64(seed: seed)
    }

    func pickCluster() -> WorkerCluster {
        guard clusters.count > 1, let total = clusters.last?.cumulativeWeight else { return clusters[0].cluster }
        let point = UInt64.random(in: 0..<total, using: &random)
        return clusters.first { point < $0.cumulativeWeight }!.cluster
    }
}

/// Proxies a connection to an endpoint of a cluster: the terminal filter of a `tcp:` listener.
///
/// The client is not read until the endpoint has accepted, so nothing has to be kept for a connection that
/// does not come about. Then the two connections are joined; from there on bytes do not come through here,
/// unless a filter in the chain observes them.
package final class TCPProxyFilter: NetworkFilter {
    private let settings: TCPProxySettings
    private let cluster: WorkerCluster
    private var tried = TriedEndpoints()
    private var attemptsLeft: Int
    private var upstream: TCPUpstream?
    /// nil without logs.
    private var record: TCPAccessRecord?

    package init(connection: Connection, settings: TCPProxySettings) {
        self.settings = settings
        cluster = settings.pickCluster()
        attemptsLeft = settings.connectAttempts
        if !settings.accessLogs.isEmpty { record = TCPAccessRecord(connection, settings.accessLogs) }
        super.init(connection: connection)
    }

    package override func onConnected(_ connection: Connection) {
        connection.setIdleTimeout(ns: settings.idleTimeoutNs)
        connectUpstream()
    }

    private func connectUpstream() {
        attemptsLeft -= 1
        let upstream = TCPUpstream(filter: self, cluster: cluster)
        switch cluster.connect(on: connection.worker, handler: upstream, excluding: tried) {
        case .connecting(let upstreamConnection, let endpoint):
            tried.insert(endpoint)
            upstream.started(upstreamConnection, endpoint: endpoint)
            self.upstream = upstream
            record?.tried(endpoint)
        case .refused(.exhausted):
            record?.flag = .upstreamOverflow
            refuse(.limit)
        case .refused(.overflow):
            record?.flag = .upstreamOverflow
            refuse(.noUpstream)
        case .refused(.noEndpoint):
            if record?.flag == ResponseFlag.none { record?.flag = .noHealthyUpstream }
            refuse(.noUpstream)
        }
    }

    /// A reset, because an orderly end would look like an empty but complete answer.
    private func refuse(_ reason: CloseReason) {
        connection.close(reason, reset: true)
    }

    // MARK: From upstream

    fileprivate func upstreamConnected(_ upstreamConnection: Connection) {
        guard connection.isOpen else { return }
        record?.connected()
        if !isDataObserved { connection.relay(to: upstreamConnection) }
        if !isWriteObserved { upstreamConnection.relay(to: connection) }
        connection.startReading()
        upstreamConnection.startReading()
    }

    fileprivate func upstreamClosed(_ reason: CloseReason, wasConnected: Bool) {
        upstream = nil
        guard connection.isOpen else { return }
        if !wasConnected {
            record?.transportFailure = reason
            record?.flag = .upstreamConnectionFailure
            if attemptsLeft > 0 {
                cluster.counters.add(to: ClusterStat.retries)
                connectUpstream()
            } else {
                refuse(.noUpstream)
            }
            return
        }
        switch reason {
        case .finished: connection.finishWriting()
        case .remoteReset: connection.closeWhenSent(.otherSideReset, reset: true)
        default: connection.closeWhenSent(.otherSideClosed, reset: true)
        }
    }

    // MARK: From downstream

    package override func onData(_ data: consuming Lease, on connection: Connection) {
        guard let upstream else {
            connection.worker.discard(data)
            return
        }
        upstream.write(data)
    }

    package override func onEnd(_ connection: Connection) { upstream?.finishWriting() }
    package override func onAboveHighWatermark(_ connection: Connection) { upstream?.pauseReading() }
    package override func onBelowLowWatermark(_ connection: Connection) { upstream?.resumeReading() }

    package override func onClose(_ connection: Connection, _ reason: CloseReason) {
        upstream?.downstreamClosed(reason)
        upstream = nil
        record?.write(connection, cluster.cluster, reason)
    }
}

/// The upstream half of a proxied connection. It and its filter know each other until either side closes.
private final class TCPUpstream: ConnectionHandler {
    private var filter: TCPProxyFilter?
    private let cluster: WorkerCluster
    private var connection: Connection?
    private var endpoint = 0
    private var startedNs: UInt64 = 0
    private var isConnected = false

    init(filter: TCPProxyFilter, cluster: WorkerCluster) {
        self.filter = filter
        self.cluster = cluster
        super.init()
    }

    func started(_ connection: Connection, endpoint: Int) {
        self.connection = connection
        self.endpoint = endpoint
        startedNs = connection.worker.nowNs
    }

    func write(_ data: consuming Lease) { connection!.write(data) }
    func finishWriting() { connection?.finishWriting() }
    func pauseReading() { connection?.pauseReading() }
    func resumeReading() { connection?.resumeReading() }

    func downstreamClosed(_ reason: CloseReason) {
        filter = nil
        guard let connection else { return }
        switch reason {
        // Nobody watches over this side's idle time any more, so what is still queued gets a bounded time.
        case .finished: connection.closeWhenSent(.finished)
        case .remoteReset, .tlsTruncated: connection.closeWhenSent(.otherSideReset, reset: true)
        // A client that is gone did not end its stream: the upstream must not take what it has for all of it.
        case .transportTimeout, .transportError: connection.close(.otherSideClosed, reset: true)
        default: connection.close(.otherSideClosed)
        }
    }

    override func onConnected(_ connection: Connection) {
        isConnected = true
        cluster.noteSuccess(of: endpoint)
        cluster.counters.add(to: ClusterStat.connects)
        cluster.counters.record(connection.worker.nowNs - startedNs, in: ClusterStat.connectTime)
        filter?.upstreamConnected(connection)
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        guard let filter else {
            connection.worker.discard(data)
            return
        }
        filter.forwardWrite(data)
    }

    override func onEnd(_ connection: Connection) { filter?.connection.finishWriting() }
    override func onAboveHighWatermark(_ connection: Connection) { filter?.connection.pauseReading() }
    override func onBelowLowWatermark(_ connection: Connection) { filter?.connection.resumeReading() }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        cluster.release(endpoint: endpoint, reason)
        let filter = filter
        self.filter = nil
        filter?.upstreamClosed(reason, wasConnected: isConnected)
    }
}

/// Makes the filter that ends the chains of a `tcp:` listener, on one worker.
package final class TCPProxyFactory: NetworkFilterFactory {
    private let settings: TCPProxySettings

    package init(settings: TCPProxySettings) {
        self.settings = settings
        super.init()
    }

    package override func makeFilter(for connection: Connection) -> NetworkFilter {
        TCPProxyFilter(connection: connection, settings: settings)
    }
}
