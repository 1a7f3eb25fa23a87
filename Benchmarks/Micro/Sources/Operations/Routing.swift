internal import Config
internal import Filters
internal import HTTP

extension Operation {
    static var routing: [Operation] {
        [10, 1_000, 10_000].flatMap { count in
            [
                Operation("route-prefix-\(count)") { lookUp(prefixes: count) },
                Operation("route-exact-\(count)") { lookUp(paths: count) },
            ]
        }
    }

    private static func lookUp(prefixes count: Int) -> (Int) -> Void {
        lookUp((0..<count - 1).map { .prefix("/routes/\($0)/") }, path: "/routes/\(count / 2)/some/where")
    }

    private static func lookUp(paths count: Int) -> (Int) -> Void {
        lookUp((0..<count - 1).map { .exact("/pages/\($0).html") }, path: "/pages/\(count / 2).html")
    }

    private static func lookUp(_ paths: [PathMatch], path: String) -> (Int) -> Void {
        let table = RouteTable(HTTPConfiguration(forwarding: paths))
        let message = Array("GET \(path) HTTP/1.1\r\nHost: www.example.com\r\n\r\n".utf8)
        let regexes = table.regexes(ofWorker: 0)
        return { times in
            ByteSlice.withBytes(of: message) { message in
                let head = RequestHead.of(message)
                for _ in 0..<times { keep(table.routeIndex(for: head, regexes) ?? 0) }
            }
        }
    }
}

extension HTTPConfiguration {
    /// A route to cluster `c` for each of `paths`, and one for all others.
    init(forwarding paths: [PathMatch]) {
        let action = RouteAction.forward(ForwardConfiguration(cluster: ClusterReference("c")))
        let matches = paths.map { RouteMatch(path: $0) } + [.all]
        self.init(routes: matches.map { RouteConfiguration(match: $0, action: action) })
    }
}
