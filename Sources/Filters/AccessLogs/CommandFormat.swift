package import Config
internal import HTTP
internal import Glibc

/// Text with Envoy's command operators, such as `%REQ(USER-AGENT):100%`, compiled once: what access logs write and
/// filters compute header values from. `docs/access-logs.md` has every operator.
public struct CommandFormat: Sendable {
    /// How the value of an operator is written.
    enum Style: Sendable {
        /// As it is, nothing where there is none: a header value.
        case plain
        /// Escaped for a line of text, `-` where there is none.
        case text
        /// Escaped for the inside of a JSON string, `-` where there is none.
        case jsonText
        /// As a JSON value of its own: number, string or null.
        case jsonValue
    }

    /// What an operator stands for. Plain numbers, so that running over them counts no references: names are in the
    /// arrays below.
    enum Command: Sendable {
        case fact(Fact)
        case startTime(Int)
        case request(FieldChoice)
        case response(FieldChoice)
        case trailer(FieldChoice)
        case metadata(Int)
    }

    enum Segment: Sendable {
        /// A range of `literals`.
        case literal(start: Int, count: Int)
        /// - Parameter bytesMax: of the value, before it is escaped
        case command(Command, bytesMax: Int, Style)
    }

    /// `REQ(X?Y)`: the second where the first is missing.
    struct FieldChoice: Sendable {
        var first: FieldName
        var second: FieldName?
    }

    /// A field whose name the proxy does not know by itself.
    struct OtherName: Sendable {
        let key: HeaderKey
        /// In lower case, as `StreamNotes` knows it.
        let bytes: [UInt8]
    }

    private(set) var segments: [Segment] = []
    private(set) var literals: [UInt8] = []
    private(set) var times: [TimeFormat] = []
    private(set) var otherNames: [OtherName] = []
    private(set) var metadataKeys: [[UInt8]] = []
    /// Whether the addresses of the connection are asked for.
    private(set) var needsAddresses = false

    /// The longest value that an operator writes, before it is escaped; longer ones are cut. So nobody can make a
    /// line so long that it is not written.
    static let valueBytesMax = 16_384

    /// What a configuration error says that was expected.
    package static let expectation =
        "text with operators such as %START_TIME% or %REQ(USER-AGENT)%, %% for a percent sign"

    init() {}

    /// A header value: operators without a value write nothing.
    package init(headerValue text: String) throws(ConfigProblem) { try append(text, .plain) }

    /// The operators alone, when the whole of `text` is one; a part of a text otherwise.
    mutating func append(_ text: String, _ style: Style) throws(ConfigProblem) {
        var parser = CommandParser(text)
        while let part = try parser.next() {
            switch part {
            case .literal(let text): appendLiteral(text, style)
            case .command(let name, let argument, let bytesMax):
                guard let command = try command(name, argument) else {
                    // Known already: the name of the machine, a variable of the environment.
                    appendLiteral(String(try constant(name, argument).prefix(bytesMax ?? Self.valueBytesMax)), style)
                    continue
                }
                segments.append(.command(command, bytesMax: min(bytesMax ?? .max, Self.valueBytesMax), style))
            }
        }
    }

    /// Appends text of ours as it is.
    mutating func append(literal text: String) {
        let bytes = Array(text.utf8)
        if case .literal(let start, let count) = segments.last {
            segments[segments.count - 1] = .literal(start: start, count: count + bytes.count)
        } else {
            segments.append(.literal(start: literals.count, count: bytes.count))
        }
        literals += bytes
    }

    private mutating func appendLiteral(_ text: String, _ style: Style) {
        switch style {
        case .plain, .text: append(literal: text)
        case .jsonText: append(literal: text.escapedForJSON)
        case .jsonValue: append(literal: "\"\(text.escapedForJSON)\"")
        }
    }

    // MARK: Operators by name

