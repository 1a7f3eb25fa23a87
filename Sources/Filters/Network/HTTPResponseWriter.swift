internal import Glibc
internal import HTTP

/// Serialises what the proxy says itself.
enum HTTPResponseWriter {
    /// Room for the status line and the fields that are always there.
    private static let fixedBytes = 256

    static func headSize(of response: LocalResponse) -> Int {
        response.headers.reduce(fixedBytes) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    /// - Parameter bodyLength: nil for a body of unknown length
    static func writeHead(
        _ response: LocalResponse, to writer: inout ByteWriter, bodyLength: Int?, isChunked: Bool,
        connection: HTTP1ConnectionField
    ) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(response.status.rawValue))
        writer.append(" ")
        writer.append(response.status.reasonPhrase)
        writer.append("\r\nServer: ringway\r\nDate: ")
        HTTPDate.write(epochSeconds: Int64(time(nil)), to: &writer)
        writer.append("\r\n")
        for field in response.headers {
            ByteSlice.withBytes(of: field.name) { writer.append($0) }
            writer.append(": ")
            ByteSlice.withBytes(of: field.value) { writer.append($0) }
            writer.append("\r\n")
        }
        switch connection {
        case .close: writer.append("Connection: close\r\n")
        case .keepAlive: writer.append("Connection: keep-alive\r\n")
        case .none, .upgrade: break
        }
        if isChunked {
            writer.append("Transfer-Encoding: chunked\r\n")
        } else if let bodyLength, !response.status.neverHasBody {
            writer.append("Content-Length: ")
            writer.append(decimal: UInt64(bodyLength))
            writer.append("\r\n")
        }
        writer.append("\r\n")
    }
}
