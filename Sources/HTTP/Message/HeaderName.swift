/// The field names that the proxy itself has an opinion on, as small integers.
///
/// Known names are compared, looked up and stored as one byte; every other name is compared as bytes. A new name is
/// one case and one line in `text`; the index that recognises it on the wire builds itself from these.
/// At most 127 cases, because the set of known names in a head is kept in 128 bits.
public enum HeaderName: UInt8, CaseIterable, Hashable, Sendable {
    // Connection management and framing: the parsers look at these. Keep them first and `trailer` last.
    case host = 1
    case connection
    case contentLength
    case transferEncoding
    case upgrade
    case expect
    case te
    case keepAlive
    case proxyConnection
    case http2Settings
    case trailer

    // Requests.
    case accept
    case acceptCharset
    case acceptEncoding
    case acceptLanguage
    case accessControlRequestHeaders
    case accessControlRequestMethod
    case authorization
    case cookie
    case dnt
    case forwarded
    case from
    case ifMatch
    case ifModifiedSince
    case ifNoneMatch
    case ifRange
    case ifUnmodifiedSince
    case maxForwards
    case origin
    case priority
    case proxyAuthorization
    case range
    case referer
    case secChUa
    case secChUaMobile
    case secChUaPlatform
    case secFetchDest
    case secFetchMode
    case secFetchSite
    case secFetchUser
    case secWebsocketKey
    case upgradeInsecureRequests
    case userAgent
    case xForwardedClientCert
    case xForwardedFor
    case xForwardedHost
    case xForwardedPort
    case xForwardedProto
    case xRealIp
    case xRequestedWith

    // Responses.
    case acceptRanges
    case accessControlAllowCredentials
    case accessControlAllowHeaders
    case accessControlAllowMethods
    case accessControlAllowOrigin
    case accessControlExposeHeaders
    case accessControlMaxAge
    case age
    case allow
    case altSvc
    case contentSecurityPolicy
    case etag
    case lastModified
    case location
    case proxyAuthenticate
    case retryAfter
    case secWebsocketAccept
    case server
    case setCookie
    case strictTransportSecurity
    case vary
    case wwwAuthenticate
    case xContentTypeOptions
    case xFrameOptions

    // Both directions.
    case cacheControl
    case contentDisposition
    case contentEncoding
    case contentLanguage
    case contentLocation
    case contentRange
    case contentType
    case date
    case expires
    case link
    case pragma
    case secWebsocketExtensions
    case secWebsocketProtocol
    case secWebsocketVersion
    case via

    // Tracing and request identity.
    case b3
    case traceparent
    case tracestate
    case xB3Flags
    case xB3Parentspanid
    case xB3Sampled
    case xB3Spanid
    case xB3Traceid
    case xClientTraceId
    case xRequestId

    // gRPC.
    case grpcMessage
    case grpcStatus
    case grpcTimeout

    // What Envoy defines and we honour or strip, and our own.
    case xEnvoyAttemptCount
    case xEnvoyDecoratorOperation
    case xEnvoyDownstreamServiceCluster
    case xEnvoyDownstreamServiceNode
    case xEnvoyExpectedRqTimeoutMs
    case xEnvoyExternalAddress
    case xEnvoyForceTrace
    case xEnvoyInternal
    case xEnvoyIpTags
    case xEnvoyMaxRetries
    case xEnvoyOriginalPath
    case xEnvoyOriginalUrl
    case xEnvoyRetriableHeaderNames
    case xEnvoyRetriableStatusCodes
    case xEnvoyRetryGrpcOn
    case xEnvoyRetryOn
    case xEnvoyUpstreamAltStatName
    case xEnvoyUpstreamRqPerTryTimeoutMs
    case xEnvoyUpstreamRqTimeoutAltResponse
    case xEnvoyUpstreamRqTimeoutMs
    case xEnvoyHedgeOnPerTryTimeout
    case xEnvoyUpstreamServiceTime
    case xRingwayReason

