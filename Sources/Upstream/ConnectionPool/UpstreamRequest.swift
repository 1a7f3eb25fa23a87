public import Engine
public import HTTP

/// One request on its way to an endpoint, seen from the upstream connection: who writes it and who hears of
/// the answer. The same hooks serve every HTTP version.
///
/// All hooks run on the worker. `onResponseEnd` and `onReset` are the last ones; after either the request is
/// nothing to the connection any more and may be started again.
open class UpstreamRequest: TimerTask {
    /// What the connection keeps with the request to find its own state of it: a number that means nothing to others.
    package final var connectionSlot: UInt32 = 0
    /// Whose work it is to send the request: see `Connection.charge`.
    package final var costCell: UInt32 = 0

    /// The endpoint is asked to leave HTTP for another protocol (RFC 9110 §7.8). A version that has to know first whether
    /// the endpoint can do that keeps the request until then.
    open var offersUpgrade: Bool { false }

    /// A request that had to wait has got a connection, which may still be connecting.
    open func onStarted(_ upstream: UpstreamConnection) {}
    /// The connection is there: write the head, and then the body as it comes.
    open func onReady(_ upstream: UpstreamConnection) {}
    /// A final or an informational (1xx) head, which may be changed; its bytes stay where they are until this
    /// returns.
    open func onResponseHead(_ head: inout ResponseHead) {}
    open func onResponseBody(_ data: consuming Lease) {}
    /// Trailers, right before the end, which may be changed. Those that may not be forwarded are marked and are not
    /// written.
    open func onResponseTrailers(_ fields: inout HeaderTable) {}
    /// The response is complete.
    open func onResponseEnd() {}
    /// Nothing more will come.
    open func onReset(_ reason: UpstreamReset) {}
    /// Where the next `count` bytes of the response's body (`.max`: all until the end) may go by themselves, without
    /// passing through here; nil when somebody wants to see them. Nothing has been decided yet: `transferResponseBody`
    /// follows, or nothing.
    open func responseDestination(of count: UInt64) -> Connection? { nil }
    /// The next `count` bytes of the body go to `responseDestination` by themselves. False when they may not any more.
    open func transferResponseBody(_ count: UInt64) -> Bool { false }
    /// So many bytes of the body have gone there.
    open func responseBodyTransferred(_ count: UInt64) {}
    /// The upstream connection does not take the body as fast as it comes, or does again.
    open func onUpstreamBlocked(_ isBlocked: Bool) {}
}

/// Why a request to an endpoint got no complete answer.
public enum UpstreamReset: Equatable, Sendable {
    /// The connection did not come about.
    case connectFailed(CloseReason)
    /// The endpoint closed or reset the connection before the first byte of a response.
    /// - `wasReused`: other requests had been answered on it, so the endpoint may have closed it while it was
    ///   idle, before it saw this one.
    case closedBeforeResponse(wasReused: Bool)
    /// The endpoint has not begun to process the request, and says so (RFC 9113 §8.7): it can be sent again whatever
    /// it asks for.
    /// - `tookOthers`: the endpoint ends a connection (GOAWAY, RFC 9113 §6.8) on which it did process requests.
    case refused(tookOthers: Bool)
    /// The endpoint ended the response before its end, and why: `.truncated` where it just closed the connection.
    case truncated(StreamReset)
    /// The endpoint did not speak HTTP.
    case protocolError
    /// A connection that has left HTTP ended.
    case tunnelClosed(CloseReason)
    /// The cluster is at a limit, or has no endpoint to try, or the process is out of descriptors.
    case overflow, noEndpoint, exhausted

    /// The endpoint broke the request off.
    package var isReset: Bool {
        switch self {
        case .closedBeforeResponse, .refused, .truncated: true
        case .connectFailed, .protocolError, .tunnelClosed, .overflow, .noEndpoint, .exhausted: false
        }
    }

    /// The endpoint has not begun with the request.
    package var wasRefused: Bool { if case .refused = self { true } else { false } }

    /// Whether outlier detection holds it against the endpoint. Connects that failed are counted where connections are.
    package var isFailureOfEndpoint: Bool {
        switch self {
        case .closedBeforeResponse(let wasReused): !wasReused
        case .truncated, .protocolError: true
        case .connectFailed, .refused, .tunnelClosed, .overflow, .noEndpoint, .exhausted: false
        }
    }
}
