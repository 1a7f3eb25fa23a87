/// Why a connection ended. Every reason is a label value of `ringway_connection_closes_total`.
public enum CloseReason: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Both sides ended their streams in order.
    case finished
    /// The peer of this connection reset it.
    case remoteReset
    /// The connection on the other side of the proxy was reset, so this one was too.
    case otherSideReset
    /// The connection on the other side of the proxy ended early: refused, timed out, or drained.
    case otherSideClosed
    /// The peer's host refused the connect; or nobody listens on a Unix socket's path.
    case connectRefused
    /// The connect took longer than its timeout.
    case connectTimeout
    /// The peer's host or network is not reachable.
    case connectUnreachable
    /// The socket failed in some other way while connecting.
    case connectFailed
    /// No bytes in either direction for the idle timeout.
    case idleTimeout
    /// The peer vanished: the kernel gave up retransmitting.
    case transportTimeout
    /// The socket failed in some other way.
    case transportError
    /// The cluster has no endpoint that takes the connection, or is at its connection limit.
    case noUpstream
    /// A filter refused the connection.
    case denied
    /// A rate limit refused the connection, or this process was out of descriptors or table slots for it.
    case limit
    /// A filter or a request handler ended the connection.
    case localClose
    /// The peer broke the protocol that is spoken on the connection.
    case protocolError
    /// The listener was removed or the process is shutting down: the connection ended at the next good moment,
    /// or when the drain timeout had passed.
    case drained

    /// The value of the `reason` label.
    public var label: String {
        switch self {
        case .finished: "finished"
        case .remoteReset: "remote_reset"
        case .otherSideReset: "other_side_reset"
        case .otherSideClosed: "other_side_closed"
        case .connectRefused: "connect_refused"
        case .connectTimeout: "connect_timeout"
        case .connectUnreachable: "connect_unreachable"
        case .connectFailed: "connect_failed"
        case .idleTimeout: "idle_timeout"
        case .transportTimeout: "transport_timeout"
        case .transportError: "transport_error"
        case .noUpstream: "no_upstream"
        case .denied: "denied"
        case .limit: "limit"
        case .localClose: "local_close"
        case .protocolError: "protocol_error"
        case .drained: "drained"
        }
    }

    /// Whether the connection never came about.
    public var isConnectFailure: Bool {
        switch self {
        case .connectRefused, .connectTimeout, .connectUnreachable, .connectFailed: true
        default: false
        }
    }
}