    /// nil for what is known when the configuration is loaded.
    private mutating func command(_ name: String, _ argument: String?) throws(ConfigProblem) -> Command? {
        if let fact = Fact(rawValue: name) {
            guard argument == nil else { throw ConfigProblem("where %\(name)% takes no argument") }
            if fact.isAddress { needsAddresses = true }
            return .fact(fact)
        }
        switch name {
        case "START_TIME":
            times.append(try TimeFormat(argument))
            return .startTime(times.count - 1)
        case "REQ": return .request(try field(name, argument, pseudo: true))
        case "RESP": return .response(try field(name, argument, pseudo: false))
        case "TRAILER": return .trailer(try field(name, argument, pseudo: false))
        case "DYNAMIC_METADATA":
            let parts = (argument ?? "").split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
                throw ConfigProblem("where %DYNAMIC_METADATA(NAMESPACE:KEY)% needs both")
            }
            metadataKeys.append(Array((argument ?? "").utf8))
            return .metadata(metadataKeys.count - 1)
        case "HOSTNAME", "ENVIRONMENT": return nil
        default:
            throw ConfigProblem(
                "which has the unknown operator \(name.quotedForMessage)",
                suggestion: nearest(to: name, among: Self.operatorNames).map { "%\($0)%" })
        }
    }

    private mutating func field(
        _ name: String, _ argument: String?, pseudo: Bool
    ) throws(ConfigProblem) -> FieldChoice {
        let names = argument?.split(separator: "?", omittingEmptySubsequences: false).map(String.init) ?? []
        guard (1...2).contains(names.count) else { throw ConfigProblem("where %\(name)(X?Y)% takes one or two names") }
        var choices: [FieldName] = []
        for text in names {
            choices.append(try fieldName(text, of: name, pseudo: pseudo))
        }
        return FieldChoice(first: choices[0], second: choices.count > 1 ? choices[1] : nil)
    }

    /// - Parameter pseudo: whether `:METHOD` and its kin are allowed
    private mutating func fieldName(
        _ text: String, of name: String, pseudo: Bool
    ) throws(ConfigProblem) -> FieldName {
        if pseudo, let pseudo = FieldName(pseudo: text) { return pseudo }
        guard let key = HeaderKey(text) else {
            throw ConfigProblem("where %\(name)(X)% has no header name but \(text.quotedForMessage)")
        }
        if let known = key.known { return .known(known) }
        otherNames.append(OtherName(key: key, bytes: Array(text.lowercased().utf8)))
        return .other(otherNames.count - 1)
    }

    private func constant(_ name: String, _ argument: String?) throws(ConfigProblem) -> String {
        if name == "HOSTNAME" {
            guard argument == nil else { throw ConfigProblem("where %HOSTNAME% takes no argument") }
            return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
                unsafe gethostname(text.baseAddress!, 255) == 0 ? String(cString: text.baseAddress!) : "-"
            }
        }
        guard let argument, !argument.isEmpty else { throw ConfigProblem("where %ENVIRONMENT(X)% needs a name") }
        guard let value = unsafe getenv(argument) else { return "-" }
        return unsafe String(cString: value)
    }

    /// Every operator, for suggestions.
    package static let operatorNames: [String] =
        Fact.allCases.map(\.rawValue) + [
            "START_TIME", "REQ", "RESP", "TRAILER", "DYNAMIC_METADATA", "HOSTNAME", "ENVIRONMENT",
        ]

    // MARK: What has to be kept for it

    /// Response fields that are asked for: the head is gone when a log line is written.
    var responseFields: NotedFields { noted { if case .response(let choice) = $0 { choice } else { nil } } }
    var trailerFields: NotedFields { noted { if case .trailer(let choice) = $0 { choice } else { nil } } }

    private func noted(_ choice: (Command) -> FieldChoice?) -> NotedFields {
        var result = NotedFields()
        for segment in segments {
            guard case .command(let command, _, _) = segment, let choice = choice(command) else { continue }
            for name in [choice.first, choice.second] {
                switch name {
                case .known(let known): result.known.append(known)
                case .other(let other): result.other.append(otherNames[other])
                case .method, .path, .authority, .scheme, nil: break
                }
            }
        }
        return result
    }
}

/// A field that an operator names; a plain number.
enum FieldName: Sendable {
    case method, path, authority, scheme
    case known(HeaderName)
    /// In `CommandFormat.otherNames`.
    case other(Int)

    init?(pseudo text: String) {
        switch text.uppercased() {
        case ":METHOD": self = .method
        case ":PATH": self = .path
        case ":AUTHORITY": self = .authority
        case ":SCHEME": self = .scheme
        default: return nil
        }
    }
}

/// Fields whose values are taken down before their head is gone.
struct NotedFields: Sendable {
    var known: [HeaderName] = []
    var other: [CommandFormat.OtherName] = []

    var isEmpty: Bool { known.isEmpty && other.isEmpty }

    mutating func formUnion(_ more: NotedFields) {
        known += more.known.filter { !known.contains($0) }
        other += more.other
    }
}

extension String {
    /// For the inside of a JSON string.
    var escapedForJSON: String {
        let bytes = Array(utf8)
        let capacity = bytes.count * 6
        let escaped = unsafe [UInt8](unsafeUninitializedCapacity: max(capacity, 1)) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: capacity)
            ByteSlice.withBytes(of: bytes) { writer.append(json: $0) }
            count = writer.count
        }
        return String(decoding: escaped, as: UTF8.self)
    }
}
