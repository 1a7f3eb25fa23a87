internal import Config
package import Engine
internal import HTTP
internal import Synchronization
internal import Upstream

/// One entry of `access_log`, compiled: shared by all workers.
package struct AccessLogPlan: Sendable {
    package let target: AccessLogTarget
    let format: CommandFormat
    let filter: AccessLogFilter

    /// A log on one worker.
    ///
    /// - Parameter counters: of the target, on this worker
    package func makeLog(on worker: Worker, counters: StatsScope) -> AccessLog {
        AccessLog(plan: self, worker: worker, counters: counters)
    }
}

/// Writes the lines of one log on one worker, each straight into the ring that the log's reader empties. It takes no
/// lock and allocates nothing; a line that finds no room is dropped and counted.
package final class AccessLog {
    private let target: AccessLogTarget
    private let ring: ByteRing
    private let counters: StatsScope
    private let writer: CommandWriter
    private let filter: AccessLogFilter
    private var random: SplitMix64
    private var doorbellSeen: UInt64 = 0
    private var hasRung = false
    let needsAddresses: Bool

    init(plan: AccessLogPlan, worker: Worker, counters: StatsScope) {
        target = plan.target
        ring = plan.target.rings[worker.index]
        self.counters = counters
        writer = CommandWriter(plan.format)
        filter = plan.filter
        needsAddresses = plan.format.needsAddresses
        var system = SystemRandomNumberGenerator()
        random = SplitMix64(seed: system.next())
        target.users.add(1, ordering: .relaxed)
        counters.add(to: AccessLogStat.active)
    }

    deinit {
        counters.subtract(from: AccessLogStat.active)
        // Whoever sees that nobody writes any more sees all that was written.
        target.users.subtract(1, ordering: .releasing)
    }

    func write(_ context: CommandContext) {
        guard filter.admits(context, random: &random) else { return }
        var place = ring.nextPlace()
        var count = format(context, at: place)
        if count > place.room {
            guard count <= AccessLogTarget.lineBytesMax else { return counters.add(to: AccessLogStat.droppedTooLong) }
            guard let other = ring.otherPlace(than: place, for: count) else {
                return counters.add(to: AccessLogStat.droppedFull)
            }
            place = other
            count = format(context, at: place)
        }
        counters.add(to: AccessLogStat.lines)
        wakeReader(ring.publish(count, at: place))
    }

    /// Writes the line as far as there is room, and answers its length.
    private func format(_ context: CommandContext, at place: ByteRing.Place) -> Int {
        var out = unsafe ByteWriter(start: place.memory, capacity: place.room)
        writer.write(context, to: &out)
        return out.count
    }

    private func wakeReader(_ pending: Int) {
        target.doorbell.ringIfAsleep(&doorbellSeen)
        if pending < AccessLogTarget.wakeBytes {
            hasRung = false
        } else if !hasRung {
            // Once; it is awake then, and what comes meanwhile it finds by itself.
            hasRung = true
            target.doorbell.ring()
        }
    }
}

/// The logs of an `http:` listener on one worker.
package final class HTTPAccessLogs {
    private let logs: [AccessLog]
    private let responseFields: NotedFields
    private let trailerFields: NotedFields
    /// The addresses of a connection are to be known before its client may be gone.
    let needsAddresses: Bool

    /// - Parameter counters: of each plan's target, on this worker
    package init(_ plans: [AccessLogPlan], on worker: Worker, counters: [StatsScope]) {
        logs = zip(plans, counters).map { $0.makeLog(on: worker, counters: $1) }
        responseFields = plans.reduce(into: NotedFields()) { $0.formUnion($1.format.responseFields) }
        trailerFields = plans.reduce(into: NotedFields()) { $0.formUnion($1.format.trailerFields) }
        needsAddresses = logs.contains { $0.needsAddresses }
    }

    /// The final head is on its way to the client.
    func responseHead(_ stream: HTTPStream, _ headers: borrowing HeaderTable) {
        if !responseFields.isEmpty { stream.note(.response, responseFields, of: headers) }
    }

    func responseTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        if !trailerFields.isEmpty { stream.note(.trailer, trailerFields, of: fields) }
    }

    /// The exchange is over.
    func write(_ stream: HTTPStream) {
        let context = CommandContext(stream)
        for log in logs { log.write(context) }
    }

    /// A connection whose handshake failed is over: it had no exchange.
    func write(_ connection: Connection, acceptedNs: UInt64, _ addresses: ConnectionAddresses?, _ reason: CloseReason) {
        let context = CommandContext(
            connection: connection, startedNs: acceptedNs, flag: reason.downstreamFlag, cluster: nil, endpoint: nil,
            attempts: 0, addresses: addresses, reason: reason)
        for log in logs { log.write(context) }
    }
}

extension HTTPStream {
    /// Takes down the values of fields whose head will be gone when they are asked for.
    func note(_ kind: StreamNotes.Kind, _ fields: NotedFields, of headers: borrowing HeaderTable) {
        for name in fields.known {
            if let value = headers[name] { takeNotes().set(kind, .known(name), value) }
        }
        for name in fields.other {
            guard let value = headers[name.key] else { continue }
            ByteSlice.withBytes(of: name.bytes) { takeNotes().set(kind, .other($0), value) }
        }
    }
}
