public import Config
public import Engine
public import HTTP

/// `grpc_web`: lets browsers call gRPC services, which cannot be done from a page without help, because pages see neither
/// HTTP/2 frames nor trailers (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
///
/// Requests of the types `application/grpc-web` and `application/grpc-web-text` go on as `application/grpc`; messages
/// pass as they are, or out of and into base64; the trailers of the response become the last frame of its body. Nothing
/// is held back but up to three characters of base64. Other requests pass untouched.
public final class GRPCWebFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {}

    public static let name = "grpc_web"
    public static var events: [String] { ["bridged", "malformed", "not_grpc"] }

    private enum Event: Int { case bridged, malformed, notGRPC }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        return object.finish() ? Settings() : nil
    }

    /// What the filter keeps of a stream, in its word.
    private struct State {
        /// The request is gRPC-Web.
        var isBridged = false
        var requestIsText = false
        var responseIsText = false
        /// The endpoint's answer is none of gRPC: its body is for nobody.
        var dropsBody = false
        var decoder = GRPCWebTextDecoder()

        init() {}

        init(word: UInt64) {
            decoder = GRPCWebTextDecoder(word: UInt32(truncatingIfNeeded: word))
            isBridged = word & 1 << 32 != 0
            requestIsText = word & 1 << 33 != 0
            responseIsText = word & 1 << 34 != 0
            dropsBody = word & 1 << 35 != 0
        }

        var word: UInt64 {
            var word = UInt64(decoder.word)
            if isBridged { word |= 1 << 32 }
            if requestIsText { word |= 1 << 33 }
            if responseIsText { word |= 1 << 34 }
            if dropsBody { word |= 1 << 35 }
            return word
        }
    }

    public init(settings: Settings, worker: Worker) {
        super.init()
    }

    public override var interests: Interests { [.requestBody, .responseBody, .trailers] }

    private func state(of stream: HTTPStream) -> State { State(word: stream.filterState[index]) }

    // MARK: Requests

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard let type = stream.request.headers[.contentType], let web = GRPCWebType(type) else { return .proceed }
        count(Event.bridged)
        var state = State()
        state.isBridged = true
        state.requestIsText = web.isText
        // As in Envoy the client says what it wants, whatever it sends.
        state.responseIsText = stream.request.headers[.accept].map { GRPCWebType($0)?.isText ?? false } ?? false
        stream.filterState[index] = state.word
        setContentType("application/grpc", web.format, in: &stream.request.headers)
        stream.request.acceptsTrailers = true
        if web.isText { stream.request.forgetBodyLength() }
        return .proceed
    }

    public override func onRequestBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        var state = state(of: stream)
        guard state.requestIsText else { return .proceed }
        let room = GRPCWebTextDecoder.decodedMax(data.count)
        var isBase64 = true
        exchange(&data, capacity: room, on: stream.worker) { text, writer in
            isBase64 = state.decoder.decode(text, into: &writer)
        }
        stream.filterState[index] = state.word
        return isBase64 ? .proceed : refusal()
    }

    public override func onRequestEnd(_ stream: HTTPStream) -> BodyStatus {
        state(of: stream).decoder.isComplete ? .proceed : refusal()
    }

    private func refusal() -> BodyStatus {
        count(Event.malformed)
        return .respond(
            LocalResponse(.badRequest, text: "the body is not base64\n"), .downstreamProtocolError)
    }

    // MARK: Responses

    public override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        var state = state(of: stream)
        guard state.isBridged else { return .proceed }
        var format: [UInt8] = []
        if let type = head.headers[.contentType], GRPC.isType(type) {
            format = GRPCWebType.format(of: type, behind: ByteSlice("application/grpc"))
        } else {
            count(Event.notGRPC)
            state.dropsBody = true
            stream.filterState[index] = state.word
            let status = head.status
            head.status = .ok
            head.headers.remove(.contentEncoding)
            GRPC.setStatus(of: status, in: &head.headers, message: ByteSlice("the answer is not gRPC"))
        }
        if format.isEmpty { format = Array("+proto".utf8) }
        setContentType(
            state.responseIsText ? "application/grpc-web-text" : "application/grpc-web", format, in: &head.headers)
        head.forgetBodyLength()
        return .proceed
    }

    public override func onResponseBody(_ stream: HTTPStream, _ data: inout Lease) -> BodyStatus {
        let state = state(of: stream)
        if state.dropsBody {
            stream.worker.dropFirst(data.count, of: &data)
        } else if state.responseIsText {
            exchange(&data, capacity: GRPCWebText.encodedCount(data.count), on: stream.worker) { bytes, writer in
                GRPCWebText.encode(bytes) { writer.append($0) }
            }
        }
        return .proceed
    }

    /// Pages do not see trailers: they go where the body ends, in a frame of their own.
    public override func onResponseTrailers(_ stream: HTTPStream, _ fields: inout HeaderTable) {
        let state = state(of: stream)
        guard state.isBridged else { return }
        if !state.dropsBody {
            var frame = GRPCWebType.trailerFrame(fields)
            if state.responseIsText {
                var text: [UInt8] = []
                ByteSlice.withBytes(of: frame) { bytes in GRPCWebText.encode(bytes) { text.append($0) } }
                frame = text
            }
            unsafe stream.appendToResponseBody(frame.span.bytes, by: self)
        }
        for index in fields.indices { fields.removeField(at: index) }
    }

    // MARK: Both

    private func setContentType(_ type: StaticString, _ format: [UInt8], in headers: inout HeaderTable) {
        var value: [UInt8] = []
        let name = ByteSlice(type)
        for index in 0..<name.count { value.append(name[index]) }
        value += format
        ByteSlice.withBytes(of: value) { _ = headers.set(.contentType, $0) }
    }

    /// Exchanges a piece of a body for what `write` makes of it.
    private func exchange(
        _ data: inout Lease, capacity: Int, on worker: Worker, _ write: (ByteSlice, inout ByteWriter) -> Void
    ) {
        let bytes = data.withBytes { span in ByteSlice.withBytes(of: span) { $0 } }
        var other = unsafe worker.make(capacity: max(capacity, 1)) { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
            write(bytes, &writer)
            return writer.count
        }
        swap(&other, &data)
        worker.discard(other)
    }
}

