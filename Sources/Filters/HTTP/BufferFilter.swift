public import Config
public import Engine
public import HTTP

/// `buffer`: a request goes on when all of it has arrived, so that a slow client holds no connection to an endpoint.
///
/// What arrives is kept up to `max_request_bytes`, and never beyond the listener's `limits.buffer_bytes`; larger
/// requests are answered with 413. A body of unknown length goes on with its length, unless trailers follow it.
public final class BufferFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let bytesMax: UInt64
    }

    public static let name = "buffer"
    public static var events: [String] { ["too_large"] }

    private enum Event: Int { case tooLarge }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let bytesMax = object.required("max_request_bytes", .size(in: ConfigLimits.bufferBytes))
        guard object.finish(), let bytesMax else { return nil }
        return Settings(bytesMax: UInt64(bytesMax.bytes))
    }

    /// In the filter's word of a stream, beside the count of bytes.
    private static let hasTrailers: UInt64 = 1 << 63

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    public override var interests: Interests { [.requestBody, .trailers] }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        // A tunnel has no end to wait for.
        if stream.requestEnded || stream.request.method == .connect { return .proceed }
        if case .exactly(let length) = stream.request.bodyLength, length > settings.bytesMax {
            count(Event.tooLarge)
            return .respond(Self.refusal, .downstreamProtocolError)
        }
        stream.sendContinue()
        return .pause
    }

    public override func onRequestBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        stream.filterState[index] += UInt64(data.count)
        guard stream.filterState[index] > settings.bytesMax else { return .hold }
        count(Event.tooLarge)
        return .respond(Self.refusal, .downstreamProtocolError)
    }

    public override func onRequestTrailers(_ stream: HTTPStream, _ fields: inout HeaderTable) {
        stream.filterState[index] |= Self.hasTrailers
    }

    public override func onRequestEnd(_ stream: HTTPStream) -> BodyStatus {
        let word = stream.filterState[index]
        if stream.request.bodyLength == .unknown, word & Self.hasTrailers == 0 {
            stream.request.setBodyLength(.exactly(word))
        }
        stream.resumeRequest()
        return .proceed
    }

    private static let refusal = LocalResponse(.contentTooLarge, text: "the request is too large\n")
}
