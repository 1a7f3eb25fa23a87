internal import Config
internal import Engine
internal import HTTP

/// What a request's header fields say about where it comes from, brought into order before any filter sees it:
/// `x-forwarded-*`, `x-request-id` and `x-envoy-*`, as Envoy does.
///
/// What only internal clients may say is removed from every other request.
enum ForwardingHeaders {
    /// Only from internal clients.
    private static let internalOnly: [HeaderName] = [
        .xEnvoyInternal, .xEnvoyRetryOn, .xEnvoyRetryGrpcOn, .xEnvoyMaxRetries, .xEnvoyRetriableStatusCodes,
        .xEnvoyRetriableHeaderNames, .xEnvoyUpstreamAltStatName, .xEnvoyUpstreamRqTimeoutMs,
        .xEnvoyUpstreamRqPerTryTimeoutMs, .xEnvoyUpstreamRqTimeoutAltResponse, .xEnvoyExpectedRqTimeoutMs,
        .xEnvoyForceTrace, .xEnvoyIpTags, .xEnvoyOriginalUrl, .xEnvoyOriginalPath, .xEnvoyHedgeOnPerTryTimeout,
    ]
    private static let internalOnlySet = HeaderNameSet(internalOnly)
    /// Not from outside either.
    private static let edgeOnly: [HeaderName] = [
        .xEnvoyDecoratorOperation, .xEnvoyDownstreamServiceCluster, .xEnvoyDownstreamServiceNode,
    ]

    /// - Returns: how far the client is trusted
    @discardableResult
    static func apply(
        to head: inout RequestHead, on manager: HTTPConnectionManager, _ settings: HTTPChainSettings,
        _ ids: RequestIDSource
    ) -> RequestOrigin {
        let isInternal = !settings.internalAddresses.isEmpty && isInternal(head, manager, settings)
        let origin: RequestOrigin = isInternal ? .inside : settings.useRemoteAddress ? .outside : .behindProxy
        if isInternal {
            head.headers.set(.xEnvoyInternal, ByteSlice("true"))
        } else if head.headers.containsAny(of: internalOnlySet) {
            for name in internalOnly where head.headers.contains(name) { head.headers.remove(name) }
        }
        if settings.useRemoteAddress {
            if !isInternal {
                for name in edgeOnly where head.headers.contains(name) { head.headers.remove(name) }
            }
            addPeer(to: &head, manager, settings, isInternal: isInternal)
        }
        let trustsProto = !settings.useRemoteAddress || settings.trustedHops > 0
        if !trustsProto || !head.headers.contains(.xForwardedProto) {
            head.headers.set(.xForwardedProto, ByteSlice(manager.connection.isSecure ? "https" : "http"))
        }
        setClientCertificate(of: &head, manager)
        if settings.requestID.isGenerated { addRequestID(to: &head, settings, ids, origin) }
        return origin
    }

    /// A client whose address is one of the system's own. With `use_remote_address` that is the peer, unless it
    /// forwards for somebody; otherwise the one address that the proxy in front tells.
    private static func isInternal(
        _ head: borrowing RequestHead, _ manager: HTTPConnectionManager, _ settings: HTTPChainSettings
    ) -> Bool {
        let address: IPAddress?
        if settings.useRemoteAddress {
            guard !head.headers.contains(.xForwardedFor) else { return false }
            manager.askForAddresses()
            address = manager.addresses?.remote?.ip
        } else {
            guard entry(2, fromTheRightOf: head) == nil, let only = entry(1, fromTheRightOf: head) else { return false }
            address = IPAddress(only.text)
        }
        guard let address else { return false }
        return settings.internalAddresses.contains { $0.contains(address) }
    }

    /// Envoy's SANITIZE_SET: whatever the client says about certificates goes, and what its own one says comes.
    private static func setClientCertificate(of head: inout RequestHead, _ manager: HTTPConnectionManager) {
        if head.headers.contains(.xForwardedClientCert) { head.headers.remove(.xForwardedClientCert) }
        let text = manager.clientCertificateText
        guard !text.isEmpty else { return }
        ByteSlice.withBytes(of: text) { _ = head.headers.set(.xForwardedClientCert, $0) }
    }

    private static func addPeer(
        to head: inout RequestHead, _ manager: HTTPConnectionManager, _ settings: HTTPChainSettings, isInternal: Bool
    ) {
        let peer = manager.peerAddressText
        guard !peer.isEmpty else { return }
        ByteSlice.withBytes(of: peer) { peer in
            // From the fields as they came, before the peer itself is added.
            let external = entry(settings.trustedHops, fromTheRightOf: head) ?? peer
            if !isInternal { head.headers.set(.xEnvoyExternalAddress, external) }
            head.headers.append(.xForwardedFor, peer)
        }
    }

    /// The `number`th address in `x-forwarded-for` from the right, from 1; nil for 0 and when there are fewer.
    private static func entry(_ number: Int, fromTheRightOf head: borrowing RequestHead) -> ByteSlice? {
        guard number > 0 else { return nil }
        var entries: [ByteSlice] = []
        var index = head.headers.firstIndex(of: .xForwardedFor)
        while let current = index {
            if let field = head.headers.field(at: current) {
                var elements = ListElements(field.value)
                while let element = elements.next() { entries.append(element) }
            }
            index = head.headers.firstIndex(of: .xForwardedFor, from: current + 1)
        }
        return entries.count >= number ? entries[entries.count - number] : nil
    }

    private static func addRequestID(
        to head: inout RequestHead, _ settings: HTTPChainSettings, _ ids: RequestIDSource, _ origin: RequestOrigin
    ) {
        let settings = settings.requestID
        if let id = head.headers[.xRequestId], !id.isEmpty, origin != .outside || settings.preservesExternal {
            // What a stranger says of its own request's trace counts for nothing.
            if origin == .outside, settings.packsTraceReason { TraceRequestID.pack(.notTraced, into: &head) }
            return
        }
        let (high, low) = (ids.next(), ids.next())
        head.headers.set(.xRequestId, room: UUIDText.byteCount) { UUIDText.write(high: high, low: low, to: &$0) }
    }
}

/// How far the client of a request is trusted.
enum RequestOrigin: UInt8 {
    /// It is somebody outside, and this proxy is the first of ours (Envoy's edge request).
    case outside
    /// Another proxy, which has looked at it.
    case behindProxy
    /// It is one of the system's own.
    case inside
}

extension NetworkAddress {
    /// The IP address as text, IPv4 in IPv6 as IPv4; empty for Unix sockets.
    var ipText: [UInt8] {
        guard !isUnix else { return [] }
        let text = host
        return Array((text.hasPrefix("::ffff:") && text.contains(".") ? String(text.dropFirst(7)) : text).utf8)
    }
}
