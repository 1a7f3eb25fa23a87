internal import Config
internal import Engine
internal import HTTP

/// What a request's header fields say about where it comes from, brought into order before any filter sees it:
/// `x-forwarded-*`, `x-request-id` and `x-envoy-*`, as Envoy does.
///
/// No address counts as internal, so what only internal clients may say is removed from every request.
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

    static func apply(to head: inout RequestHead, on manager: HTTPConnectionManager, _ chain: HTTPChain) {
        let settings = chain.settings
        if head.headers.containsAny(of: internalOnlySet) {
            for name in internalOnly where head.headers.contains(name) { head.headers.remove(name) }
        }
        if settings.useRemoteAddress {
            for name in edgeOnly where head.headers.contains(name) { head.headers.remove(name) }
            addPeer(to: &head, manager, trustedHops: settings.trustedHops)
        }
        let trustsProto = !settings.useRemoteAddress || settings.trustedHops > 0
        if !trustsProto || !head.headers.contains(.xForwardedProto) {
            head.headers.set(.xForwardedProto, ByteSlice(manager.connection.isSecure ? "https" : "http"))
        }
        setClientCertificate(of: &head, manager)
        if settings.requestID.isGenerated { addRequestID(to: &head, chain) }
    }

    /// Envoy's SANITIZE_SET: whatever the client says about certificates goes, and what its own one says comes.
    private static func setClientCertificate(of head: inout RequestHead, _ manager: HTTPConnectionManager) {
        if head.headers.contains(.xForwardedClientCert) { head.headers.remove(.xForwardedClientCert) }
        let text = manager.clientCertificateText
        guard !text.isEmpty else { return }
        ByteSlice.withBytes(of: text) { _ = head.headers.set(.xForwardedClientCert, $0) }
    }

    private static func addPeer(to head: inout RequestHead, _ manager: HTTPConnectionManager, trustedHops: Int) {
        let peer = manager.peerAddressText
        guard !peer.isEmpty else { return }
        ByteSlice.withBytes(of: peer) { peer in
            // From the fields as they came, before the peer itself is added.
            let external = entry(trustedHops, fromTheRightOf: head) ?? peer
            head.headers.set(.xEnvoyExternalAddress, external)
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

    private static func addRequestID(to head: inout RequestHead, _ chain: HTTPChain) {
        let settings = chain.settings
        if let id = head.headers[.xRequestId], !id.isEmpty,
            !settings.useRemoteAddress || settings.requestID.preservesExternal
        {
            return
        }
        unsafe withUnsafeTemporaryAllocation(byteCount: UUIDText.byteCount, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: UUIDText.byteCount)
            UUIDText.write(high: chain.nextRandom(), low: chain.nextRandom(), to: &writer)
            head.headers.set(.xRequestId, unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }
}

/// `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx` (RFC 9562 §5.4).
enum UUIDText {
    static let byteCount = 36

    static func write(high: UInt64, low: UInt64, to out: inout ByteWriter) {
        let high = high & ~0xF000 | 0x4000
        let low = low & ~(0b11 << 62) | 0b10 << 62
        let first = hex(UInt32(truncatingIfNeeded: high &>> 32))
        let second = hex(UInt32(truncatingIfNeeded: high))
        let third = hex(UInt32(truncatingIfNeeded: low &>> 32))
        let fourth = hex(UInt32(truncatingIfNeeded: low))
        out.append(text: first, count: 8)
        out.append(UInt8(ascii: "-"))
        out.append(text: second, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: second &>> 32, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: third, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: third &>> 32, count: 4)
        out.append(text: fourth, count: 8)
    }

    /// Eight digits, the first in the lowest byte: each half byte in a byte of its own, then all made digits at once.
    private static func hex(_ value: UInt32) -> UInt64 {
        var nibbles = UInt64(value.byteSwapped)
        nibbles = (nibbles | nibbles &<< 16) & 0x0000_FFFF_0000_FFFF
        nibbles = (nibbles | nibbles &<< 8) & 0x00FF_00FF_00FF_00FF
        nibbles = (nibbles &>> 4 | nibbles &<< 8) & 0x0F0F_0F0F_0F0F_0F0F
        // 1 where a nibble is ten or more.
        let letters = (nibbles &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
        return nibbles &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }
}

extension NetworkAddress {
    /// The IP address as text, IPv4 in IPv6 as IPv4; empty for Unix sockets.
    var ipText: [UInt8] {
        guard !isUnix else { return [] }
        let text = host
        return Array((text.hasPrefix("::ffff:") && text.contains(".") ? String(text.dropFirst(7)) : text).utf8)
    }
}
