internal import Engine
internal import Filters
internal import HTTP
internal import Synchronization

/// The admin interface: an HTTP listener of the first worker.
enum AdminListener {
    static let owner = StatsRegistry.Owner(.admin, "")

    /// Largest configuration that `PUT /config` takes, and bounds for everything else that a client sends.
    private static let limits = HTTP1Limits(headerBytesMax: 16 * 1024, headersMax: 64, bodyBytesMax: 16 << 20)
    private static let idleTimeoutNs: UInt64 = 60_000_000_000
    private static let requestTimeoutNs: UInt64 = 30_000_000_000

    static func chain(control: Control, mailbox: Mailbox) -> NetworkFilterChain {
        NetworkFilterChain([
            HTTPServerFilterFactory(
                settings: HTTPServerSettings(
                    limits: limits, idleTimeoutNs: idleTimeoutNs, requestTimeoutNs: requestTimeoutNs,
                    responder: AdminResponder(control: control, mailbox: mailbox)))
        ])
    }
}

/// Takes a request on the worker, has it answered on the control queue, and sends the answer back.
///
/// `/ready` is answered on the spot: it must not wait for a scrape.
private final class AdminResponder: HTTPResponder {
    private let control: Control
    private let mailbox: Mailbox
    private let waiting = WaitingExchanges()

    init(control: Control, mailbox: Mailbox) {
        self.control = control
        self.mailbox = mailbox
    }

    func respond(to head: borrowing RequestHead, body: [UInt8], _ exchange: HTTPExchange) {
        let request = AdminRequest(head, body: body)
        if request.path == "/ready" {
            exchange.respond(AdminHandler.ready(request, control.readiness))
            return
        }
        guard let ticket = waiting.add(exchange) else {
            exchange.respond(LocalResponse(.serviceUnavailable, text: "too many admin requests at once\n"))
            return
        }
        let (control, mailbox, waiting) = (control, mailbox, waiting)
        control.queue.async {
            let answer = AdminHandler(control: control).answer(to: request)
            switch answer {
            case .whole(let response):
                mailbox.send { _ in waiting.take(ticket)?.respond(response) }
            case .later(let make):
                control.scrapes.brisk.async {
                    let response = make()
                    mailbox.send { _ in waiting.take(ticket)?.respond(response) }
                }
            case .exposition(let head, let exposition):
                Scrape(exposition, queues: control.scrapes, mailbox: mailbox, waiting: waiting).begin(head, ticket)
            }
        }
    }
}

/// What the admin interface wants to know of a request.
struct AdminRequest: Sendable {
    var method: HTTPMethod
    var path: String
    /// Decoded, in order.
    var parameters: [(name: String, value: String)]
    var ifMatch: String?
    /// All of its lines joined; nil without any.
    var accept: String?
    var acceptEncoding: String?
    var body: [UInt8]

    init(_ head: borrowing RequestHead, body: [UInt8]) {
        method = head.method
        path = head.path.text
        parameters = Self.parse(head.query?.text ?? "")
        ifMatch = head.headers[.ifMatch]?.text
        accept = Self.joined(.accept, of: head)
        acceptEncoding = Self.joined(.acceptEncoding, of: head)
        self.body = body
    }

    private static func joined(_ name: HeaderName, of head: borrowing RequestHead) -> String? {
        var values: [String] = []
        var index = head.headers.firstIndex(of: name)
        while let found = index {
            if let field = head.headers.field(at: found) { values.append(field.value.text) }
            index = head.headers.firstIndex(of: name, from: found + 1)
        }
        return values.isEmpty ? nil : values.joined(separator: ",")
    }

    /// Decoded, the last of several with one name.
    var query: [String: String] { Dictionary(parameters.map { ($0.name, $0.value) }) { $1 } }

    private static func parse(_ query: String) -> [(name: String, value: String)] {
        query.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (decoded(parts[0]), parts.count > 1 ? decoded(parts[1]) : "")
        }
    }

    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            let hex = rest.prefix(2)
            if byte == UInt8(ascii: "%"), hex.count == 2, let value = UInt8(String(Substring(hex)), radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
