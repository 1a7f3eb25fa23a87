package import Engine
package import HTTP

/// What `HTTPServerFilter` needs to know, for one worker.
package struct HTTPServerSettings {
    package var limits: HTTP1Limits
    /// Nanoseconds without a request in progress; 0 for no limit.
    package var idleTimeoutNs: UInt64
    /// Nanoseconds from the first byte of a request to the end of its body; 0 for no limit.
    package var requestTimeoutNs: UInt64
    package var responder: any HTTPResponder

    package init(limits: HTTP1Limits, idleTimeoutNs: UInt64, requestTimeoutNs: UInt64, responder: any HTTPResponder) {
        self.limits = limits
        self.idleTimeoutNs = idleTimeoutNs
        self.requestTimeoutNs = requestTimeoutNs
        self.responder = responder
    }
}

/// Serves HTTP/1.1 from within the process: a terminal network filter.
///
/// Requests on a connection are answered one after the other in the order in which they came (RFC 9112
/// §9.3.2); the next one is looked at when the answer to the one before is queued, and reading stops while
/// one is being worked on, so a client that pipelines without end fills its own socket only.
package final class HTTPServerFilter: NetworkFilter {
    enum Phase {
        /// Between requests, or in the middle of a head.
        case head
        /// The head is complete; its body is being collected.
        case body(length: Int)
        /// The responder has the request.
        case responding
        /// No further request is taken from this connection.
        case closing
    }

    let settings: HTTPServerSettings
    var phase = Phase.head
    /// Received and not yet consumed. Copied out of the receive buffers, because a head must be in one piece
    /// and a slow client must not keep a shared buffer.
    var input: [UInt8] = []
    private var parser = HTTP1RequestParser()
    var head: RequestHead?
    private var headLength = 0
    var keepsAlive = true
    var isHead = false
    var isHTTP10 = false
    /// Which request of the connection is being answered; late answers to others are dropped.
    var number: UInt64 = 0
    private var requestStartedNs: UInt64 = 0
    var clientEnded = false
    var isDraining = false
    /// Where the rest of the answer comes from, while there is a rest.
    var source: (any HTTPBodySource)?
    var framing = BodyFraming.length
    var isMakingPart = false
    /// The client does not take what is queued for it.
    var isBlocked = false

    /// How the client knows where the body ends.
    enum BodyFraming {
        case length, chunked, untilClose
    }

    package init(connection: Connection, settings: HTTPServerSettings) {
        self.settings = settings
        super.init(connection: connection)
    }

    package override func onConnected(_ connection: Connection) {
        armTimeout(settings.idleTimeoutNs)
        connection.startReading()
    }

    package override func onData(_ data: consuming Lease, on connection: Connection) {
        if case .closing = phase {
            connection.worker.discard(data)
            return
        }
        if input.isEmpty, case .head = phase { requestStartedNs = connection.worker.nowNs }
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe input.append(contentsOf: $0) } }
        connection.worker.discard(data)
        advance()
        armRequestTimeout()
    }

    package override func onEnd(_ connection: Connection) {
        clientEnded = true
        switch phase {
        case .responding, .closing: break  // the answer is sent, then the connection ends
        case .head, .body: connection.finishWriting()
        }
    }

    /// The idle timeout between requests ends the connection; within a request the client is told (408).
    package override func onIdle(_ connection: Connection) {
        if input.isEmpty, case .head = phase {
            connection.close(.idleTimeout)
            return
        }
        if source != nil {
            // The client takes nothing of its answer.
            connection.close(.idleTimeout)
            return
        }
        refuse(.requestTimeout, .idleTimeout)
    }

    package override func onDrain(_ connection: Connection) {
        isDraining = true
        if input.isEmpty, case .head = phase { connection.closeWhenSent(.drained) }
    }

    package override func onClose(_ connection: Connection, _ reason: CloseReason) {
        phase = .closing
        number += 1
        input = []
        head = nil
        source?.cancel()
        source = nil
    }

    package override func onAboveHighWatermark(_ connection: Connection) { isBlocked = true }

    package override func onBelowLowWatermark(_ connection: Connection) {
        isBlocked = false
        askForPart()
    }

    // MARK: Requests

    func advance() {
        while true {
            switch phase {
            case .head:
                guard !input.isEmpty, parseHead() else { return }
            case .body(let length):
                guard input.count >= headLength + length else { return }
                hand(over: length)
            case .responding:
                connection.pauseReading()
                return
            case .closing:
                return
            }
        }
    }

    /// While a request is incomplete the time that is left for it runs, however often bytes of it come.
    private func armRequestTimeout() {
        switch phase {
        case .head where input.isEmpty: return
        case .responding, .closing: return
        case .head, .body: break
        }
        guard settings.requestTimeoutNs > 0 else { return }
        let deadlineNs = requestStartedNs + settings.requestTimeoutNs
        let nowNs = connection.worker.nowNs
        armTimeout(deadlineNs > nowNs ? deadlineNs - nowNs : 1)
    }

    /// False when more bytes are needed, or the request was refused.
    private func parseHead() -> Bool {
        if head == nil { head = RequestHead(headersMax: settings.limits.headersMax) }
        let outcome = ByteSlice.withBytes(of: input) { bytes in
            parser.parse(bytes, limits: settings.limits, into: &head!)
        }
        switch outcome {
        case .incomplete:
            return false
        case .malformed(let error):
            refuse(error.status, .protocolError)
            return false
        case .complete(let length):
            headLength = length
            keepsAlive = parser.isPersistent && !isDraining
            isHead = head!.method == .head
            isHTTP10 = head!.version == .http10
            return startBody()
        }
    }

    private func startBody() -> Bool {
        switch parser.bodyFraming {
        case .none, .untilClose:
            phase = .body(length: 0)
        case .length(let length):
            phase = .body(length: Int(length))
            if head!.expectsContinue, input.count == headLength { writeContinue() }
        case .chunked:
            // Nothing that we answer ourselves takes a body of unknown length.
            refuse(.lengthRequired, .localClose)
            return false
        }
        return true
    }

    private func writeContinue() {
        ByteSlice("HTTP/1.1 100 Continue\r\n\r\n").withSpan { connection.write(copying: $0) }
    }

    private func hand(over bodyLength: Int) {
        phase = .responding
        armTimeout(0)  // the client waits for us now
        number += 1
        let body = Array(input[headLength..<(headLength + bodyLength)])
        let exchange = HTTPExchange(filter: self, number: number)
        ByteSlice.withBytes(of: input) { bytes in
            head!.moveSource(to: bytes.prefix(headLength))
            settings.responder.respond(to: head!, body: body, exchange)
        }
        input.removeFirst(headLength + bodyLength)
        head = nil
        parser.reset()
        if case .head = phase {
            // Answered already.
            if !input.isEmpty { requestStartedNs = connection.worker.nowNs }
        }
    }

    func armTimeout(_ ns: UInt64) { connection.setIdleTimeout(ns: ns) }
}

/// Makes the filter for each connection of a listener.
package final class HTTPServerFilterFactory: NetworkFilterFactory {
    private let settings: HTTPServerSettings

    package init(settings: HTTPServerSettings) {
        self.settings = settings
        super.init()
    }

    package override func makeFilter(for connection: Connection) -> NetworkFilter {
        HTTPServerFilter(connection: connection, settings: settings)
    }
}
