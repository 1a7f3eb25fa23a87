import Engine
import Filters
import HTTP

/// A filter whose hooks a test writes, and that notes what it saw.
final class ScriptedHTTPFilter: HTTPFilter {
    private let wanted: Interests
    /// Bytes of bodies, in capitals their ends: `req`, `RES`.
    private(set) var log: [String] = []

    var requestHeaders: (HTTPStream) -> Status = { _ in .proceed }
    var requestBody: (HTTPStream, inout Lease) -> BodyStatus = { _, _ in .proceed }
    var requestTrailers: (HTTPStream, inout HeaderTable) -> Void = { _, _ in }
    var requestEnd: (HTTPStream) -> BodyStatus = { _ in .proceed }
    var responseHeaders: (HTTPStream, inout ResponseHead) -> Status = { _, _ in .proceed }
    var responseBody: (HTTPStream, inout Lease) -> BodyStatus = { _, _ in .proceed }
    var responseEnd: (HTTPStream) -> BodyStatus = { _ in .proceed }
    var timer: (HTTPStream) -> Void = { _ in }
    var subrequestEnd: (HTTPStream, HTTPSubrequest, HTTPSubrequest.Outcome) -> Void = { _, _, _ in }

    init(_ interests: Interests = []) {
        wanted = interests
        super.init()
    }

    override var interests: Interests { wanted }

    override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        log.append("request")
        return requestHeaders(stream)
    }

    override func onRequestBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus { requestBody(stream, &data) }

    override func onRequestTrailers(_ stream: HTTPStream, _ fields: inout HeaderTable) {
        log.append("request trailers")
        requestTrailers(stream, &fields)
    }

    override func onRequestEnd(_ stream: HTTPStream) -> BodyStatus {
        log.append("request end")
        return requestEnd(stream)
    }

    override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        log.append("response \(head.status.rawValue)")
        return responseHeaders(stream, &head)
    }

    override func onResponseBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        responseBody(stream, &data)
    }

    override func onResponseEnd(_ stream: HTTPStream) -> BodyStatus {
        log.append("response end")
        return responseEnd(stream)
    }

    override func onTimer(_ stream: HTTPStream) {
        log.append("timer")
        timer(stream)
    }

    override func onSubrequestEnd(
        _ stream: HTTPStream, _ subrequest: HTTPSubrequest, _ outcome: HTTPSubrequest.Outcome
    ) {
        log.append(outcome == .response ? "answer \(subrequest.response.status.rawValue)" : "failure")
        subrequestEnd(stream, subrequest, outcome)
    }

    override func onStreamEnd(_ stream: HTTPStream) { log.append("end") }
}

extension HTTPStream {
    /// Exchanges a piece of a body for what `change` makes of it.
    func change(_ data: inout Lease, _ change: (UInt8) -> UInt8) {
        let bytes = data.withBytes { span in unsafe span.withUnsafeBytes { unsafe $0.map(change) } }
        unsafe replace(&data, with: bytes.span.bytes)
    }
}
