internal import Engine
internal import Upstream

/// What the logs of a `tcp:` listener tell of one connection.
struct TCPAccessRecord {
    private let logs: [AccessLog]
    private let startedNs: UInt64
    private let addresses: ConnectionAddresses?
    private var endpoint: Int?
    private var attempts: UInt64 = 0
    var flag = ResponseFlag.none
    /// Why the last try came to nothing.
    var transportFailure: CloseReason?

    init(_ connection: Connection, _ logs: [AccessLog]) {
        self.logs = logs
        startedNs = connection.worker.nowNs
        // Now: a client that resets has no address any more.
        addresses = logs.contains { $0.needsAddresses } ? ConnectionAddresses(connection) : nil
    }

    mutating func tried(_ endpoint: Int) {
        self.endpoint = endpoint
        attempts += 1
    }

    /// What went wrong before does not matter any more.
    mutating func connected() {
        flag = .none
        transportFailure = nil
    }

    /// The connection is over.
    func write(_ connection: Connection, _ cluster: Cluster, _ reason: CloseReason) {
        let flag = flag == .none ? reason.downstreamFlag : flag
        var context = CommandContext(
            connection: connection, startedNs: startedNs, flag: flag, cluster: attempts > 0 ? cluster : nil,
            endpoint: endpoint, attempts: attempts, addresses: addresses, reason: reason)
        context.info.transportFailure = transportFailure
        for log in logs { log.write(context) }
    }
}
