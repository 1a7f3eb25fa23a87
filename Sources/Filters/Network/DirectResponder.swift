package import Config
package import HTTP

/// Answers by route with what the configuration says: the first route whose path fits.
package final class DirectResponder: HTTPResponder {
    private let routes: [(match: PathMatch, response: LocalResponse)]

    package init(routes: [RouteConfiguration]) {
        self.routes = routes.compactMap { route in
            guard case .respond(let answer) = route.action else { return nil }
            let headers = answer.headers.map { (name: $0.name, value: $0.value) }
            let hasType = headers.contains { $0.name.lowercased() == "content-type" }
            let type = answer.body.isEmpty || hasType ? [] : [(name: "Content-Type", value: "text/plain; charset=utf-8")]
            let response = LocalResponse(
                HTTPStatus(rawValue: UInt16(answer.status)), headers: headers + type, body: Array(answer.body.utf8))
            return (route.match.path, response)
        }
    }

    package func respond(to head: borrowing RequestHead, body: [UInt8], _ exchange: HTTPExchange) {
        let path = head.path
        for route in routes where Self.matches(path, route.match) {
            exchange.respond(route.response)
            return
        }
        exchange.respond(LocalResponse(.notFound, text: "no route matches\n"))
    }

    private static func matches(_ path: ByteSlice, _ match: PathMatch) -> Bool {
        switch match {
        case .any: true
        case .exact(let wanted): ByteSlice.withBytes(of: wanted) { path == $0 }
        case .prefix(let prefix): ByteSlice.withBytes(of: prefix) { path.hasPrefix($0) }
        }
    }
}
