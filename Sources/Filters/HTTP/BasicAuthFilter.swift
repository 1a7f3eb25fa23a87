public import Config
public import Engine
internal import HTTP

/// `basic_auth`: asks for a name and a password (RFC 7617), and lets requests with the right ones pass.
///
/// Others are answered with 401. Passwords are kept as `{SHA}` digests alone; slow digests such as bcrypt would stop a
/// worker for as long as they take, and are refused.
public final class BasicAuthFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let users: PasswordFile
        fileprivate let refusal: LocalResponse
        fileprivate let removesHeader: Bool
        fileprivate let usernameHeader: HeaderKey?
        /// Of the file's content.
        fileprivate let fingerprint: UInt64
    }

    public static let name = "basic_auth"
    public static var events: [String] { ["allowed", "denied"] }
    /// Digests, which for weak passwords are as good as these.
    public static var secretKeys: Set<String> { ["users"] }

    private enum Event: Int { case allowed, denied }

    public static func fingerprint(of settings: Settings) -> UInt64 { settings.fingerprint }

    // MARK: Settings

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let users = users(object)
        let realm = object.value("realm", .realm, default: "restricted")
        let removesHeader = object.value("remove_header", .bool, default: false)
        let usernameHeader = object.optional("username_header", .editableHeaderName(of: .request))
        guard object.finish(), let users else { return nil }
        return Settings(
            users: users.file,
            refusal: LocalResponse(
                .unauthorized,
                headers: [
                    ("www-authenticate", "Basic realm=\"\(realm)\", charset=\"UTF-8\""),
                    ("content-type", "text/plain; charset=utf-8"),
                ], body: Array("a name and a password are needed\n".utf8)),
            removesHeader: removesHeader, usernameHeader: usernameHeader.flatMap(HeaderKey.init),
            fingerprint: users.fingerprint)
    }

    private static func users(_ object: ConfigObject) -> (file: PasswordFile, fingerprint: UInt64)? {
        let before = object.diagnostics.reportCount
        var builder = PasswordFile.Builder()
        var fingerprint: UInt64 = 0
        let path = object.optional("file", .string.expecting("the path of a file"))
        let list = object.entry("users")?.value
        guard object.exactlyOne(of: ["users", "file"]) != nil else { return nil }
        if let path {
            let position = object.position(of: "file")
            guard let text = ConfigFile.read(path: path, at: position, diagnostics: object.diagnostics) else {
                return nil
            }
            fingerprint = ByteSlice.withBytes(of: text) { SHA1Digest(of: $0).prefix }
            // CRLF is one character, and a new line.
            for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated()
            {
                if line.isEmpty || line.hasPrefix("#") { continue }
                add(line, to: &builder, "line \(number + 1) of \(path)", at: position, object.diagnostics)
            }
        } else if let list {
            guard case .list(let nodes) = list.value else {
                object.diagnostics.report("\"users\" is not a list", expected: expectation, at: list.position)
                return nil
            }
            for node in nodes {
                guard case .scalar(let scalar) = node.value else {
                    object.diagnostics.report(
                        "an item of \"users\" is not text", expected: expectation, at: node.position)
                    continue
                }
                add(scalar.text[...], to: &builder, "an item of \"users\"", at: node.position, object.diagnostics)
            }
        }
        guard object.diagnostics.reportCount == before else { return nil }
        guard (1...PasswordFile.usersMax).contains(builder.count) else {
            object.diagnostics.report(
                "there are \(builder.count) users", expected: "1 to \(PasswordFile.usersMax)",
                at: object.position(of: path == nil ? "users" : "file"))
            return nil
        }
        return (builder.build(), fingerprint)
    }

    private static let expectation = "a list of NAME:{SHA}BASE64, as `htpasswd -s` writes it"

    /// Errors say where, and never what stands there: it may be a password.
    private static func add(
        _ line: Substring, to builder: inout PasswordFile.Builder, _ place: String, at position: ConfigPosition,
        _ diagnostics: Diagnostics
    ) {
        do throws(PasswordFile.Problem) {
            try builder.add(line)
        } catch {
            switch error {
            case .noName:
                diagnostics.report("\(place) has no name before a colon", expected: expectation, at: position)
            case .unknownDigest:
                diagnostics.report(
                    "\(place) has another digest than {SHA}", expected: expectation, at: position)
            case .repeated:
                diagnostics.report("\(place) has the name of an earlier user", expected: "each name once", at: position)
            }
        }
    }

    // MARK: Requests

    /// A name and a password in base64, which is more than any browser lets type.
    private static let credentialsBytesMax = 2048

    private let settings: Settings
    private var credentials: [UInt8] = []

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
        credentials.reserveCapacity(Self.credentialsBytesMax)
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        let first = stream.request.headers.firstIndex(of: .authorization)
        // Of several the endpoint might read another one than this filter.
        let hasSecond =
            first.map { stream.request.headers.firstIndex(of: .authorization, from: $0 + 1) != nil } ?? false
        guard let value = stream.request.headers[.authorization], !hasSecond, let colon = admit(value) else {
            count(Event.denied)
            return .respond(settings.refusal, .none)
        }
        count(Event.allowed)
        if settings.removesHeader { stream.request.headers.remove(.authorization) }
        if let key = settings.usernameHeader {
            // In place of whatever the client said.
            ByteSlice.withBytes(of: credentials) { _ = stream.request.headers.set(key, $0[0..<colon]) }
        }
        return .proceed
    }

    /// Decodes into `credentials`. Where the name ends there; nil when the client is not let in.
    private func admit(_ value: ByteSlice) -> Int? {
        // RFC 9110 §11.1: schemes are compared without case.
        guard value.count > 6, value.count <= Self.credentialsBytesMax, value[0..<6].equalsIgnoringCase("basic ") else {
            return nil
        }
        credentials.removeAll(keepingCapacity: true)
        guard Base64.decode(value[6..<value.count].trimmed, { credentials.append($0) }) else { return nil }
        return ByteSlice.withBytes(of: credentials) { credentials in
            // RFC 7617 §2: a name has no colon.
            guard let colon = credentials.firstIndex(of: UInt8(ascii: ":")) else { return nil }
            let password = credentials[(colon + 1)..<credentials.count]
            return settings.users.admits(credentials[0..<colon], password) ? colon : nil
        }
    }
}

extension ConfigFormat where Value == String {
    /// What can stand between quotes (RFC 9110 §5.6.4).
    fileprivate static var realm: ConfigFormat {
        text("text of 1 to 128 visible characters without \" and \\") { text throws(ConfigProblem) in
            guard (1...128).contains(text.utf8.count),
                text.utf8.allSatisfy({
                    $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
                })
            else { throw ConfigProblem() }
            return text
        }
    }
}
