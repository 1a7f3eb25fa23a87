import Config
import Engine
import Filters
import HTTP

/// `stamp: { text: "…" }` writes a line under every text that passes, and says so in a header.
///
/// The body passes as it comes; only its end is held up for the line.
final class StampFilter: HTTPFilter, ConfigurableHTTPFilter {
    struct Settings: Sendable {
        let line: [UInt8]
    }

    static let name = "stamp"
    static var events: [String] { ["stamped"] }

    private enum Event: Int { case stamped }

    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let text = object.required("text", .headerValue)
        guard object.finish(), let text else { return nil }
        return Settings(line: Array("\(text)\n".utf8))
    }

    private static let stamped = HeaderKey("x-stamped")

    private let settings: Settings

    init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    override var interests: Interests { .responseBody }

    override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        // Compressed text is not text.
        guard head.bodyLength != .none, stream.request.method != .head, !head.headers.contains(.contentEncoding),
            let type = head.headers[.contentType], type.hasPrefix(ByteSlice("text/")), let key = Self.stamped
        else { return .proceed }
        stream.filterState[index] = 1
        head.headers.set(key, ByteSlice("yes"))
        head.forgetBodyLength()
        return .proceed
    }

    override func onResponseEnd(_ stream: HTTPStream) -> BodyStatus {
        guard stream.filterState[index] == 1 else { return .proceed }
        count(Event.stamped)
        let line = settings.line
        stream.appendToResponseBody(line.span.bytes, by: self)
        return .proceed
    }
}
