package import Config
package import HTTP

/// The virtual hosts and routes of a listener, compiled: finds the route for a request. Immutable; one serves all
/// workers.
///
/// Of the routes of a request's host the first in the order of the file answers whose conditions all hold. To find it,
/// only routes are looked at whose path fits: those with this very path come from a hash table, those with a prefix of
/// it from a trie, where patterns and templates stand with the text that they begin with. What each of the two yields is in the order of the file and ends at the best route so far.
@safe
package final class RouteTable: Sendable {
    /// The routes of one virtual host.
    private struct Host: Sendable {
        let exactPaths: RouteIndex<RouteList>
        let prefixes: PrefixTrie
    }

    /// Every cluster that a route forwards to, once; all there are if a route leaves the choice to a header. Routes
    /// have their position here.
    package let clusterNames: [String]
    /// Of all hosts, each host's in the order of the file.
    package let routes: [Route]
    package let configuration: [VirtualHostConfiguration]

    /// The same routes, for requests: all workers would count references to an array and to its elements.
    private let uncounted: RouteArray<Unmanaged<Route>>
    private let domains: DomainIndex
    private let hosts: RouteArray<Host>
    /// By name, for routes that leave the choice to a header.
    private let clusters: RouteIndex<Int>
    /// By route.
    private let conditions: RouteArray<RouteConditions>
    private let patterns: [RegexPattern]
    /// By worker.
    private let regexes: [RouteRegexes]
    /// What the lists of `hosts` are pieces of.
    private let candidates: RouteArray<UInt32>
    private let memory: RouteMemory

    /// The configuration must be one without errors.
    ///
    /// - Parameters:
    ///   - clusterNames: every cluster there is
    ///   - workers: how many threads will look routes up
    package init(_ configuration: HTTPConfiguration, clusterNames: [String] = [], workers: Int = 1) {
        let memory = RouteMemory()
        var clusters = ClusterNumbers()
        var regexes = RegexNumbers()
        var routes: [Route] = []
        var conditions: [RouteConditions] = []
        var candidates: [UInt32] = []
        var hosts: [Host] = []
        for host in configuration.hosts {
            var paths = PathLists()
            for route in host.routes {
                paths.add(UInt32(routes.count), route.match.path)
                conditions.append(RouteConditions(route.match, in: memory, regexes: &regexes))
                routes.append(
                    Route(
                        route, index: routes.count,
                        idleTimeoutNs: configuration.streamIdleTimeout?.nanoseconds ?? 0, in: memory,
                        regexes: &regexes, clusterIndex: { clusters.number(of: $0) }))
            }
            hosts.append(
                Host(
                    exactPaths: RouteIndex(paths.exact.append(to: &candidates, in: memory), in: memory),
                    prefixes: PrefixTrie(paths.prefixes.append(to: &candidates, in: memory), in: memory)))
        }
        var named: [(RouteText, Int)] = []
        if routes.contains(where: { if case .clusterHeader = $0.action { true } else { false } }) {
            named = clusterNames.map { (memory.store($0), clusters.number(of: $0)) }
        }
        self.clusterNames = clusters.names
        self.clusters = RouteIndex(named, in: memory)
        self.patterns = regexes.patterns
        self.regexes = (0..<max(workers, 1)).map { _ in RouteRegexes(regexes.patterns, compilesNow: true) }
        self.routes = routes
        unsafe self.uncounted = memory.store(routes.map { unsafe Unmanaged.passUnretained($0) })
        self.configuration = configuration.hosts
        self.domains = DomainIndex(configuration.hosts.map(\.domains), in: memory)
        self.hosts = memory.store(hosts)
        self.conditions = memory.store(conditions)
        self.candidates = memory.store(candidates)
        self.memory = memory
    }

    /// The route for a request, nil when there is none. Neither allocates nor counts references but for the result.
    ///
    /// - Parameter regexes: those of this thread
    package func route(for head: borrowing RequestHead, _ regexes: RouteRegexes) -> Route? {
        routeIndex(for: head, regexes).map { routes[$0] }
    }

    /// Runs `body` on one of `routes` without touching its reference count.
    @inline(__always)
    func withRoute(at index: Int, _ body: (Route) -> Void) { unsafe uncounted[index]._withUnsafeGuaranteedRef(body) }

    /// The regular expressions for one of the threads that look routes up.
    package func regexes(ofWorker worker: Int) -> RouteRegexes { regexes[worker] }

    /// The number of the cluster for one request; nil when it is answered here, or its header names no cluster.
    ///
    /// - Parameter random: even over its whole range
    package func clusterIndex(of route: Route, for head: borrowing RequestHead, random: UInt64) -> Int? {
        switch route.action {
        case .cluster(let index): return index
        case .weighted(let clusters): return clusters.pick(random)
        case .clusterHeader(let key):
            guard let index = head.headers.firstIndex(of: key), let field = head.headers.field(at: index) else {
                return nil
            }
            return clusters.find(field.value)
        case .redirect, .respond: return nil
        }
    }

    /// Like `route(for:)`, as a position in `routes`.
    package func routeIndex(for head: borrowing RequestHead, _ regexes: RouteRegexes) -> Int? {
        guard let host = domains.host(for: head.authority) else { return nil }
        var best = UInt32.max
        forEachList(ofHost: host, for: head.path) { list in
            var position = Int(list.start)
            let end = position &+ Int(list.count)
            while position < end {
                let candidate = candidates[position]
                if candidate >= best { return }
                if conditions[Int(candidate)].firstMismatch(in: head, regexes) == nil {
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
package struct RouteExplanation {
    /// Position in `RouteTable.configuration`; nil when no domain fits, not even one for any host.
    package let host: Int?
    /// nil when none fits.
    package let route: Route?
    /// Routes before it that the index of paths has brought up too, and what does not fit.
    package let rejected: [(route: Route, mismatch: RouteMismatch)]
    /// The expressions that were used.
    package let regexes: RouteRegexes
}

extension RouteTable {
    /// Slow: for people.
    package func explain(_ head: borrowing RequestHead) -> RouteExplanation {
        let regexes = RouteRegexes(patterns, compilesNow: false)
        guard let host = domains.host(for: head.authority) else {
            return RouteExplanation(host: nil, route: nil, rejected: [], regexes: regexes)
        }
        let route = route(for: head, regexes)
        var fitting: [UInt32] = []
        forEachList(ofHost: host, for: head.path) { list in
            fitting += (0..<Int(list.count)).map { candidates[Int(list.start) + $0] }
        }
        var rejected: [(Route, RouteMismatch)] = []
        for candidate in fitting.sorted() where candidate < route?.index ?? .max {
            guard let mismatch = conditions[Int(candidate)].firstMismatch(in: head, regexes) else { continue }
            rejected.append((routes[Int(candidate)], mismatch))
        }
        return RouteExplanation(host: host, route: route, rejected: rejected, regexes: regexes)
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
        case .template(let template): prefixes.add(route, template.literalPrefix)
        case .regex(let pattern): prefixes.add(route, pattern.literalPrefix)
        }
    }
}
