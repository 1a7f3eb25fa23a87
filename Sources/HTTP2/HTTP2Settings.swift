package import HTTP

/// What we tell the peer of a connection, and what it may do (RFC 9113 §6.5.2, §10.5).
package struct HTTP2Settings: Sendable {
    /// Heads, trailers and bodies; the same limits as in HTTP/1.1.
    package var limits: HTTP1Limits
    /// Streams that the peer may have open at once: 1 – 2^16. Beyond, they are refused without harm (REFUSED_STREAM).
    package var concurrentStreamsMax: UInt32
    /// Bytes of a body that may be on their way to us on one stream: 1 – 2^31-1. Bounds what a stream can hold here.
    package var streamWindowBytes: Int32
    /// The same for all streams of the connection together: 65,535 – 2^31-1.
    package var connectionWindowBytes: Int32
    /// Bytes that the windows of streams may grow beyond `streamWindowBytes`, all streams of a connection together,
    /// where the path takes more than they allow: 0 – 2^30, 0 for never.
    package var windowGrowthBytes: Int32
    /// Whether a client may open a tunnel with `:protocol` (RFC 8441).
    package var allowsExtendedConnect: Bool
    package var floods: HTTP2FloodLimits

    package init(
        limits: HTTP1Limits = HTTP1Limits(), concurrentStreamsMax: UInt32 = 100,
        streamWindowBytes: Int32 = 256 * 1024, connectionWindowBytes: Int32 = 1024 * 1024,
        windowGrowthBytes: Int32 = 0, allowsExtendedConnect: Bool = false,
        floods: HTTP2FloodLimits = HTTP2FloodLimits()
    ) {
        precondition((1...65_536).contains(concurrentStreamsMax), "concurrentStreamsMax out of range")
        precondition(streamWindowBytes > 0, "streamWindowBytes out of range")
        precondition(connectionWindowBytes >= 65_535, "connectionWindowBytes out of range")
        self.limits = limits
        self.concurrentStreamsMax = concurrentStreamsMax
        self.streamWindowBytes = streamWindowBytes
        precondition((0...1 << 30).contains(windowGrowthBytes), "windowGrowthBytes out of range")
        self.connectionWindowBytes = connectionWindowBytes
        self.windowGrowthBytes = windowGrowthBytes
        self.allowsExtendedConnect = allowsExtendedConnect
        self.floods = floods
    }
}

/// An error code (RFC 9113 §7).
package struct HTTP2ErrorCode: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let noError = HTTP2ErrorCode(rawValue: 0)
    package static let protocolError = HTTP2ErrorCode(rawValue: 1)
    package static let internalError = HTTP2ErrorCode(rawValue: 2)
    package static let flowControlError = HTTP2ErrorCode(rawValue: 3)
    package static let refusedStream = HTTP2ErrorCode(rawValue: 7)
    package static let cancel = HTTP2ErrorCode(rawValue: 8)
    package static let connectError = HTTP2ErrorCode(rawValue: 10)
    package static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)
    package static let http11Required = HTTP2ErrorCode(rawValue: 13)

    /// The code that says why a stream ends before its message does.
    package init(_ reset: StreamReset) {
        switch reset {
        case .protocolError: self = .protocolError
        case .truncated, .internalError: self = .internalError
        case .cancelled: self = .cancel
        case .refused: self = .refusedStream
        case .tooLarge, .overloaded: self = .enhanceYourCalm
        }
    }
}

extension StreamReset {
    /// What an endpoint's reset means to the client whose answer it breaks off. What the endpoint holds against our
    /// connection, or says of a request that was answered already, is nothing that the client could act on.
    package init(passingOn code: HTTP2ErrorCode) {
        switch code {
        case .cancel: self = .cancelled
        case .enhanceYourCalm: self = .overloaded
        default: self = .truncated
        }
    }
}
