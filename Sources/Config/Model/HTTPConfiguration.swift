/// Speaks HTTP with the peers of a listener and answers by route.
package struct HTTPConfiguration: Sendable, Equatable {
    /// Without a request in progress; nil for no limit.
    package var idleTimeout: TimeSpan?
    /// From the first byte of a request to the end of its header section; nil for no limit.
    package var requestTimeout: TimeSpan?
    package var limits: HTTPLimits
    /// The first that matches answers.
    package var routes: [DirectResponseRoute]

    package static let defaultIdleTimeout: TimeSpan? = .seconds(60)
    package static let defaultRequestTimeout: TimeSpan? = .seconds(15)

    package init(
        idleTimeout: TimeSpan? = HTTPConfiguration.defaultIdleTimeout,
        requestTimeout: TimeSpan? = HTTPConfiguration.defaultRequestTimeout,
        limits: HTTPLimits = HTTPLimits(),
        routes: [DirectResponseRoute]
    ) {
        self.idleTimeout = idleTimeout
        self.requestTimeout = requestTimeout
        self.limits = limits
        self.routes = routes
    }
}

/// What a request's header section may measure.
package struct HTTPLimits: Sendable, Equatable {
    /// Request line and all field lines together.
    package var headerBytes: ByteSize
    package var headers: Int

    package static let defaultHeaderBytes = ByteSize.kibibytes(64)
    package static let defaultHeaders = 100

    package init(
        headerBytes: ByteSize = HTTPLimits.defaultHeaderBytes, headers: Int = HTTPLimits.defaultHeaders
    ) {
        self.headerBytes = headerBytes
        self.headers = headers
    }
}

/// A route whose answer the configuration holds.
package struct DirectResponseRoute: Sendable, Equatable {
    package var match: RouteMatch
    package var response: DirectResponse
    package var origin: ConfigOrigin

    package init(match: RouteMatch, response: DirectResponse, origin: ConfigOrigin = ConfigOrigin()) {
        self.match = match
        self.response = response
        self.origin = origin
    }
}

package enum RouteMatch: Sendable, Equatable {
    case all
    /// The whole path, without its query.
    case path(String)
    case pathPrefix(String)
}

package struct DirectResponse: Sendable, Equatable {
    package var status: Int
    package var body: String
    /// In the order of the file; names and values are valid field names and values (RFC 9110 §5.1, §5.5).
    package var headers: [ResponseHeader]

    package init(status: Int, body: String = "", headers: [ResponseHeader] = []) {
        self.status = status
        self.body = body
        self.headers = headers
    }
}

package struct ResponseHeader: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
