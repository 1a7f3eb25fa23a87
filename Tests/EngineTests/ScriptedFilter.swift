import Engine

/// A terminal filter whose hooks are closures of the test, and which notes what it was told.
final class ScriptedFilter: NetworkFilter {
    var events: [String] = []
    var received = 0
    var closeReason: CloseReason?
    private let script: Script

    /// What to do in each hook; nil does nothing.
    final class Script {
        var onConnected: ((Connection) -> Void)? = { $0.startReading() }
        var onData: ((consuming Lease, ScriptedFilter) -> Void)?
        var onEnd: ((Connection) -> Void)?
        var onBelowLowWatermark: ((Connection) -> Void)?
        /// Every filter that was made, in the order of connections.
        var filters: [ScriptedFilter] = []

        init() {}
    }

    init(connection: Connection, script: Script) {
        self.script = script
        super.init(connection: connection)
        script.filters.append(self)
    }

    override func onConnected(_ connection: Connection) { script.onConnected?(connection) }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        received += data.count
        if let onData = script.onData { onData(data, self) } else { connection.worker.discard(data) }
    }

    override func onEnd(_ connection: Connection) {
        events.append("end")
        script.onEnd?(connection)
    }

    override func onAboveHighWatermark(_ connection: Connection) { events.append("above") }

    override func onBelowLowWatermark(_ connection: Connection) {
        events.append("below")
        script.onBelowLowWatermark?(connection)
    }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        events.append("close")
        closeReason = reason
    }
}

final class ScriptedFactory: NetworkFilterFactory {
    private let script: ScriptedFilter.Script

    init(_ script: ScriptedFilter.Script) {
        self.script = script
        super.init()
    }

    override func makeFilter(for connection: Connection) -> NetworkFilter {
        ScriptedFilter(connection: connection, script: script)
    }
}

/// A handler of a connection that the worker itself opens.
final class ScriptedHandler: ConnectionHandler {
    var events: [String] = []
    var whenConnected: ((Connection) -> Void)?

    override func onConnected(_ connection: Connection) {
        events.append("connected")
        whenConnected?(connection)
    }

    override func onClose(_ connection: Connection, _ reason: CloseReason) { events.append("close \(reason.label)") }
}
