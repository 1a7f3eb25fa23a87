internal import Engine

/// One side of a health check: the connection that asks an endpoint.
///
/// It answers its session once for each `ask`, by `finish`. A probe whose session has let go of it (`abandon`) answers
/// nothing any more.
class HealthProbe: ConnectionHandler {
    /// Keeps the address in place until the connection is gone.
    private let endpoint: Endpoint
    private var session: HealthCheckSession?
    var connection: Connection?

    init(of endpoint: Endpoint, for session: HealthCheckSession) {
        self.endpoint = endpoint
        self.session = session
        super.init()
    }

    /// False when the process has no descriptor for it.
    func connect(on worker: Worker, counters: StatsScope, timeoutNs: UInt64, tls: TLSClientSessions?) -> Bool {
        connection = worker.connect(
            to: endpoint.address, handler: self, counters: counters, timeoutNs: timeoutNs, tls: tls)
        return connection != nil
    }

    /// Connected, and ready for another check.
    var isIdle: Bool { false }

    /// Starts another check on the same connection.
    func ask() {}

    func write(_ bytes: [UInt8], on connection: Connection) {
        unsafe bytes.withUnsafeBytes { unsafe connection.write(copying: $0.bytes) }
    }

    /// Nobody waits for an answer any more.
    func abandon() {
        session = nil
        connection?.close(.localClose)
    }

    func finish(_ result: HealthCheckResult) {
        let session = session
        if !isIdle { self.session = nil }
        session?.checked(result)
    }

    /// The same check, on another connection.
    func askAgain() {
        let session = session
        self.session = nil
        session?.askAgain()
    }

    override func onEnd(_ connection: Connection) { connection.close(.finished) }

    override func onClose(_ connection: Connection, _ reason: CloseReason) {
        self.connection = nil
        closed(reason)
        let session = session
        self.session = nil
        session?.probeClosed(self)
    }

    /// The connection is gone. Ends the check that is under way, if there is one.
    func closed(_ reason: CloseReason) {
        switch reason {
        case .connectTimeout: finish(.failed(.timeout))
        case .finished: finish(.failed(.connection(reason: "closed without an answer")))
        default: finish(.failed(.connection(reason: reason.label)))
        }
    }
}
