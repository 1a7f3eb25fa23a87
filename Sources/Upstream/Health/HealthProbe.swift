internal import Config
internal import Engine
internal import HTTP

/// One side of a health check: the connection that asks an endpoint.
///
/// It answers its session once for each `ask`, by `finish`. A probe whose session has let go of it (`abandon`) answers
/// nothing any more.
class HealthProbe: ConnectionHandler {
    /// Keeps the address in place until the connection is gone.
    private let endpoint: Endpoint
    private var session: HealthCheckSession?
    fileprivate var connection: Connection?

    init(of endpoint: Endpoint, for session: HealthCheckSession) {
        self.endpoint = endpoint
        self.session = session
        super.init()
    }

    /// False when the process has no descriptor for it.
    func connect(on worker: Worker, counters: StatsScope, timeoutNs: UInt64) -> Bool {
        connection = worker.connect(to: endpoint.address, handler: self, counters: counters, timeoutNs: timeoutNs)
        return connection != nil
    }

    /// Connected, and ready for another check.
    var isIdle: Bool { false }

    /// Starts another check on the same connection.
    func ask() {}

    fileprivate func write(_ bytes: [UInt8], on connection: Connection) {
        unsafe bytes.withUnsafeBytes { unsafe connection.write(copying: $0.bytes) }
    }

    /// Nobody waits for an answer any more.
    func abandon() {
        session = nil
        connection?.close(.localClose)
    }

    fileprivate func finish(_ result: HealthCheckResult) {
        let session = session
        if !isIdle { self.session = nil }
        session?.checked(result)
    }

    /// The same check, on another connection.
    fileprivate func askAgain() {
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
    fileprivate func closed(_ reason: CloseReason) {
        switch reason {
        case .connectTimeout: finish(.failed(.timeout))
        case .finished: finish(.failed(.connection(reason: "closed without an answer")))
        default: finish(.failed(.connection(reason: reason.label)))
        }
    }
}

/// Asks an HTTP question. The connection is kept for the next check where both sides want that.
final class HTTPHealthProbe: HealthProbe {
    private enum Phase { case connecting, asking, idle, closed }

    private let check: HTTPHealthCheck
    private var reader: HTTPCheckReader
    private var phase = Phase.connecting
    private var isReused = false

    init(_ check: HTTPHealthCheck, of endpoint: Endpoint, for session: HealthCheckSession) {
        self.check = check
        reader = HTTPCheckReader(isHead: check.isHead)
        super.init(of: endpoint, for: session)
    }

    override var isIdle: Bool { phase == .idle && connection?.isOpen == true }

    override func ask() {
        isReused = true
        reader.reset()
        send()
    }

    private func send() {
        phase = .asking
        if let connection { write(check.request, on: connection) }
    }

    override func onConnected(_ connection: Connection) {
        connection.startReading()
        send()
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        guard phase == .asking else {
            // Nobody asked: what this endpoint says next cannot be told from an answer.
            connection.worker.discard(data)
            connection.close(.protocolError)
            return
        }
        let outcome = data.withBytes { span in ByteSlice.withBytes(of: span) { reader.read($0) } }
        connection.worker.discard(data)
        conclude(outcome, connection)
    }

    override func onEnd(_ connection: Connection) {
        guard phase == .asking, reader.hasBegun else { return connection.close(.finished) }
        conclude(reader.end(), connection)
    }

    private func conclude(_ outcome: HTTPCheckReader.Outcome, _ connection: Connection) {
        switch outcome {
        case .incomplete: break
        case .malformed:
            phase = .closed
            connection.close(.protocolError)
            finish(.failed(.invalidAnswer))
        case .answered(let status, let isReusable):
            if isReusable && check.reusesConnection {
                phase = .idle
            } else {
                phase = .closed
                connection.close(.finished)
            }
            finish(check.result(of: status))
        }
    }

    override func closed(_ reason: CloseReason) {
        switch phase {
        case .closed, .idle: phase = .closed
        case .asking where isReused && !reader.hasBegun:
            // The endpoint closed an idle connection while the question was on its way: that says nothing about it.
            phase = .closed
            askAgain()
        case .connecting, .asking:
            phase = .closed
            super.closed(reason)
        }
    }
}

/// Connects, and where it is told to, says something and waits for an answer.
final class TCPHealthProbe: HealthProbe {
    private let check: TCPHealthCheckConfiguration
    private var reader: TCPCheckReader
    private var isDone = false

    init(_ check: TCPHealthCheckConfiguration, of endpoint: Endpoint, for session: HealthCheckSession) {
        self.check = check
        reader = TCPCheckReader(expected: check.expect)
        super.init(of: endpoint, for: session)
    }

    override func onConnected(_ connection: Connection) {
        write(check.send, on: connection)
        if check.expect.isEmpty { done(.passed, connection) } else { connection.startReading() }
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        let outcome = data.withBytes { span in ByteSlice.withBytes(of: span) { reader.read($0) } }
        connection.worker.discard(data)
        guard !isDone else { return }
        switch outcome {
        case .incomplete: break
        case .found: done(.passed, connection)
        case .tooLong: done(.failed(.invalidAnswer), connection)
        }
    }

    private func done(_ result: HealthCheckResult, _ connection: Connection) {
        isDone = true
        // In order, so that what was sent arrives.
        connection.closeWhenSent(.finished)
        finish(result)
    }

    override func closed(_ reason: CloseReason) { if !isDone { super.closed(reason) } }
}
