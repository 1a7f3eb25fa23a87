import Config
import Engine
import Filters
import HTTP

/// `checksum` puts a checksum of the whole body into the response's head (`x-checksum`, CRC-32C).
///
/// The head has to wait for the end of the body: it is paused, the body held back, up to the `limits.buffer_bytes` of
/// the listener, and both go on together.
final class ChecksumFilter: HTTPFilter, ConfigurableHTTPFilter {
    struct Settings: Sendable {}

    static let name = "checksum"

    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        ConfigObject(config, kind: name, diagnostics: diagnostics)?.finish() == true ? Settings() : nil
    }

    private static let checksum = HeaderKey("x-checksum")

    init(settings: Settings, worker: Worker) { super.init() }

    override var interests: Interests { .responseBody }

    override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        // The word of the stream holds the checksum while the body comes.
        stream.filterState[index] = 0xFFFF_FFFF
        return head.bodyLength == .none || stream.request.method == .head ? .proceed : .pause
    }

    override func onResponseBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        var checksum = UInt32(truncatingIfNeeded: stream.filterState[index])
        data.withBytes { bytes in
            for offset in 0..<bytes.byteCount {
                checksum ^= UInt32(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))  // offset < byteCount
                for _ in 0..<8 { checksum = checksum >> 1 ^ (checksum & 1 == 1 ? 0x82F6_3B78 : 0) }
            }
        }
        stream.filterState[index] = UInt64(checksum)
        return .hold
    }

    override func onResponseEnd(_ stream: HTTPStream) -> BodyStatus {
        let checksum = ~UInt32(truncatingIfNeeded: stream.filterState[index])
        if let key = Self.checksum {
            ByteSlice.withBytes(of: String(checksum, radix: 16)) { text in
                stream.changePausedResponse { _ = $0.headers.set(key, text) }
            }
        }
        stream.resumeResponse()
        return .proceed
    }
}