/// `application/grpc-web` or `application/grpc-web-text`, perhaps with a message format (`+proto`).
struct GRPCWebType: Equatable {
    var isText: Bool
    /// `+` and a format, or nothing.
    var format: [UInt8]

    private static let binary: StaticString = "application/grpc-web"
    private static let text: StaticString = "application/grpc-web-text"

    /// Nil for every other type.
    init?(_ type: ByteSlice) {
        if Self.matches(type, Self.text) {
            isText = true
            format = Self.format(of: type, behind: ByteSlice(Self.text))
        } else if Self.matches(type, Self.binary) {
            isText = false
            format = Self.format(of: type, behind: ByteSlice(Self.binary))
        } else {
            return nil
        }
    }

    /// Whether `type` is `name`, apart from a format and parameters.
    static func matches(_ type: ByteSlice, _ name: StaticString) -> Bool {
        let name = ByteSlice(name)
        guard type.count >= name.count, type.prefix(name.count).equalsIgnoringCase(name) else { return false }
        guard type.count > name.count else { return true }
        return type[name.count] == UInt8(ascii: "+") || type[name.count] == UInt8(ascii: ";")
    }

    /// `+` and the format behind `name`, without parameters.
    static func format(of type: ByteSlice, behind name: ByteSlice) -> [UInt8] {
        guard type.count > name.count, type[name.count] == UInt8(ascii: "+") else { return [] }
        var format: [UInt8] = []
        for index in name.count..<type.count {
            if type[index] == UInt8(ascii: ";") || type[index] == UInt8(ascii: " ") { break }
            format.append(type[index])
        }
        return format
    }

    /// A frame with the fields as lines, as HTTP/1.1 would write them.
    static func trailerFrame(_ fields: borrowing HeaderTable) -> [UInt8] {
        var lines: [UInt8] = []
        for index in fields.indices {
            guard let field = fields.field(at: index) else { continue }
            for position in 0..<field.name.count {
                let byte = field.name[position]
                let isUpper = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                lines.append(isUpper ? byte | 0x20 : byte)
            }
            lines.append(UInt8(ascii: ":"))
            for position in 0..<field.value.count { lines.append(field.value[position]) }
            lines += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        }
        let length = UInt32(lines.count)
        return [0x80] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + lines
    }
}
