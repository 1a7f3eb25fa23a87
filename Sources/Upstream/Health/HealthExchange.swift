internal import Engine
internal import HTTP

/// What is asked over HTTP.
enum HTTPHealthQuestion {
    case http(HTTPHealthCheck)
    case grpc(GRPCHealthCheck)

    var needsHTTP2: Bool { if case .grpc = self { true } else { false } }

    var reusesConnection: Bool { if case .http(let check) = self { check.reusesConnection } else { true } }
}

/// Questions and answers on one connection to an endpoint, in one version of HTTP. One at a time.
class HealthExchange {
    enum Outcome: Equatable {
        case incomplete
        /// `isReusable`: the connection may carry the next question.
        case answered(HealthCheckResult, isReusable: Bool)
        case malformed
        /// The endpoint did not take the question, and takes no other one here.
        case lost
    }

    /// Something of the answer has come.
    var hasBegun: Bool { false }

    func ask(on connection: Connection) {}

    /// - Parameter isAsked: an answer is waited for
    func receive(_ data: borrowing Lease, on connection: Connection, isAsked: Bool) -> Outcome { .malformed }

    /// The endpoint has closed, and `hasBegun`.
    func end() -> Outcome { .malformed }
}

final class HTTP1HealthExchange: HealthExchange {
    private let check: HTTPHealthCheck
    private var reader: HTTPCheckReader

    init(_ check: HTTPHealthCheck) {
        self.check = check
        reader = HTTPCheckReader(isHead: check.isHead)
        super.init()
    }

    override var hasBegun: Bool { reader.hasBegun }

    override func ask(on connection: Connection) {
        reader.reset()
        unsafe check.request.withUnsafeBytes { unsafe connection.write(copying: $0.bytes) }
    }

    override func receive(_ data: borrowing Lease, on connection: Connection, isAsked: Bool) -> Outcome {
        // Without a question, what this endpoint says next cannot be told from an answer.
        guard isAsked else { return .malformed }
        return outcome(of: data.withBytes { span in ByteSlice.withBytes(of: span) { reader.read($0) } })
    }

    override func end() -> Outcome { outcome(of: reader.end()) }

    private func outcome(of outcome: HTTPCheckReader.Outcome) -> Outcome {
        switch outcome {
        case .incomplete: .incomplete
        case .malformed: .malformed
        case .answered(let status, let isReusable): .answered(check.result(of: status), isReusable: isReusable)
        }
    }
}
