internal import Config
internal import Filters

/// Which of the requests that the workers remember are asked for: `/requests?status=5xx&min_duration=250ms`, or the same
/// as one parameter, `filter=status=5xx,min_duration=250ms`.
struct RequestFilter {
    var statuses: ClosedRange<Int>?
    var flag: ResponseFlag?
    var listener: String?
    var route: String?
    var cluster: String?
    var minDurationNs: UInt64 = 0
    /// The request's id or its trace's.
    var id: String?
    /// Of the path.
    var pathPrefix: String?
    var count = 100

    private static let countMax = 100_000

    struct Invalid: Error {
        let message: String
    }

    init(_ parameters: [(name: String, value: String)]) throws(Invalid) {
        for parameter in parameters {
            guard parameter.name == "filter" else {
                try set(parameter.name, parameter.value)
                continue
            }
            for part in parameter.value.split(separator: ",") {
                let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard pair.count == 2, pair[0] != "format" else {
                    throw Invalid(message: "filter= is a list like status=5xx,min_duration=250ms, not \"\(part)\"")
                }
                try set(String(pair[0]), String(pair[1]))
            }
        }
    }

    private mutating func set(_ name: String, _ value: String) throws(Invalid) {
        switch name {
        case "status":
            guard let range = Self.statuses(value) else {
                throw Invalid(message: "status= is a status, a class or a range: 503, 5xx or 500-504")
            }
            statuses = range
        case "flag":
            guard let known = ResponseFlag.allCases.first(where: { $0.label.description == value }) else {
                let labels = ResponseFlag.allCases.map(\.label.description).joined(separator: ", ")
                throw Invalid(message: "flag= is one of \(labels)")
            }
            flag = known
        case "listener": listener = value
        case "route": route = value
        case "cluster": cluster = value
        case "id": id = value
        case "path": pathPrefix = value
        case "min_duration":
            do throws(ConfigProblem) {
                minDurationNs = try TimeSpan(parsing: value).nanoseconds
            } catch {
                throw Invalid(message: "min_duration= is a duration such as 250ms")
            }
        case "limit":
            guard let number = Int(value), (1...Self.countMax).contains(number) else {
                throw Invalid(message: "limit= is a number from 1 to \(Self.countMax)")
            }
            count = number
        case "format":
            guard ["text", "json"].contains(value) else { throw Invalid(message: "format= is text or json") }
        default:
            throw Invalid(
                message: "unknown parameter \"\(name)\"; there are status, flag, listener, route, cluster, id, path, "
                    + "min_duration, limit, format and filter")
        }
    }

    private static func statuses(_ text: String) -> ClosedRange<Int>? {
        if text.count == 3, text.hasSuffix("xx"), let digit = text.first?.wholeNumberValue, (1...5).contains(digit) {
            return digit * 100...digit * 100 + 99
        }
        let bounds = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2,
            100 <= first, first <= last, last <= 999
        else { return nil }
        return first...last
    }

    /// Looked at first: what needs no names.
    func admits(_ record: RequestRecord) -> Bool {
        let facts = record.facts
        if let statuses, !statuses.contains(Int(facts.status)) { return false }
        if record.durationNs < minDurationNs { return false }
        if let flag, facts.flag != flag { return false }
        if let id, !record.hasID(id), record.trace != id { return false }
        if let pathPrefix, !record.hasPath(prefix: pathPrefix) { return false }
        return true
    }

    func admits(_ request: RecentRequest) -> Bool {
        if let listener, request.listener != listener { return false }
        if let route, request.route != route { return false }
        if let cluster, request.cluster != cluster { return false }
        return true
    }
}
