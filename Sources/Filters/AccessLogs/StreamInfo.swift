internal import Engine
internal import HTTP

/// What log lines and header values tell of an exchange beyond its heads: plain stores while it goes on, read at its
/// end.
struct StreamInfo {
    /// Monotonic nanoseconds; 0 while it has not happened.
    var requestEndedNs: UInt64 = 0
    /// The last head from upstream, of whichever try.
    var upstreamHeadNs: UInt64 = 0
    /// Content, without what frames it.
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    /// Why the response is as it is, where the flag does not say it.
    var details: StaticString?
    /// Why no connection to the endpoint came about.
    var transportFailure: CloseReason?
    /// Where the last try went, also when it is over; -1 for nowhere.
    var endpoint: Int32 = -1
    /// The head was understood and kept: its fields can be read.
    var hasHead = false
    /// Something was noted (`HTTPStream.notes`).
    var hasNotes = false
    /// It turned out to be no exchange at all, so no log tells of it.
    var isNothing = false
    /// This proxy answers.
    var isLocal = false
    /// What the client's connection had counted when it left HTTP.
    private var tunnelReceivedBefore: UInt64 = 0
    private var tunnelSentBefore: UInt64 = 0

    mutating func tunnelBegins(on connection: Connection?) {
        guard let connection else { return }
        tunnelReceivedBefore = connection.bytesReceived
        tunnelSentBefore = connection.bytesSent &+ UInt64(connection.bytesQueued)
    }

    /// The engine moves the bytes of a tunnel without a word; its counts at the end tell how many.
    mutating func tunnelEnds(on connection: Connection?) {
        guard let connection else { return }
        bytesReceived = connection.bytesReceived &- tunnelReceivedBefore
        // What was queued at the beginning may never have left.
        bytesSent = connection.bytesSent > tunnelSentBefore ? connection.bytesSent - tunnelSentBefore : 0
    }
}

extension ResponseFlag {
    /// What `%RESPONSE_CODE_DETAILS%` says of a response that nothing more is known of.
    var details: StaticString {
        switch self {
        case .none: "direct_response"
        case .noRouteFound: "route_not_found"
        case .noClusterFound: "cluster_not_found"
        case .noHealthyUpstream: "no_healthy_upstream"
        case .upstreamConnectionFailure: "upstream_reset_before_response_started{connection_failure}"
        case .upstreamConnectionTermination: "upstream_reset_before_response_started{connection_termination}"
        case .upstreamRequestTimeout: "response_timeout"
        case .upstreamOverflow: "upstream_reset_before_response_started{overflow}"
        case .downstreamConnectionTermination: "downstream_remote_disconnect"
        case .downstreamRemoteReset: "downstream_remote_reset"
        case .downstreamProtocolError: "http1.codec_error"
        case .streamIdleTimeout: "stream_idle_timeout"
        case .durationTimeout: "duration_timeout"
        case .rateLimited: "local_rate_limited"
        case .delayInjected: "via_upstream"
        case .faultInjected: "fault_filter_abort"
        case .unauthorizedExternalService: "ext_authz_denied"
        }
    }

    /// `%RESPONSE_FLAGS_LONG%`.
    var longLabel: StaticString {
        switch self {
        case .none: "-"
        case .noRouteFound: "NoRouteFound"
        case .noClusterFound: "NoClusterFound"
        case .noHealthyUpstream: "NoHealthyUpstream"
        case .upstreamConnectionFailure: "UpstreamConnectionFailure"
        case .upstreamConnectionTermination: "UpstreamConnectionTermination"
        case .upstreamRequestTimeout: "UpstreamRequestTimeout"
        case .upstreamOverflow: "UpstreamOverflow"
        case .downstreamConnectionTermination: "DownstreamConnectionTermination"
        case .downstreamRemoteReset: "DownstreamRemoteReset"
        case .downstreamProtocolError: "DownstreamProtocolError"
        case .streamIdleTimeout: "StreamIdleTimeout"
        case .durationTimeout: "DurationTimeout"
        case .rateLimited: "RateLimited"
        case .delayInjected: "DelayInjected"
        case .faultInjected: "FaultInjected"
        case .unauthorizedExternalService: "UnauthorizedExternalService"
        }
    }
}
