internal import Config
internal import Engine
internal import Filters

/// What routes are called in metrics, and where they count.
extension SnapshotCompiler {
    static func owner(ofRoute route: String, in listener: String) -> StatsRegistry.Owner {
        .init(.route, "\(listener)\u{0}\(route)")
    }

    /// The cells of each route, by its number in the route table; nil after an error.
    /// Routes of the same name in several chains of a listener count together.
    func routeStats(
        of http: HTTPConfiguration, in listener: ListenerConfiguration, _ diagnostics: Diagnostics
    ) -> [RouteCells]? {
        do throws(StatsRegistry.Full) {
            var cells: [RouteCells] = []
            for label in http.routeLabels {
                let range = try registry.range(
                    for: Self.owner(ofRoute: label, in: listener.name), count: RouteStat.cellCount)
                cells.append(RouteCells(label: label, stats: range))
            }
            return cells
        } catch {
            reportFull(listener.origin, diagnostics)
            return nil
        }
    }
}

/// Where a route counts, under which name.
struct RouteCells: Sendable {
    let label: String
    let stats: StatsRegistry.Range
}

extension HTTPConfiguration {
    /// A name for each route, in the order of the route table: its own, or the host and the path that it matches. Those
    /// that come out the same are numbered.
    var routeLabels: [String] {
        var used: [String: Int] = [:]
        return hosts.flatMap { host in
            host.routes.map { route in
                var label = route.name ?? route.match.path.label
                if route.name == nil, let domain = host.domains.first, domain != .any { label = "\(domain) \(label)" }
                let count = (used[label] ?? 0) + 1
                used[label] = count
                return count == 1 ? label : "\(label) #\(count)"
            }
        }
    }
}

extension PathMatch {
    fileprivate var label: String {
        switch self {
        case .any: "*"
        case .exact(let path): path
        case .prefix(let prefix): prefix + "*"
        case .regex(let pattern): "~\(pattern.text)"
        case .template(let template): template.text
        }
    }
}
