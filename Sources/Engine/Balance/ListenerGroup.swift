internal import Synchronization

/// The ends that one listener has on the workers, so that each knows which of the others take connections of it.
///
/// Every worker writes its own word only.
@safe
package final class ListenerGroup: @unchecked Sendable {
    private enum End: UInt8 {
        case notThere, accepting, closed
    }

    /// Unique in the process.
    package let id: UInt32
    private let count: Int
    private let ends: UnsafeMutablePointer<Atomic<UInt8>>
    private static let nextID = Atomic<UInt32>(0)

    package init(workers: Int) {
        id = Self.nextID.add(1, ordering: .relaxed).newValue
        count = workers
        unsafe ends = .allocate(capacity: workers)
        for worker in 0..<workers { unsafe (ends + worker).initialize(to: Atomic(End.notThere.rawValue)) }
    }

    deinit {
        unsafe ends.deinitialize(count: count)
        unsafe ends.deallocate()
    }

    package func opened(on worker: Int) { set(.accepting, worker) }

    /// The worker has nothing more to hand over: what it did before is seen by whoever sees this.
    package func closed(on worker: Int) { set(.closed, worker) }

    package func isAccepting(on worker: Int) -> Bool { end(of: worker) == End.accepting.rawValue }

    /// No worker hands over a connection of this listener any more.
    package var isOver: Bool { (0..<count).allSatisfy { end(of: $0) == End.closed.rawValue } }

    private func set(_ end: End, _ worker: Int) {
        precondition(worker >= 0 && worker < count, "a worker of the process")
        unsafe ends[worker].store(end.rawValue, ordering: .releasing)
    }

    private func end(of worker: Int) -> UInt8 {
        precondition(worker >= 0 && worker < count, "a worker of the process")
        return unsafe ends[worker].load(ordering: .acquiring)
    }
}
