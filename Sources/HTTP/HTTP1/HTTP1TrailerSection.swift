/// The trailer fields of one chunked body (RFC 9112 §7.1.2), in memory of their own.
///
/// Trailers are rare, small, and come in whatever pieces they like, so they are copied together and read by the code
/// that reads heads. An object, made when the first byte of a trailer arrives, so that bodies without trailers carry
/// nothing of it.
@safe
package final class HTTP1TrailerSection {
    enum Outcome {
        case complete
        case incomplete
        case malformed(HTTPMessageError)
    }

    /// The fields. Those that framing, routing, authentication or the proxy itself rest on are marked and will not be
    /// written (RFC 9110 §6.5.1).
    package var fields: HeaderTable

    private let start: UnsafeMutableRawPointer
    private let capacity: Int
    private let fieldsMax: Int
    private var count = HTTP1FieldSection.bytesBefore
    private var section = HTTP1FieldSection(start: HTTP1FieldSection.bytesBefore)
    private var framing = HTTP1FramingFields()

    init(limits: HTTP1Limits) {
        capacity = HTTP1FieldSection.bytesBefore + limits.trailerBytesMax
        fieldsMax = limits.headersMax
        unsafe start = .allocate(byteCount: capacity, alignment: 1)
        unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: HTTP1FieldSection.bytesBefore)
        fields = HeaderTable(capacity: min(fieldsMax, 16))
    }

    deinit { unsafe start.deallocate() }

    /// Reads on from `position`, which moves over what belongs to the section.
    func read(_ bytes: ByteSlice, at position: inout Int) -> Outcome {
        let before = count
        let taken = min(bytes.count - position, capacity - count)
        unsafe bytes[position..<position + taken].copy(to: start + count)  // count + taken <= capacity
        count += taken
        let text = unsafe ByteSlice(start: start, count: count)  // never moves; freed with this object
        fields.setSource(text)
        switch section.parse(text, fieldsMax: fieldsMax, into: &fields, noting: &framing) {
        case .complete(let end):
            position += end - before
            for index in fields.indices {
                guard let name = HeaderName(rawValue: fields.entry(at: index).knownName) else { continue }
                if name.isForbiddenInTrailers { fields.insertFlag(.forbiddenInTrailers, at: index) }
            }
            return .complete
        case .incomplete:
            position += taken
            return count < capacity ? .incomplete : .malformed(.headersTooLarge)
        case .malformed(let error): return .malformed(error)
        }
    }
}

extension HeaderName {
    /// Fields that must be known before the body, or that a trailer could forge: a recipient that merges trailers
    /// into the header would take them for the proxy's own word.
    var isForbiddenInTrailers: Bool {
        switch self {
        case .host, .connection, .contentLength, .transferEncoding, .upgrade, .expect, .te, .keepAlive,
            .proxyConnection, .http2Settings, .trailer,
            .acceptCharset, .acceptEncoding, .acceptLanguage, .accept, .authorization, .cookie, .forwarded,
            .ifMatch, .ifModifiedSince, .ifNoneMatch, .ifRange, .ifUnmodifiedSince, .maxForwards, .origin,
            .proxyAuthorization, .range, .referer, .xForwardedFor, .xForwardedHost, .xForwardedPort,
            .xForwardedProto, .xRealIp,
            .age, .allow, .location, .proxyAuthenticate, .retryAfter, .setCookie, .strictTransportSecurity, .vary,
            .wwwAuthenticate, .accessControlAllowCredentials, .accessControlAllowHeaders,
            .accessControlAllowMethods, .accessControlAllowOrigin, .accessControlExposeHeaders,
            .accessControlMaxAge, .contentSecurityPolicy,
            .cacheControl, .contentEncoding, .contentLanguage, .contentLocation, .contentRange, .contentType, .date,
            .expires, .pragma, .via,
            .xRequestId, .xClientTraceId,
            .xEnvoyAttemptCount, .xEnvoyDecoratorOperation, .xEnvoyDownstreamServiceCluster,
            .xEnvoyDownstreamServiceNode, .xEnvoyExpectedRqTimeoutMs, .xEnvoyExternalAddress, .xEnvoyForceTrace,
            .xEnvoyInternal, .xEnvoyIpTags, .xEnvoyMaxRetries, .xEnvoyOriginalPath, .xEnvoyOriginalUrl,
            .xEnvoyRetriableHeaderNames, .xEnvoyRetriableStatusCodes, .xEnvoyRetryGrpcOn, .xEnvoyRetryOn,
            .xEnvoyUpstreamAltStatName, .xEnvoyUpstreamRqPerTryTimeoutMs, .xEnvoyUpstreamRqTimeoutAltResponse,
            .xEnvoyUpstreamRqTimeoutMs, .xEnvoyHedgeOnPerTryTimeout, .xEnvoyUpstreamServiceTime, .xRingwayReason:
            true
        default: false
        }
    }
}
