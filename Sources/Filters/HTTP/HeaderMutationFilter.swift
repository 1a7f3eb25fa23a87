public import Config
public import Engine
public import HTTP

/// `header_mutation`: removes, sets and adds header fields of requests and responses. Values may have the operators of
/// access logs, such as `%DOWNSTREAM_REMOTE_ADDRESS%`.
public final class HeaderMutationFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate var request: [Mutation]
        fileprivate var response: [Mutation]
    }

    /// One change of one field.
    fileprivate struct Mutation: Sendable {
        enum Kind: Sendable { case remove, set, add }

        let kind: Kind
        let key: HeaderKey
        let value: CommandFormat
    }

    public static let name = "header_mutation"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let settings = Settings(
            request: object.value("request", .mutations(of: .request), default: []),
            response: object.value("response", .mutations(of: .response), default: []))
        if object.entry("request") == nil, object.entry("response") == nil {
            object.reportMissing("\"request\" or \"response\"", expected: "at least one of them")
        }
        return object.finish() ? settings : nil
    }

    private let request: [WorkerMutation]
    private let response: [WorkerMutation]
    /// Response fields that a value asks for.
    private let responseFields: NotedFields
    private let needsAddresses: Bool
    private let scratch = Scratch(capacity: CommandFormat.valueBytesMax)

    public init(settings: Settings, worker: Worker) {
        request = settings.request.map(WorkerMutation.init)
        response = settings.response.map(WorkerMutation.init)
        responseFields = settings.response.reduce(into: NotedFields()) { $0.formUnion($1.value.responseFields) }
        needsAddresses = (settings.request + settings.response).contains { $0.value.needsAddresses }
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        guard !request.isEmpty else { return .proceed }
        let context = context(of: stream, response: nil)
        for mutation in request {
            scratch.withValue(mutation.writer, context) { mutation.apply($0, to: &stream.request.headers) }
        }
        return .proceed
    }

    public override func onResponseHeaders(_ stream: HTTPStream, _ head: inout ResponseHead) -> Status {
        guard !response.isEmpty else { return .proceed }
        if !responseFields.isEmpty { stream.note(.response, responseFields, of: head.headers) }
        let context = context(of: stream, response: head.status)
        for mutation in response {
            scratch.withValue(mutation.writer, context) { mutation.apply($0, to: &head.headers) }
        }
        return .proceed
    }

    private func context(of stream: HTTPStream, response: HTTPStatus?) -> CommandContext {
        if needsAddresses { stream.askForAddresses() }
        return CommandContext(stream, response: response)
    }

    /// A change with what one worker needs to compute its value.
    private struct WorkerMutation {
        let kind: Mutation.Kind
        let key: HeaderKey
        let writer: CommandWriter

        init(_ mutation: Mutation) {
            kind = mutation.kind
            key = mutation.key
            writer = CommandWriter(mutation.value)
        }

        /// A value that comes out empty, or that no field can hold, changes nothing.
        func apply(_ value: ByteSlice, to headers: inout HeaderTable) {
            switch kind {
            case .remove: headers.remove(key)
            case .set: if !value.isEmpty { headers.set(key, value) }
            case .add: if !value.isEmpty { headers.add(key, value) }
            }
        }
    }

    /// Memory for one value at a time.
    @safe
    private final class Scratch {
        private let memory: UnsafeMutableRawPointer
        private let capacity: Int

        init(capacity: Int) {
            self.capacity = capacity
            unsafe memory = .allocate(byteCount: capacity, alignment: 1)
        }

        deinit { unsafe memory.deallocate() }

        /// Runs `body` on the value; on nothing when it is longer than any may be.
        func withValue(_ writer: CommandWriter, _ context: CommandContext, _ body: (ByteSlice) -> Void) {
            var out = unsafe ByteWriter(start: memory, capacity: capacity)
            writer.write(context, to: &out)
            let count = out.fits ? out.count : 0
            body(unsafe ByteSlice(start: memory, count: count).trimmed)  // written just now
        }
    }
}

extension ConfigFormat where Value == [HeaderMutationFilter.Mutation] {
    /// An object with `remove`, `set` and `add`, done in this order, or a list of such objects.
    fileprivate static func mutations(of message: HeaderRules) -> ConfigFormat {
        let one = ConfigFormat.object("header_mutation") { object in
            let names = object.value(
                "remove", .list(of: .editableHeaderName(of: message), count: 1...ConfigLimits.headerEditsMax),
                default: [])
            let set = object.value("set", .values(.set, of: message), default: [])
            let add = object.value("add", .values(.add, of: message), default: [])
            if ["remove", "set", "add"].allSatisfy({ object.entry($0) == nil }) {
                object.reportMissing("\"remove\", \"set\" or \"add\"", expected: "at least one of them")
            }
            let removed = names.compactMap { name in
                HeaderKey(name).map { HeaderMutationFilter.Mutation(kind: .remove, key: $0, value: CommandFormat()) }
            }
            return removed + set + add
        }
        let several = ConfigFormat<[Value]>.list(of: one, count: 1...ConfigLimits.headerEditsMax)
        return ConfigFormat("an object with \"remove\", \"set\" and \"add\", or a list of such objects") { value in
            if case .list = value.node.value { return value.read(as: several)?.flatMap { $0 } }
            return value.read(as: one.expecting(value.expectation))
        }
    }

    private static func values(_ kind: HeaderMutationFilter.Mutation.Kind, of message: HeaderRules) -> ConfigFormat {
        ConfigFormat("an object of header names and values") { value in
            guard case .object(let entries) = value.node.value else {
                value.refuse()
                return nil
            }
            if entries.count > ConfigLimits.headerEditsMax {
                value.diagnostics.report(
                    "\(value.subject) has \(entries.count) keys", expected: "at most \(ConfigLimits.headerEditsMax)",
                    at: value.node.position)
            }
            return entries.compactMap { mutation(kind, $0, message, value.diagnostics) }
        }
    }

    private static func mutation(
        _ kind: HeaderMutationFilter.Mutation.Kind, _ entry: ConfigEntry, _ message: HeaderRules,
        _ diagnostics: Diagnostics
    ) -> HeaderMutationFilter.Mutation? {
        let nameValue = ConfigValue(
            node: ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition),
            subject: "a key", expectation: "", diagnostics: diagnostics)
        let name = nameValue.read(as: .editableHeaderName(of: message))
        let fieldValue = ConfigValue(
            node: entry.value, subject: entry.key.quotedForMessage, expectation: CommandFormat.expectation,
            diagnostics: diagnostics)
        guard let text = fieldValue.read(as: .headerValue), let name, let key = HeaderKey(name) else { return nil }
        do throws(ConfigProblem) {
            return HeaderMutationFilter.Mutation(kind: kind, key: key, value: try CommandFormat(headerValue: text))
        } catch {
            fieldValue.refuse(error.detail, suggestion: error.suggestion)
            return nil
        }
    }
}
