/// Which requests a route is for: those for which everything here holds.
package struct RouteMatch: Sendable, Equatable {
    package var path: PathMatch
    /// Case-sensitive (RFC 9110 §9.1); empty for all.
    package var methods: [String]
    /// Names without case. Several fields of one name count as one, joined by commas.
    package var headers: [FieldMatch]
    /// Names and values as they stand in the query, percent escapes and all; of several parameters the first.
    package var query: [FieldMatch]
    /// Of several cookies of one name the first; quotes around a value do not count.
    package var cookies: [FieldMatch]

    package init(
        path: PathMatch = .any,
        methods: [String] = [],
        headers: [FieldMatch] = [],
        query: [FieldMatch] = [],
        cookies: [FieldMatch] = []
    ) {
        self.path = path
        self.methods = methods
        self.headers = headers
        self.query = query
        self.cookies = cookies
    }

    /// Every request: `match: {}`.
    package static let all = RouteMatch()
}

package enum PathMatch: Sendable, Equatable {
    case any
    /// The whole path, without its query.
    case exact(String)
    /// The first bytes of the path: `/v1` fits `/v1x` too.
    case prefix(String)
    /// The pattern matches the whole path, without its query.
    case regex(RegexPattern)
    case template(PathTemplate)
}

/// One header field, query parameter or cookie.
package struct FieldMatch: Sendable, Equatable {
    package var name: String
    package var condition: ValueCondition
    /// The condition must not hold. A condition on the value still wants a value to be there.
    package var isInverted: Bool

    package init(name: String, condition: ValueCondition, isInverted: Bool = false) {
        self.name = name
        self.condition = condition
        self.isInverted = isInverted
    }
}

package enum ValueCondition: Sendable, Equatable {
    /// There is one, whatever it is.
    case present
    case exact(String)
    case prefix(String)
    case suffix(String)
    case contains(String)
    /// The pattern matches the whole value.
    case regex(RegexPattern)
}
