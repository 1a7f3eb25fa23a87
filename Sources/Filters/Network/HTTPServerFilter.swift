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

    /// Begins an answer whose body comes part by part from `source`, as fast as the client takes it. The body of
    /// `head` is its first part.
    package func respond(_ head: LocalResponse, then source: any HTTPBodySource) {
        filter.respond(head, then: source, to: number)
    }

    /// The part that the source was asked for.
    package func send(_ part: [UInt8], isLast: Bool) { filter.send(part, isLast: isLast, to: number) }

    /// Ends the connection in the middle of the answer.
    package func abort() { filter.abort(number) }
}

/// Makes a body part by part while it is sent, so that neither side holds all of it. Called on the worker.
package protocol HTTPBodySource: AnyObject {
    /// Makes a part of at most a few times 10 KiB and hands it to `exchange.send`, now or later. Not called again
    /// before that.
    func makePart(for exchange: HTTPExchange)
    /// The client has gone: nothing is asked for any more.
    func cancel()
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
    /// Where the rest of the answer comes from, while there is a rest.
    private var source: (any HTTPBodySource)?
    private var framing = BodyFraming.length
    private var isMakingPart = false
    /// The client does not take what is queued for it.
    private var isBlocked = false

    /// How the client knows where the body ends.
    private enum BodyFraming {
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

    /// Of a body that is there as a whole, this much is queued at once: a large one must not hold the worker up, nor
    /// be there twice.
    private static let partBytes = 32 * 1024

    fileprivate func respond(_ response: LocalResponse, to request: UInt64) {
        guard isAnswering(request) else { return }
        guard response.body.count > Self.partBytes, !isHead else {
            write(response, framing: .length)
            finishResponse()
            return
        }
        framing = .length
        write(response, framing: .length, part: Array(response.body[..<Self.partBytes]))
        begin(StoredBody(response.body[Self.partBytes...], partBytes: Self.partBytes))
    }

    fileprivate func respond(_ head: LocalResponse, then source: any HTTPBodySource, to request: UInt64) {
        guard isAnswering(request) else {
            source.cancel()
            return
        }
        framing = isHTTP10 ? .untilClose : .chunked
        if isHTTP10 { keepsAlive = false }
        var head = head
        let first = head.body
        head.body = []
        write(head, framing: framing)
        guard !isHead else {
            source.cancel()
            finishResponse()
            return
        }
        writePart(first)
        begin(source)
    }

    private func begin(_ source: any HTTPBodySource) {
        self.source = source
        armTimeout(settings.idleTimeoutNs)
        askForPart()
    }

    private func askForPart() {
        guard let source, !isBlocked, !isMakingPart else { return }
        isMakingPart = true
        source.makePart(for: HTTPExchange(filter: self, number: number))
    }

    fileprivate func send(_ part: [UInt8], isLast: Bool, to request: UInt64) {
        guard isAnswering(request), source != nil else { return }
        isMakingPart = false
        writePart(part)
        guard isLast else { return askForPart() }
        if case .chunked = framing { ByteSlice("0\r\n\r\n").withSpan { connection.write(copying: $0) } }
        source = nil
        finishResponse()
    }

    fileprivate func abort(_ request: UInt64) {
        guard isAnswering(request) else { return }
        connection.close(.localClose)
    }

    private func writePart(_ part: [UInt8]) {
        guard !part.isEmpty else { return }
        let isChunked = if case .chunked = framing { true } else { false }
        let lease = unsafe connection.worker.make(capacity: part.count + 32) { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            if isChunked {
                ByteSlice.withBytes(of: String(part.count, radix: 16)) { writer.append($0) }
                writer.append("\r\n")
            }
            ByteSlice.withBytes(of: part) { writer.append($0) }
            if isChunked { writer.append("\r\n") }
            precondition(writer.fits, "a part has room for its frame")
            return writer.count
        }
        connection.write(lease)
    }

    private func isAnswering(_ request: UInt64) -> Bool {
        guard request == number, case .responding = phase else { return false }
        return connection.isOpen
    }

    private var mayGoOn: Bool { keepsAlive && !isDraining }

    private func finishResponse() {
        number += 1
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
        keepsAlive = false
        write(LocalResponse(status, text: "\(status.reasonPhrase)\n"), framing: .length)
        phase = .closing
        connection.closeWhenSent(reason)
    }

    /// - Parameter part: of the body, what is sent with the head; nil for all of it
    private func write(_ response: LocalResponse, framing: BodyFraming, part: [UInt8]? = nil) {
        let body = part ?? response.body
        let field: HTTP1ConnectionField = !mayGoOn ? .close : isHTTP10 ? .keepAlive : .none
        let lease = unsafe connection.worker.make(
            capacity: HTTPResponseWriter.headSize(of: response) + body.count
        ) { buffer in
            var writer = unsafe ByteWriter(start: buffer.baseAddress!, capacity: buffer.count)
            let length: Int? =
                switch framing {
                case .length: response.body.count
                case .chunked, .untilClose: nil
                }
            HTTPResponseWriter.writeHead(
                response, to: &writer, bodyLength: length, isChunked: framing == .chunked, connection: field)
            if !isHead, !response.status.neverHasBody { ByteSlice.withBytes(of: body) { writer.append($0) } }
            precondition(writer.fits, "the size of a response is an upper bound")
            return writer.count
        }
        connection.write(lease)
    }

    private func armTimeout(_ ns: UInt64) { connection.setIdleTimeout(ns: ns) }
}

/// A body that is there already, in parts.
private final class StoredBody: HTTPBodySource {
    private var rest: ArraySlice<UInt8>
    private let partBytes: Int

    init(_ rest: ArraySlice<UInt8>, partBytes: Int) {
        self.rest = rest
        self.partBytes = partBytes
    }

    func makePart(for exchange: HTTPExchange) {
        let part = rest.prefix(partBytes)
        rest = rest.dropFirst(partBytes)
        exchange.send(Array(part), isLast: rest.isEmpty)
    }

    func cancel() {}
}

/// Serialises what the proxy says itself.
enum HTTPResponseWriter {
    /// Room for the status line and the fields that are always there.
    private static let fixedBytes = 256

    static func headSize(of response: LocalResponse) -> Int {
        response.headers.reduce(fixedBytes) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    /// - Parameter bodyLength: nil for a body of unknown length
    static func writeHead(
        _ response: LocalResponse, to writer: inout ByteWriter, bodyLength: Int?, isChunked: Bool,
        connection: HTTP1ConnectionField
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
        if isChunked {
            writer.append("Transfer-Encoding: chunked\r\n")
        } else if let bodyLength, !response.status.neverHasBody {
            writer.append("Content-Length: ")
            writer.append(decimal: UInt64(bodyLength))
            writer.append("\r\n")
        }
        writer.append("\r\n")
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
