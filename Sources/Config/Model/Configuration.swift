/// Everything a configuration file says, checked and with its defaults filled in.
///
/// Plain values: comparing two of them tells a reload what changed, and code can build one without a file.
package struct Configuration: Sendable, Equatable {
    package var workers: WorkerCount
    /// Where the admin interface listens; nil for nowhere.
    package var admin: AdminConfiguration?
    /// How long connections may finish their work after the listeners stopped.
    package var drainTimeout: TimeSpan
    package var buffers: BufferConfiguration
    package var stats: StatsConfiguration
    package var tracing: TracingConfiguration
    package var listeners: [ListenerConfiguration]
    package var clusters: [ClusterConfiguration]

    package static let defaultDrainTimeout = TimeSpan.seconds(30)

    package init(
        workers: WorkerCount = .auto,
        admin: AdminConfiguration? = nil,
        drainTimeout: TimeSpan = Configuration.defaultDrainTimeout,
        buffers: BufferConfiguration = BufferConfiguration(),
        stats: StatsConfiguration = StatsConfiguration(),
        tracing: TracingConfiguration = TracingConfiguration(),
        listeners: [ListenerConfiguration] = [],
        clusters: [ClusterConfiguration] = []
    ) {
        self.workers = workers
        self.admin = admin
        self.drainTimeout = drainTimeout
        self.buffers = buffers
        self.stats = stats
        self.tracing = tracing
        self.listeners = listeners
        self.clusters = clusters
    }
}

/// How many threads, each with its own ring, share the load.
package enum WorkerCount: Sendable, Equatable {
    /// As many as the process may use: CPU affinity and the cgroup's CPU quota decide.
    case auto
    case fixed(Int)
}

package struct AdminConfiguration: Sendable, Equatable {
    package var address: SocketAddress
    package var origin: ConfigOrigin

    package init(address: SocketAddress, origin: ConfigOrigin = ConfigOrigin()) {
        self.address = address
        self.origin = origin
    }
}

/// The buffers that a worker receives into.
package struct BufferConfiguration: Sendable, Equatable {
    /// Of one buffer; a power of two.
    package var size: ByteSize
    /// Of all buffers of one worker together. Connections wait for a free one when it is reached.
    package var maxPerWorker: ByteSize

    package static let defaultSize = ByteSize.kibibytes(32)
    package static let defaultMaxPerWorker = ByteSize.mebibytes(64)

    package init(
        size: ByteSize = BufferConfiguration.defaultSize,
        maxPerWorker: ByteSize = BufferConfiguration.defaultMaxPerWorker
    ) {
        self.size = size
        self.maxPerWorker = maxPerWorker
    }
}

/// What the admin interface keeps and shows of what happens.
package struct StatsConfiguration: Sendable, Equatable {
    /// Series that a scrape has at most. Listeners, clusters and filters beyond count together.
    package var maxSeries: Int
    /// Requests that each worker remembers; 0 for none.
    package var recentRequests: Int

    package static let defaultMaxSeries = 500_000
    package static let defaultRecentRequests = 2048

    package init(
        maxSeries: Int = StatsConfiguration.defaultMaxSeries,
        recentRequests: Int = StatsConfiguration.defaultRecentRequests
    ) {
        self.maxSeries = maxSeries
        self.recentRequests = recentRequests
    }
}
