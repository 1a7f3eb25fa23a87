package import Config
package import HTTP

/// The virtual hosts and routes of a listener, compiled: finds the route for a request. Immutable; one serves all
/// workers.
///
/// Of the routes of a request's host the first in the order of the file answers whose conditions all hold. To find it,
/// only routes are looked at whose path fits: those with this very path come from a hash table, those with a prefix of
/// it from a trie. What each of the two yields is in the order of the file and ends at the best route so far.
package final class RouteTable: Sendable {
    /// The routes of one virtual host.
    private struct Host: Sendable {
        let exactPaths: RouteIndex
        let prefixes: PrefixTrie
    }

    /// Every cluster that a route forwards to, once. Routes have their position here.
    package let clusterNames: [String]
    /// Of all hosts, each host's in the order of the file.
    package let routes: [Route]
    package let configuration: [VirtualHostConfiguration]

    private let domains: DomainIndex
    private let hosts: RouteArray<Host>
    /// By route.
    private let conditions: RouteArray<RouteConditions>
    /// What the lists of `hosts` are pieces of.
    private let candidates: RouteArray<UInt32>
    private let memory: RouteMemory

    /// The configuration must be one without errors.
    package init(_ configuration: HTTPConfiguration) {
        let memory = RouteMemory()
        var clusters = ClusterNumbers()
        var routes: [Route] = []
        var candidates: [UInt32] = []
        var hosts: [Host] = []
        for host in configuration.hosts {
            var paths = PathLists()
            for route in host.routes {
                paths.add(UInt32(routes.count), route.match.path)
                routes.append(
                    Route(
                        route, index: routes.count,
                        idleTimeoutNs: configuration.streamIdleTimeout?.nanoseconds ?? 0, in: memory,
                        clusterIndex: { clusters.number(of: $0) }))
            }
            hosts.append(
                Host(
                    exactPaths: RouteIndex(paths.exact.append(to: &candidates, in: memory), in: memory),
                    prefixes: PrefixTrie(paths.prefixes.append(to: &candidates, in: memory), in: memory)))
        }
        self.clusterNames = clusters.names
        self.routes = routes
        self.configuration = configuration.hosts
        self.domains = DomainIndex(configuration.hosts.map(\.domains), in: memory)
        self.hosts = memory.store(hosts)
        self.conditions = memory.store(routes.map { RouteConditions($0.configuration.match, in: memory) })
        self.candidates = memory.store(candidates)
        self.memory = memory
    }

    /// The route for a request, nil when there is none. Neither allocates nor counts references but for the result.
    package func route(for head: borrowing RequestHead) -> Route? {
        routeIndex(for: head).map { routes[$0] }
    }

    /// Like `route(for:)`, as a position in `routes`.
    package func routeIndex(for head: borrowing RequestHead) -> Int? {
        guard let host = domains.host(for: head.authority) else { return nil }
        var best = UInt32.max
        forEachList(ofHost: host, for: head.path) { list in
            var position = Int(list.start)
            let end = position &+ Int(list.count)
            while position < end {
                let candidate = candidates[position]
                if candidate >= best { return }
                if conditions[Int(candidate)].firstMismatch(in: head) == nil {
                    best = candidate
                    return
                }
                position &+= 1
            }
        }
        return best == .max ? nil : Int(best)
    }

    /// Calls `body` with lists that together are the routes of a host whose path fits.
    @inline(__always)
    private func forEachList(ofHost host: Int, for path: ByteSlice, _ body: (RouteList) -> Void) {
        if let list = hosts[host].exactPaths.find(path) { body(list) }
        hosts[host].prefixes.forEachPrefix(of: path, body)
    }
}

/// Why a request takes its route; made by the code that routes.
package struct RouteExplanation: Sendable {
    /// Position in `RouteTable.configuration`; nil when no domain fits, not even one for any host.
    package let host: Int?
    /// nil when none fits.
    package let route: Route?
    /// Routes before it whose path fits too, and what else does not.
    package let rejected: [(route: Route, mismatch: RouteMismatch)]
}

extension RouteTable {
    /// Slow: for people.
    package func explain(_ head: borrowing RequestHead) -> RouteExplanation {
        guard let host = domains.host(for: head.authority) else {
            return RouteExplanation(host: nil, route: nil, rejected: [])
        }
        let route = route(for: head)
        var fitting: [UInt32] = []
        forEachList(ofHost: host, for: head.path) { list in
            fitting += (0..<Int(list.count)).map { candidates[Int(list.start) + $0] }
        }
        var rejected: [(Route, RouteMismatch)] = []
        for candidate in fitting.sorted() where candidate < route?.index ?? .max {
            guard let mismatch = conditions[Int(candidate)].firstMismatch(in: head) else { continue }
            rejected.append((routes[Int(candidate)], mismatch))
        }
        return RouteExplanation(host: host, route: route, rejected: rejected)
    }
}

/// Numbers names in the order in which they come.
private struct ClusterNumbers {
    private(set) var names: [String] = []
    private var numbers: [String: Int] = [:]

    mutating func number(of name: String) -> Int {
        if let number = numbers[name] { return number }
        numbers[name] = names.count
        names.append(name)
        return names.count - 1
    }
}

/// The routes of one host by what they want of the path.
private struct PathLists {
    struct Lists {
        private var lists: [String: [UInt32]] = [:]

        mutating func add(_ route: UInt32, _ path: String) { lists[path, default: []].append(route) }

        /// Moves the lists to the end of `candidates`.
        func append(to candidates: inout [UInt32], in memory: RouteMemory) -> [(RouteText, RouteList)] {
            lists.map { path, routes in
                let list = RouteList(start: UInt32(candidates.count), count: UInt32(routes.count))
                candidates += routes
                return (memory.store(path), list)
            }
        }
    }

    var exact = Lists()
    var prefixes = Lists()

    mutating func add(_ route: UInt32, _ path: PathMatch) {
        switch path {
        case .any: prefixes.add(route, "")
        case .exact(let path): exact.add(route, path)
        case .prefix(let prefix): prefixes.add(route, prefix)
        }
    }
}