    /// The name in lower case, as HTTP/2 writes it and as headers that we add are written.
    public var text: StaticString {
        switch self {
        case .host: "host"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .upgrade: "upgrade"
        case .expect: "expect"
        case .te: "te"
        case .keepAlive: "keep-alive"
        case .proxyConnection: "proxy-connection"
        case .http2Settings: "http2-settings"
        case .trailer: "trailer"
        case .accept: "accept"
        case .acceptCharset: "accept-charset"
        case .acceptEncoding: "accept-encoding"
        case .acceptLanguage: "accept-language"
        case .accessControlRequestHeaders: "access-control-request-headers"
        case .accessControlRequestMethod: "access-control-request-method"
        case .authorization: "authorization"
        case .cookie: "cookie"
        case .dnt: "dnt"
        case .forwarded: "forwarded"
        case .from: "from"
        case .ifMatch: "if-match"
        case .ifModifiedSince: "if-modified-since"
        case .ifNoneMatch: "if-none-match"
        case .ifRange: "if-range"
        case .ifUnmodifiedSince: "if-unmodified-since"
        case .maxForwards: "max-forwards"
        case .origin: "origin"
        case .priority: "priority"
        case .proxyAuthorization: "proxy-authorization"
        case .range: "range"
        case .referer: "referer"
        case .secChUa: "sec-ch-ua"
        case .secChUaMobile: "sec-ch-ua-mobile"
        case .secChUaPlatform: "sec-ch-ua-platform"
        case .secFetchDest: "sec-fetch-dest"
        case .secFetchMode: "sec-fetch-mode"
        case .secFetchSite: "sec-fetch-site"
        case .secFetchUser: "sec-fetch-user"
        case .secWebsocketKey: "sec-websocket-key"
        case .upgradeInsecureRequests: "upgrade-insecure-requests"
        case .userAgent: "user-agent"
        case .xForwardedClientCert: "x-forwarded-client-cert"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .xForwardedProto: "x-forwarded-proto"
        case .xRealIp: "x-real-ip"
        case .xRequestedWith: "x-requested-with"
        case .acceptRanges: "accept-ranges"
        case .accessControlAllowCredentials: "access-control-allow-credentials"
        case .accessControlAllowHeaders: "access-control-allow-headers"
        case .accessControlAllowMethods: "access-control-allow-methods"
        case .accessControlAllowOrigin: "access-control-allow-origin"
        case .accessControlExposeHeaders: "access-control-expose-headers"
        case .accessControlMaxAge: "access-control-max-age"
        case .age: "age"
        case .allow: "allow"
        case .altSvc: "alt-svc"
        case .contentSecurityPolicy: "content-security-policy"
        case .etag: "etag"
        case .lastModified: "last-modified"
        case .location: "location"
        case .proxyAuthenticate: "proxy-authenticate"
        case .retryAfter: "retry-after"
        case .secWebsocketAccept: "sec-websocket-accept"
        case .server: "server"
        case .setCookie: "set-cookie"
        case .strictTransportSecurity: "strict-transport-security"
        case .vary: "vary"
        case .wwwAuthenticate: "www-authenticate"
        case .xContentTypeOptions: "x-content-type-options"
        case .xFrameOptions: "x-frame-options"
        case .cacheControl: "cache-control"
        case .contentDisposition: "content-disposition"
        case .contentEncoding: "content-encoding"
        case .contentLanguage: "content-language"
        case .contentLocation: "content-location"
        case .contentRange: "content-range"
        case .contentType: "content-type"
        case .date: "date"
        case .expires: "expires"
        case .link: "link"
        case .pragma: "pragma"
        case .secWebsocketExtensions: "sec-websocket-extensions"
        case .secWebsocketProtocol: "sec-websocket-protocol"
        case .secWebsocketVersion: "sec-websocket-version"
        case .via: "via"
        case .b3: "b3"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .xB3Flags: "x-b3-flags"
        case .xB3Parentspanid: "x-b3-parentspanid"
        case .xB3Sampled: "x-b3-sampled"
        case .xB3Spanid: "x-b3-spanid"
        case .xB3Traceid: "x-b3-traceid"
        case .xClientTraceId: "x-client-trace-id"
        case .xRequestId: "x-request-id"
        case .grpcMessage: "grpc-message"
        case .grpcStatus: "grpc-status"
        case .grpcTimeout: "grpc-timeout"
        case .xEnvoyAttemptCount: "x-envoy-attempt-count"
        case .xEnvoyDecoratorOperation: "x-envoy-decorator-operation"
        case .xEnvoyDownstreamServiceCluster: "x-envoy-downstream-service-cluster"
        case .xEnvoyDownstreamServiceNode: "x-envoy-downstream-service-node"
        case .xEnvoyExpectedRqTimeoutMs: "x-envoy-expected-rq-timeout-ms"
        case .xEnvoyExternalAddress: "x-envoy-external-address"
        case .xEnvoyForceTrace: "x-envoy-force-trace"
        case .xEnvoyInternal: "x-envoy-internal"
        case .xEnvoyIpTags: "x-envoy-ip-tags"
        case .xEnvoyMaxRetries: "x-envoy-max-retries"
        case .xEnvoyOriginalPath: "x-envoy-original-path"
        case .xEnvoyOriginalUrl: "x-envoy-original-url"
        case .xEnvoyRetriableHeaderNames: "x-envoy-retriable-header-names"
        case .xEnvoyRetriableStatusCodes: "x-envoy-retriable-status-codes"
        case .xEnvoyRetryGrpcOn: "x-envoy-retry-grpc-on"
        case .xEnvoyRetryOn: "x-envoy-retry-on"
        case .xEnvoyUpstreamAltStatName: "x-envoy-upstream-alt-stat-name"
        case .xEnvoyUpstreamRqPerTryTimeoutMs: "x-envoy-upstream-rq-per-try-timeout-ms"
        case .xEnvoyUpstreamRqTimeoutAltResponse: "x-envoy-upstream-rq-timeout-alt-response"
        case .xEnvoyUpstreamRqTimeoutMs: "x-envoy-upstream-rq-timeout-ms"
        case .xEnvoyHedgeOnPerTryTimeout: "x-envoy-hedge-on-per-try-timeout"
        case .xEnvoyUpstreamServiceTime: "x-envoy-upstream-service-time"
        case .xRingwayReason: "x-ringway-reason"
        }
    }

    /// The name in lower case, as bytes.
    public var bytes: ByteSlice { ByteSlice(text) }

    /// The known name that `text` spells in any case, or nil.
    public init?(_ text: ByteSlice) {
        guard let name = HeaderNameIndex.shared.find(text) else { return nil }
        self = name
    }

    /// Meant for one connection only (RFC 9110 §7.6.1): read here, never forwarded.
    var isHopByHop: Bool {
        switch self {
        case .connection, .transferEncoding, .upgrade, .te, .keepAlive, .proxyConnection, .http2Settings: true
        default: false
        }
    }

    /// Whether the parsers look at fields with this raw value while they read a head; false for 0, an unknown name.
    @inline(__always)
    static func concernsFraming(_ rawValue: UInt8) -> Bool { rawValue &- 1 < HeaderName.trailer.rawValue }
}
