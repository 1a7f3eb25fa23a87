package import Config
package import HTTP

/// Answers by route with what the configuration says: the first route whose match fits.
package final class DirectResponder: HTTPResponder {
    private let routes: [(match: RouteMatch, response: LocalResponse)]

    package init(routes: [DirectResponseRoute]) {
        self.routes = routes.map { route in
            let headers = route.response.headers.map { (name: $0.name, value: $0.value) }
            let hasType = headers.contains { $0.name.lowercased() == "content-type" }
            let type =
                route.response.body.isEmpty || hasType
                ? [] : [(name: "Content-Type", value: "text/plain; charset=utf-8")]
            let response = LocalResponse(
                HTTPStatus(rawValue: UInt16(route.response.status)), headers: headers + type,
                body: Array(route.response.body.utf8))
            return (route.match, response)
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

    private static func matches(_ path: ByteSlice, _ match: RouteMatch) -> Bool {
        switch match {
        case .all: true
        case .path(let wanted): ByteSlice.withBytes(of: wanted) { path == $0 }
        case .pathPrefix(let prefix): ByteSlice.withBytes(of: prefix) { path.hasPrefix($0) }
        }
    }
}
