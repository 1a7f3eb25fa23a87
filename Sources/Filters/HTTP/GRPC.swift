internal import HTTP

/// gRPC over HTTP as far as a proxy takes part in it: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
enum GRPC {
    /// The number of status codes: `OK`, 0, to `UNAUTHENTICATED`, 16.
    static let statusCount = 17

    /// The name of a status, from 0 to 16, as Envoy spells it in logs.
    static func name(of status: Int) -> StaticString {
        precondition(status >= 0 && status < statusCount, "a status of gRPC")
        return names[status]
    }

    private static let names: [StaticString] = [
        "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
        "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
        "Internal",
        "Unavailable", "DataLoss", "Unauthenticated",
    ]

    static let internalError = 13
    static let deadlineExceeded = 4

    /// `application/grpc`, perhaps with a message format behind it. gRPC-Web is not among them.
    static func isRequest(_ head: borrowing RequestHead) -> Bool {
        head.headers[.contentType].map(isType) ?? false
    }

    static func isType(_ type: ByteSlice) -> Bool { GRPCWebType.matches(type, "application/grpc") }

    /// What `grpc-status` says, in trailers, or in a head that nothing follows; nil for what is no status.
    static func status(in table: borrowing HeaderTable) -> Int? {
        guard let value = table[.grpcStatus]?.decimal, value < statusCount else { return nil }
        return Int(value)
    }

    /// How long the client waits for all of the answer; nil without a deadline that can be read.
    static func timeoutNs(_ head: borrowing RequestHead) -> UInt64? {
        // One to eight digits and a unit.
        guard let value = head.headers[.grpcTimeout], (2...9).contains(value.count),
            let number = value[0..<value.count - 1].decimal
        else { return nil }
        switch value[value.count - 1] {
        case UInt8(ascii: "H"): return number * 3_600_000_000_000
        case UInt8(ascii: "M"): return number * 60_000_000_000
        case UInt8(ascii: "S"): return number * 1_000_000_000
        case UInt8(ascii: "m"): return number * 1_000_000
        case UInt8(ascii: "u"): return number * 1_000
        case UInt8(ascii: "n"): return number
        default: return nil
        }
    }

    /// What an answer of this proxy means to a client that knows gRPC only:
    /// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md, with one difference: our 504 is a
    /// deadline.
    static func status(for status: HTTPStatus) -> Int {
        switch status {
        case .badRequest: internalError
        case .unauthorized: 16
        case .forbidden: 7
        case .notFound: 12
        case .requestTimeout, .gatewayTimeout: deadlineExceeded
        case .tooManyRequests, .badGateway, .serviceUnavailable: 14
        default: 2
        }
    }

    /// Makes `head` an answer without a body ("Trailers-Only") that says `status` in gRPC's own words.
    static func makeTrailersOnly(_ head: inout ResponseHead, for status: HTTPStatus, message: ByteSlice) {
        head.status = .ok
        head.setBodyLength(.none)
        head.headers.set(.contentType, ByteSlice("application/grpc"))
        setStatus(of: status, in: &head.headers, message: message)
    }

    /// Says what `status` means in gRPC's own words.
    static func setStatus(of status: HTTPStatus, in headers: inout HeaderTable, message: ByteSlice) {
        let code = Self.status(for: status)
        ByteSlice.withBytes(of: String(code)) { _ = headers.set(.grpcStatus, $0) }
        let text = encoded(message)
        if !text.isEmpty { ByteSlice.withBytes(of: text) { _ = headers.set(.grpcMessage, $0) } }
    }

    /// Percent-encoded, as `grpc-message` wants what is not printable; the first 1,000 bytes, without a line end.
    private static func encoded(_ message: ByteSlice) -> [UInt8] {
        var text: [UInt8] = []
        for index in 0..<min(message.count, 1_000) {
            let byte = message[index]
            if byte == UInt8(ascii: "\n"), index == message.count - 1 { break }
            if (0x20...0x7E).contains(byte), byte != UInt8(ascii: "%") {
                text.append(byte)
            } else {
                let digits = Array("0123456789ABCDEF".utf8)
                text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return text
    }
}
