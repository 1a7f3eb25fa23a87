package import Engine
package import HTTP

/// The statuses that a cluster's responses are counted by one by one; the others count in their class alone. A list,
/// so that endpoints cannot make series.
package enum ResponseCode {
    package static let all: [UInt16] = [
        200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 429, 500, 501, 502,
        503, 504,
    ]
    static let count = 24

    /// The place of a status in `all`; nil for those that are not there.
    @inline(__always)
    static func place(of status: UInt16) -> Int? {
        switch status {
        case 200: 0
        case 201: 1
        case 202: 2
        case 204: 3
        case 206: 4
        case 301: 5
        case 302: 6
        case 303: 7
        case 304: 8
        case 307: 9
        case 308: 10
        case 400: 11
        case 401: 12
        case 403: 13
        case 404: 14
        case 405: 15
        case 408: 16
        case 409: 17
        case 429: 18
        case 500: 19
        case 501: 20
        case 502: 21
        case 503: 22
        case 504: 23
        default: nil
        }
    }
}

extension StatsScope {
    /// Counts a response of a cluster, by its class and by its status.
    package func countResponse(_ status: HTTPStatus) {
        let offset = min(max(status.codeClass, 1), 5) - 1
        add(to: StatCell(rawValue: ClusterStat.responses1xx.rawValue + offset))
        if let place = ResponseCode.place(of: status.rawValue) { add(to: ClusterStat.response(at: place)) }
    }
}
