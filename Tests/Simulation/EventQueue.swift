/// What is going to happen in a simulation, by virtual time; events of one instant in the order of their making.
struct EventQueue {
    enum Event {
        /// Bytes arrive that this endpoint sent.
        case delivery(SimulatedEndpoint)
        /// A reset arrives at this endpoint.
        case reset(SimulatedEndpoint)
        /// The kernel of this endpoint gives up on a peer that has vanished.
        case givingUp(SimulatedEndpoint)
        case peerTurn(SimulatedPeer)
        case cancellation(SimulatedOperation)
        case connectOutcome(SimulatedOperation)
        case call(() -> Void)
    }

    private struct Entry {
        var timeNs: UInt64
        var order: UInt64
        var event: Event

        func isBefore(_ other: Entry) -> Bool {
            timeNs != other.timeNs ? timeNs < other.timeNs : order < other.order
        }
    }

    /// A binary heap.
    private var entries: [Entry] = []
    private var nextOrder: UInt64 = 0

    var nextTimeNs: UInt64? { entries.first?.timeNs }

    mutating func add(_ event: Event, atNs timeNs: UInt64) {
        nextOrder += 1
        entries.append(Entry(timeNs: timeNs, order: nextOrder, event: event))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].isBefore(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func popFirst() -> Event? {
        guard let first = entries.first else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return first.event }
        entries[0] = last
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].isBefore(entries[child]) { child += 1 }
            guard entries[child].isBefore(entries[parent]) else { break }
            entries.swapAt(child, parent)
            parent = child
        }
        return first.event
    }
}
