internal import Synchronization

/// A bound on connections that holds for all workers together, though each counts only its own.
///
/// A worker writes down that it wants a place before it reads what the others have and want. Two that do so in the
/// same moment see each other, so the bound is never exceeded; for the last place both may be turned away.
package struct ConnectionLimit: Sendable {
    package var max: UInt64
    /// The scope of the listener or cluster in each worker's stats.
    package var scopes: [StatsScope]

    package init(max: UInt64, scopes: [StatsScope]) {
        self.max = max
        self.scopes = scopes
    }

    /// Takes a place, if there is one, until the connection counts as active (`endClaim`).
    ///
    /// - Parameter own: this worker's scope
    package func claim(for own: StatsScope) -> Bool {
        own.add(to: ConnectionStat.claimed)
        // Orders the store above before the loads below, on this worker and on all that do the same.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        // A place goes from claimed to active, so in this order it is seen at least once.
        let claimed = sum(.claimed)
        atomicMemoryFence(ordering: .acquiring)
        if claimed &+ sum(.active) <= max { return true }
        endClaim(of: own)
        return false
    }

    /// The connection is open and counted, or did not come about.
    package func endClaim(of own: StatsScope) {
        atomicMemoryFence(ordering: .releasing)
        own.subtract(from: ConnectionStat.claimed)
    }

    /// Somebody could take a place. Nobody has it yet.
    var hasRoom: Bool { sum(.claimed) &+ sum(.active) < max }

    /// Low enough to accept again after a pause.
    var isRelaxed: Bool { sum(.active) <= max - Swift.max(1, max / 20) }

    private func sum(_ stat: ConnectionStat) -> UInt64 {
        var sum: UInt64 = 0
        for scope in scopes { sum &+= scope.read(stat) }
        return sum
    }
}
