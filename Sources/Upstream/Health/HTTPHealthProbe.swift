internal import Config
internal import Engine
internal import HTTP2

/// Asks an HTTP question, in the version of HTTP that the endpoint speaks. The connection is kept for the next check
/// where both sides want that.
final class HTTPHealthProbe: HealthProbe {
    private enum Phase { case connecting, asking, idle, closed }

    private let question: HTTPHealthQuestion
    private let upstreamProtocol: UpstreamProtocol
    private let output: HTTP2Output
    private var exchange: HealthExchange?
    private var phase = Phase.connecting
    private var isReused = false

    init(
        _ question: HTTPHealthQuestion, speaking upstreamProtocol: UpstreamProtocol, output: HTTP2Output,
        of endpoint: Endpoint, for session: HealthCheckSession
    ) {
        self.question = question
        self.upstreamProtocol = upstreamProtocol
        self.output = output
        super.init(of: endpoint, for: session)
    }

    override var isIdle: Bool { phase == .idle && connection?.isOpen == true }

    override func ask() {
        isReused = true
        send()
    }

    private func send() {
        phase = .asking
        if let connection { exchange?.ask(on: connection) }
    }

    /// RFC 9113 §3.2: within TLS, HTTP/2 is what both sides have agreed on. Nil when they have not, and must.
    private func makeExchange(_ connection: Connection) -> HealthExchange? {
        let isHTTP2 =
            connection.isSecure
            ? connection.applicationProtocol == "h2" : upstreamProtocol == .http2 || question.needsHTTP2
        if isHTTP2 { return HTTP2HealthExchange(question, on: connection, output: output) }
        guard upstreamProtocol != .http2, case .http(let check) = question else { return nil }
        return HTTP1HealthExchange(check)
    }

    override func onConnected(_ connection: Connection) {
        exchange = makeExchange(connection)
        guard exchange != nil else { return connection.close(.tlsNoSharedProtocol) }
        connection.startReading()
        send()
    }

    override func onData(_ data: consuming Lease, on connection: Connection) {
        let outcome = exchange?.receive(data, on: connection, isAsked: phase == .asking) ?? .malformed
        connection.worker.discard(data)
        conclude(outcome, connection)
    }

    override func onEnd(_ connection: Connection) {
        guard phase == .asking, let exchange, exchange.hasBegun else { return connection.close(.finished) }
        conclude(exchange.end(), connection)
    }

    private func conclude(_ outcome: HealthExchange.Outcome, _ connection: Connection) {
        guard phase == .asking else {
            if outcome != .incomplete { connection.close(outcome == .lost ? .finished : .protocolError) }
            return
        }
        switch outcome {
        case .incomplete: break
        case .lost: connection.close(.remoteReset)  // `closed` knows what that means
        case .malformed:
            phase = .closed
            connection.close(.protocolError)
            finish(.failed(.invalidAnswer))
        case .answered(let result, let isReusable):
            if isReusable && question.reusesConnection {
                phase = .idle
            } else {
                phase = .closed
                connection.close(.finished)
            }
            finish(result)
        }
    }

    override func closed(_ reason: CloseReason) {
        switch phase {
        case .closed, .idle: phase = .closed
        case .asking where isReused && exchange?.hasBegun != true:
            // The endpoint closed an idle connection while the question was on its way: that says nothing about it.
            phase = .closed
            askAgain()
        case .connecting, .asking:
            phase = .closed
            super.closed(reason)
        }
    }
}
