package import Config
internal import HTTP

/// A check with the gRPC health checking protocol, written out, and what its answers mean:
/// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
package struct GRPCHealthCheck: Sendable {
    /// The request's message in its frame.
    let body: [UInt8]
    private let authority: String
    private let headers: [HeaderConfiguration]

    /// `grpc.health.v1.HealthCheckResponse.ServingStatus`
    private static let serving: UInt64 = 1

    /// - Parameter cluster: the authority where the configuration names none
    package init(_ configuration: GRPCHealthCheckConfiguration, cluster: String) {
        let service = Array(configuration.service.utf8)
        var message: [UInt8] = []
        if !service.isEmpty {
            // Field 1, a string.
            message.append(0x0A)
            Self.append(varint: UInt64(service.count), to: &message)
            message += service
        }
        let length = UInt32(message.count)
        body = [0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + message
        authority = configuration.host ?? cluster
        headers = configuration.headers
    }

    func makeHead() -> RequestHead {
        var head = RequestHead(headersMax: 16 + headers.count)
        head.setMethod(ByteSlice("POST"))
        head.setPath(ByteSlice("/grpc.health.v1.Health/Check"))
        ByteSlice.withBytes(of: authority) { _ = head.setAuthority($0) }
        head.acceptsTrailers = true
        head.setBodyLength(.unknown)
        head.headers.add(.contentType, ByteSlice("application/grpc"))
        head.addHealthCheckFields(headers)
        return head
    }

    /// - Parameters:
    ///   - grpcStatus: nil when there was none, or it was no number
    ///   - body: all of it
    package func result(of status: UInt16, grpcStatus: UInt64?, body: [UInt8]) -> HealthCheckResult {
        guard status == 200 else { return .failed(.status(status, isRetriable: false)) }
        guard let grpcStatus else { return .failed(.invalidAnswer) }
        guard grpcStatus == 0 else { return .failed(.grpcStatus(grpcStatus)) }
        guard let answer = Self.servingStatus(inBody: body) else { return .failed(.invalidAnswer) }
        return answer == Self.serving ? .passed : .failed(.notServing(answer))
    }

    /// What the only message of a body says; nil when it is none, or compressed, which nobody offered.
    static func servingStatus(inBody body: [UInt8]) -> UInt64? {
        guard body.count >= 5, body[0] == 0 else { return nil }
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard length == body.count - 5 else { return nil }
        var fields = body[5...]
        // What is not there has the default: UNKNOWN.
        var status: UInt64 = 0
        while !fields.isEmpty {
            guard let key = takeVarint(&fields) else { return nil }
            switch key & 7 {
            case 0:
                guard let value = takeVarint(&fields) else { return nil }
                if key >> 3 == 1 { status = value }
            case 1: guard drop(8, &fields) else { return nil }
            case 2: guard let count = takeVarint(&fields), drop(count, &fields) else { return nil }
            case 5: guard drop(4, &fields) else { return nil }
            default: return nil
            }
        }
        return status
    }

    private static func drop(_ count: UInt64, _ bytes: inout ArraySlice<UInt8>) -> Bool {
        guard count <= UInt64(bytes.count) else { return false }
        bytes = bytes.dropFirst(Int(count))
        return true
    }

    private static func takeVarint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 64, by: 7) {
            guard let byte = bytes.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    private static func append(varint value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

extension RequestHead {
    /// The fields of the configuration, and who asks.
    mutating func addHealthCheckFields(_ fields: [HeaderConfiguration]) {
        for field in fields {
            guard let key = HeaderKey(field.name) else { continue }
            ByteSlice.withBytes(of: field.value) { _ = headers.add(key, $0) }
        }
        if headers[.userAgent] == nil { headers.add(.userAgent, ByteSlice("Ringway/HC")) }
    }
}
