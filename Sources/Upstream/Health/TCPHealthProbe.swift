internal import Config
internal import Engine
internal import HTTP

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
