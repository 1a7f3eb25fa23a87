internal import Engine
internal import Upstream

/// What is counted for each route of an `http:` listener.
package enum RouteStat: Int, Sendable {
    /// CPU time of the workers, in nanoseconds: see `CostMeter`.
    case cpuNs = 0
    /// Requests in progress, where the registry looks whether somebody still counts.
    case active = 1
    case requests = 2

    package static let cellCount = 3
}

extension HTTPStream {
    /// The route is known: from here on the request counts for it.
    @inline(__always)
    func count(for cell: UInt32) {
        route.routeCell = cell
        costCell = cell
        connection?.charge(to: cell)
        guard cell != 0 else { return }
        worker.charge(cell)
        worker.count(inCell: cell + UInt32(RouteStat.active.rawValue))
        worker.count(inCell: cell + UInt32(RouteStat.requests.rawValue))
    }

    @inline(__always)
    func endCount() {
        let cell = route.routeCell
        if cell != 0 { worker.count(0 &- 1, inCell: cell + UInt32(RouteStat.active.rawValue)) }
    }
}
