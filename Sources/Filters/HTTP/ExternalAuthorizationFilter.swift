public import Config
public import Engine
internal import HTTP

/// `ext_authz`: asks a service over HTTP whether a request may go on, as Envoy's filter of this name does.
///
/// The service gets the method, host, path and query of the request and what says who asks, without the body. 2xx lets
/// the request go on, with the fields of the answer that `upstream_headers` names. Any other status below 500 is the
/// client's answer, with its fields and its body. 5xx, no answer, and one that takes too long are failures: the
/// request goes on with `failure_mode_allow`, and is answered with `status_on_error` without.
public final class ExternalAuthorizationFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate let cluster: ClusterReference
        fileprivate let pathPrefix: [UInt8]
        fileprivate let timeoutNs: UInt64
        fileprivate let allowsOnFailure: Bool
        fileprivate let statusOnError: HTTPStatus
        /// Of the request, sent to the service.
        fileprivate let allowedHeaders: [HeaderKey]
        /// Of the service's answer, sent to the endpoint.
        fileprivate let upstreamHeaders: [HeaderKey]
    }

    public static let name = "ext_authz"
    public static var events: [String] { ["ok", "denied", "error", "failure_mode_allowed"] }

    private enum Event: Int { case ok, denied, error, failureModeAllowed }

    public static func clusters(in settings: Settings) -> [ClusterReference] { [settings.cluster] }

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let cluster = object.required("cluster", .cluster)
        let pathPrefix = object.value("path_prefix", .path, default: "")
        let timeout = object.value("timeout", .duration(in: timeoutRange), default: .milliseconds(200))
        let allowsOnFailure = object.value("failure_mode_allow", .bool, default: false)
        let status = object.value("status_on_error", .int(in: 400...599), default: 403)
        let names = ConfigFormat<[String]>.list(of: .headerName, count: 1...64)
        let editable = ConfigFormat<[String]>.list(of: .editableHeaderName(of: .request), count: 1...64)
        let allowedHeaders = object.value("allowed_headers", names, default: [])
        let upstreamHeaders = object.value("upstream_headers", editable, default: [])
        guard object.finish(), let cluster else { return nil }
        return Settings(
            cluster: cluster, pathPrefix: Array((pathPrefix == "/" ? "" : pathPrefix).utf8),
            timeoutNs: timeout.nanoseconds, allowsOnFailure: allowsOnFailure,
            statusOnError: HTTPStatus(rawValue: UInt16(status)),
            allowedHeaders: allowedHeaders.compactMap(HeaderKey.init).filter { !sentAnyway($0) },
            upstreamHeaders: upstreamHeaders.compactMap(HeaderKey.init))
    }

    private static let timeoutRange = TimeSpan.milliseconds(1) ... .minutes(1)

    /// Fields of the request that the service always gets.
    private static let identity: [HeaderKey] = [
        "authorization", "cookie", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
        "x-request-id",
    ].compactMap(HeaderKey.init)

    private static func sentAnyway(_ key: HeaderKey) -> Bool {
        identity.contains(key) || key.known == .host || key.known == .contentLength
    }

    private let settings: Settings

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    // MARK: Asking

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        let question = stream.subrequest(for: self)
        guard write(stream.request, to: &question.request) else {
            return .respond(
                LocalResponse(.requestHeaderFieldsTooLarge, text: "too many header bytes\n"), .downstreamProtocolError)
        }
        // Asking twice does no harm, whatever the method.
        if question.start(to: clusters[0], timeoutNs: settings.timeoutNs, mayRepeat: true) == nil { return .pause }
        count(Event.error)
        guard settings.allowsOnFailure else { return .respond(failure, .unauthorizedExternalService) }
        allowAfterFailure(stream)
        return .proceed
    }

    /// The request as the service sees it. False when a field has no room.
    private func write(_ request: borrowing RequestHead, to question: inout RequestHead) -> Bool {
        // CONNECT has no path, and asks for a tunnel: the service is not to make one.
        if request.method == .connect {
            guard let key = Self.forwardedMethod, question.headers.add(key, ByteSlice("CONNECT")) else { return false }
        } else if !question.setMethod(request.methodText) {
            return false
        }
        let path = request.path.isEmpty ? ByteSlice("/") : request.path
        let isPathSet =
            settings.pathPrefix.isEmpty
            ? question.setPath(path)
            : path.withSpan { span in
                var whole = settings.pathPrefix
                unsafe span.withUnsafeBytes { unsafe whole.append(contentsOf: $0) }
                return ByteSlice.withBytes(of: whole) { question.setPath($0) }
            }
        guard isPathSet, question.setQuery(request.query) else { return false }
        if !request.authority.isEmpty, !question.setAuthority(request.authority) { return false }
        for key in Self.identity {
            guard copy(key, from: request.headers, to: &question.headers) else { return false }
        }
        for key in settings.allowedHeaders {
            guard copy(key, from: request.headers, to: &question.headers) else { return false }
        }
        return true
    }

    private static let forwardedMethod = HeaderKey("x-forwarded-method")

    private func copy(_ key: HeaderKey, from: borrowing HeaderTable, to: inout HeaderTable) -> Bool {
        var next = from.firstIndex(of: key)
        while let index = next {
            if let field = from.field(at: index), !to.add(key, field.value) { return false }
            next = from.firstIndex(of: key, from: index + 1)
        }
        return true
    }

    // MARK: Answers

    public override func onSubrequestEnd(
        _ stream: HTTPStream, _ subrequest: HTTPSubrequest, _ outcome: HTTPSubrequest.Outcome
    ) {
        let status = subrequest.response.status
        switch outcome {
        case .response where status.codeClass == 2:
            count(Event.ok)
            for key in settings.upstreamHeaders {
                stream.request.headers.remove(key)
                _ = copy(key, from: subrequest.response.headers, to: &stream.request.headers)
            }
            stream.resumeRequest()
        case .response where status.codeClass == 3 || status.codeClass == 4:
            count(Event.denied)
            deny(stream, subrequest)
        case .response, .failed:
            count(Event.error)
            guard settings.allowsOnFailure else {
                stream.respond(failure, flag: .unauthorizedExternalService)
                return
            }
            allowAfterFailure(stream)
            stream.resumeRequest()
        }
    }

    private func deny(_ stream: HTTPStream, _ subrequest: HTTPSubrequest) {
        let status = subrequest.response.status
        ByteSlice.withBytes(of: subrequest.responseBody) { body in
            stream.respond(status, flag: .unauthorizedExternalService, bytes: body) { headers in
                subrequest.response.headers.copyFields(to: &headers)
                headers.remove(.contentLength)
            }
        }
    }

    /// What a client says under names that are the service's never reaches the endpoint.
    private func allowAfterFailure(_ stream: HTTPStream) {
        count(Event.failureModeAllowed)
        for key in settings.upstreamHeaders { stream.request.headers.remove(key) }
    }

    private var failure: LocalResponse {
        LocalResponse(settings.statusOnError, text: "the request could not be authorized\n")
    }
}
