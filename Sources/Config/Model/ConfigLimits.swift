/// The range of every option that has one. The defaults are `static let`s beside the option they belong to.
package enum ConfigLimits {
    package static let workers = 1...1024
    package static let drainTimeout = TimeSpan.zero ... .hours(24)
    /// A power of two as well: the kernel indexes provided buffers by a mask.
    package static let bufferSize = ByteSize.kibibytes(16) ... .kibibytes(256)
    package static let buffersMaxPerWorker = ByteSize.mebibytes(1) ... .gibibytes(64)
    /// The process and its workers have some hundreds in any case.
    package static let series = 10_000...100_000_000
    /// 320 bytes each, of each worker.
    package static let recentRequests = 0...1_000_000

    package static let listeners = 1...1000
    package static let connections = 1...10_000_000
    /// Of `allow` and of `deny`. An empty list would leave open whether it means everybody or nobody.
    package static let accessRanges = 1...10_000
    package static let networkFilters = 1...64
    package static let webSocketMessageBytes = ByteSize(bytes: 1) ... .gibibytes(1)
    package static let weight = 1...1_000_000

    /// Of one listener.
    package static let filterChains = 1...1000
    /// Of one chain.
    package static let serverNames = 1...1000

    package static let certificates = 1...1000
    package static let handshakeTimeout = TimeSpan.milliseconds(1) ... .hours(1)
    package static let applicationProtocols = 1...32
    /// Of ciphers, of cipher suites and of groups.
    package static let tlsNames = 1...64
    package static let subjectNames = 1...256

    package static let weightedClusters = 1...1000
    package static let connectAttempts = 1...10
    /// Of idle time-outs and the like, where 0 means off.
    package static let idleTimeout = TimeSpan.milliseconds(1) ... .days(30)

    package static let requestTimeout = TimeSpan.milliseconds(1) ... .hours(24)
    /// Bytes in a second.
    package static let requestBodyMinRate = ByteSize(bytes: 1) ... .gibibytes(1)
    package static let headerBytes = ByteSize.kibibytes(1) ... .mebibytes(1)
    package static let headers = 1...10_000
    package static let urlBytes = ByteSize(bytes: 256) ... .mebibytes(1)
    package static let bodyBytes = ByteSize(bytes: 1) ... .gibibytes(16 << 10)
    package static let bufferBytes = ByteSize(bytes: 1) ... .gibibytes(1)
    package static let concurrentStreams = 1...10_000
    /// RFC 9113 §6.9.1: 2^31-1 at most; below 64 KiB a connection may stand still.
    package static let http2Window = ByteSize.kibibytes(64) ... .mebibytes(1024)
    package static let http2WindowGrowth = ByteSize(bytes: 0) ... .mebibytes(1024)
    package static let http2PingInterval = TimeSpan.seconds(1) ... .hours(24)
    package static let http2PingTimeout = TimeSpan.milliseconds(100) ... .hours(1)
    package static let trustedHops = 0...16
    package static let requestsPerConnection = 1...10_000_000
    package static let connectionDuration = TimeSpan.milliseconds(1) ... .days(30)
    package static let serverNameBytesMax = 128
    package static let httpFilters = 1...64

    /// Of one listener.
    package static let accessLogs = 1...16
    package static let accessLogFilters = 1...16
    package static let accessLogFlags = 1...32
    package static let accessLogDuration = TimeSpan.milliseconds(1) ... .hours(24)
    package static let accessLogFormatBytesMax = 16 << 10
    package static let accessLogFieldsMax = 128
    package static let accessLogFieldDepthMax = 8
    /// What the kernel takes, without the end mark.
    package static let filePathBytesMax = 4095

    /// Each has a bit in a span's record.
    package static let traceExporters = 1...32
    package static let traceTagsMax = 32
    package static let traceTagNameBytesMax = 64
    package static let serviceNameBytesMax = 128
    package static let tracePathTagLength = 1...1024
    package static let traceSamplingRules = 1000
    package static let traceFixedTarget = 0...1_000_000
    package static let lateTracesPerSecond = 0...10_000

    package static let hosts = 1...10_000
    package static let domains = 1...1000
    package static let routes = 1...10_000
    package static let methods = 1...16
    /// Of headers, of query parameters and of cookies that one route looks at.
    package static let fieldMatches = 1...64
    package static let fieldTextBytesMax = 1024
    /// Different patterns of one listener. Each worker has a copy of each.
    package static let regexesMax = 2000
    package static let headerNameBytesMax = 256
    /// Of headers that one list sets, adds or removes.
    package static let headerEditsMax = 64
    package static let responseStatus = 200...599
    package static let responseBodyBytesMax = 64 << 10
    package static let pathBytesMax = 8192
    package static let redirectStatuses = [301, 302, 303, 307, 308]
    package static let port = 1...65_535
    package static let routeTimeout = TimeSpan.milliseconds(1) ... .hours(24)
    package static let upgrades = 1...16
    package static let mirrors = 1...8
    package static let retryOn = 1...32
    package static let retryStatus = 400...599
    package static let retryAttempts = 1...10
    package static let retryBackOff = TimeSpan.milliseconds(1) ... .minutes(1)

    package static let poolRequests = 1...10_000_000
    package static let poolRetries = 0...1_000_000
    package static let endpoints = 1...10_000
    package static let connectTimeout = TimeSpan.milliseconds(1) ... .hours(1)

    package static let healthCheckInterval = TimeSpan.milliseconds(10) ... .hours(24)
    package static let healthCheckTimeout = TimeSpan.milliseconds(1) ... .minutes(10)
    /// Of results in a row, those of clients included.
    package static let healthCheckThreshold = 1...1000
    /// Of items in a list of statuses.
    package static let healthCheckStatuses = 64
    package static let healthCheckPayloadBytesMax = 1024
    package static let ejection = TimeSpan.milliseconds(100) ... .hours(24)
    /// What the kernel takes (tcp(7)).
    package static let keepAliveTime = TimeSpan.seconds(1) ... .seconds(32_767)
    package static let keepAliveCount = 1...127
}
