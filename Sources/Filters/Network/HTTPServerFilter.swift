package import Engine
package import HTTP
internal import Glibc

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

/// Answers complete requests: the routes of a configuration, or the admin interface. One per worker and listener.
package protocol HTTPResponder: AnyObject {
    /// Answers through `exchange.respond`, now or later. `head` and `body` are gone when this returns.
    func respond(to head: borrowing RequestHead, body: [UInt8], _ exchange: HTTPExchange)
}

/// One request that waits for its answer.
package struct HTTPExchange {
    fileprivate let filter: HTTPServerFilter
    fileprivate let number: UInt64

    /// The connection's worker.
    package var worker: Worker { filter.connection.worker }

    /// Sends the answer. Without effect when the client has gone meanwhile, or a second time.
    package func respond(_ response: LocalResponse) { filter.respond(response, to: number) }
}

/// Serves HTTP/1.1 from within the process: a terminal network filter.
///
/// Requests on a connection are answered one after the other in the order in which they came (RFC 9112
/// §9.3.2); the next one is looked at when the answer to the one before is queued, and reading stops while
/// one is being worked on, so a client that pipelines without end fills its own socket only.
package final class HTTPServerFilter: NetworkFilter {
    private enum Phase {
        /// Between requests, or in the middle of a head.
        case head
        /// The head is complete; its body is being collected.
        case body(length: Int)
        /// The responder has the request.
        case responding
        /// No further request is taken from this connection.
        case closing
    }

    private let settings: HTTPServerSettings
    private var phase = Phase.head
    /// Received and not yet consumed. Copied out of the receive buffers, because a head must be in one piece
    /// and a slow client must not keep a shared buffer.
    private var input: [UInt8] = []
    private var parser = HTTP1RequestParser()
    private var head: RequestHead?
    private var headLength = 0
    private var keepsAlive = true
    private var isHead = false
    private var isHTTP10 = false
    /// Which request of the connection is being answered; late answers to others are dropped.
    private var number: UInt64 = 0
    private var requestStartedNs: UInt64 = 0
    private var clientEnded = false
    private var isDraining = false

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
    }

    // MARK: Requests

    private func advance() {
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

    // MARK: Responses

    fileprivate func respond(_ response: LocalResponse, to request: UInt64) {
        guard request == number, case .responding = phase, connection.isOpen else { return }
        number += 1
        let mayGoOn = keepsAlive && !isDraining
        write(response, closing: !mayGoOn)
        guard mayGoOn, !clientEnded else {
            phase = .closing
            connection.closeWhenSent(isDraining ? .drained : .finished)
            return
        }
        phase = .head
        armTimeout(settings.idleTimeoutNs)
        connection.resumeReading()
        // What was pipelined behind is handled from here when the answer came later, from `advance` otherwise.
        if head == nil, !input.isEmpty { advance() }
    }

    /// Answers a request that is not handed to the responder, and takes no further one.
    private func refuse(_ status: HTTPStatus, _ reason: CloseReason) {
        write(LocalResponse(status, text: "\(status.reasonPhrase)\n"), closing: true)
        phase = .closing
        connection.closeWhenSent(reason)
    }

    private func write(_ response: LocalResponse, closing: Bool) {
        let lease = unsafe connection.worker.make(capacity: HTTPResponseWriter.size(of: response)) { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            HTTPResponseWriter.write(
                response, to: &writer, omittingBody: isHead,
                connection: closing ? .close : isHTTP10 ? .keepAlive : .none)
            precondition(writer.fits, "the size of a response is an upper bound")
            return writer.count
        }
        connection.write(lease)
    }

    private func armTimeout(_ ns: UInt64) { connection.setIdleTimeout(ns: ns) }
}

/// Serialises what the proxy says itself.
enum HTTPResponseWriter {
    /// Room for the status line and the fields that are always there.
    private static let fixedBytes = 256

    static func size(of response: LocalResponse) -> Int {
        response.headers.reduce(fixedBytes + response.body.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    static func write(
        _ response: LocalResponse, to writer: inout ByteWriter, omittingBody: Bool, connection: HTTP1ConnectionField
    ) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(response.status.rawValue))
        writer.append(" ")
        writer.append(response.status.reasonPhrase)
        writer.append("\r\nServer: ringway\r\nDate: ")
        HTTPDate.write(epochSeconds: Int64(time(nil)), to: &writer)
        writer.append("\r\n")
        for field in response.headers {
            ByteSlice.withBytes(of: field.name) { writer.append($0) }
            writer.append(": ")
            ByteSlice.withBytes(of: field.value) { writer.append($0) }
            writer.append("\r\n")
        }
        switch connection {
        case .close: writer.append("Connection: close\r\n")
        case .keepAlive: writer.append("Connection: keep-alive\r\n")
        case .none, .upgrade: break
        }
        if !response.status.neverHasBody {
            writer.append("Content-Length: ")
            writer.append(decimal: UInt64(response.body.count))
            writer.append("\r\n")
        }
        writer.append("\r\n")
        if !omittingBody, !response.status.neverHasBody {
            ByteSlice.withBytes(of: response.body) { writer.append($0) }
        }
    }
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
