internal import Engine
internal import Filters
internal import HTTP

/// The two threads that make the parts of scrapes.
struct ScrapeQueues {
    /// Runs where nothing else wants to, so a worker that wakes up has its CPU at once.
    let patient: ControlQueue
    /// For what would wait for ever on a machine that is never idle.
    let brisk: ControlQueue

    init() throws(SystemLack) {
        patient = try ControlQueue("scrapes-idle", standing: .idle)
        brisk = try ControlQueue("scrapes", standing: .nice(5))
    }
}

/// Brings an exposition to its client: parts are made on a queue of scrapes and sent on the worker, each when the
/// client has taken most of what came before.
///
/// The next part is not asked for before the last one was sent, so `part` has one user at a time.
final class Scrape: HTTPBodySource, @unchecked Sendable {
    /// What is not written by then gets the other queue, so that it comes before its reader gives up (Prometheus: 10 s).
    /// 2,000 clusters take a tenth of a second of an idle CPU.
    private static let patienceNs: UInt64 = 2_000_000_000

    private let exposition: Exposition
    private let queues: ScrapeQueues
    private let askedNs = monotonicNowNs()
    private let mailbox: Mailbox
    private let waiting: WaitingExchanges
    /// Kept until the next one is made, so that its memory goes back on the thread that took it. A worker that freed
    /// it might wait for malloc's lock, and that might be held by a thread that gets no CPU.
    private var part: (bytes: [UInt8], isLast: Bool) = ([], false)

    init(_ exposition: Exposition, queues: ScrapeQueues, mailbox: Mailbox, waiting: WaitingExchanges) {
        self.exposition = exposition
        self.queues = queues
        self.mailbox = mailbox
        self.waiting = waiting
    }

    /// Makes the first part. What fits in it is an answer like any other.
    func begin(_ head: LocalResponse, _ ticket: UInt64) {
        makePart { [self] in
            guard let exchange = waiting.take(ticket) else { return }
            var head = head
            head.body = part.bytes
            if part.isLast { exchange.respond(head) } else { exchange.respond(head, then: self) }
        }
    }

    func makePart(for exchange: HTTPExchange) {
        guard let ticket = waiting.add(exchange) else {
            // Beyond the bound: the client learns from the missing end that this is not all.
            exchange.abort()
            return
        }
        makePart { [self] in waiting.take(ticket)?.send(part.bytes, isLast: part.isLast) }
    }

    func cancel() {}

    /// - Parameter send: what the worker does when `part` is there
    private func makePart(_ send: @escaping @Sendable () -> Void) {
        let isLate = monotonicNowNs() &- askedNs > Self.patienceNs
        (isLate ? queues.brisk : queues.patient).async { [self] in
            part = exposition.nextPart()
            mailbox.send { _ in send() }
        }
    }
}

/// Exchanges whose answers are being made. Touched on the worker's thread only; other threads hold a number.
final class WaitingExchanges: @unchecked Sendable {
    private static let countMax = 256
    private var exchanges: [UInt64: HTTPExchange] = [:]
    private var next: UInt64 = 0

    /// nil when as many wait as may.
    func add(_ exchange: HTTPExchange) -> UInt64? {
        guard exchanges.count < Self.countMax else { return nil }
        next += 1
        exchanges[next] = exchange
        return next
    }

    func take(_ ticket: UInt64) -> HTTPExchange? { exchanges.removeValue(forKey: ticket) }
}
