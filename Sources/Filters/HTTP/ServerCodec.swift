internal import Engine
internal import HTTP
internal import Upstream

/// Turns the bytes of a client's connection into streams and their responses into bytes: one subclass for each version
/// of HTTP. Everything above is the same for all of them.
///
/// The codec lives with its connection. It is told by the connection manager what happens on the connection, and by
/// each stream what to send; every call of a stream names it, because some versions carry many at once.
@safe
class ServerCodec {
    /// Owns this codec, so it is there. See `withManager`.
    private final let owner: Unmanaged<HTTPConnectionManager>
    final let connection: Connection
    /// No other filter of the connection is asked before something is sent.
    private final let isFirstFilter: Bool

    init(_ manager: HTTPConnectionManager) {
        unsafe owner = Unmanaged.passUnretained(manager)
        connection = manager.connection
        unsafe isFirstFilter = manager.previous == nil
    }

    final var worker: Worker { connection.worker }
    final var manager: HTTPConnectionManager { unsafe owner.takeUnretainedValue() }

    /// Runs `body` on the connection's manager without touching its reference count.
    @inline(__always)
    final func withManager<R>(_ body: (HTTPConnectionManager) -> R) -> R { unsafe owner._withUnsafeGuaranteedRef(body) }

    /// Sends to the client, past the filters before this one.
    @inline(__always)
    final func write(_ data: consuming Lease) {
        if isFirstFilter { connection.write(data) } else { manager.forwardWrite(data) }
    }

    // MARK: From the connection

    func onData(_ data: consuming Lease) {}
    /// The client has ended its stream.
    func onEnd() {}
    /// The client does not take what is sent as fast as it comes, or does again.
    func onBlocked(_ isBlocked: Bool) {}
    func onIdle() {}
    func onDeadline() {}
    /// The turn ends: what was put off (`Connection.requestFlush`) is to be written.
    func onFlush() {}
    /// Something happened to a transfer from the client's connection that this codec has asked for.
    func onTransfer(_ event: TransferEvent) {}
    func onDrain() {}
    func onClose(_ reason: CloseReason) {}

    // MARK: From streams: responses

    /// 1xx, but for 101.
    func sendInformational(_ head: inout ResponseHead, of stream: HTTPStream) {}
    /// The final head. What identifies the proxy is in it already; framing is the codec's.
    func sendHead(_ head: inout ResponseHead, of stream: HTTPStream) {}
    func sendBody(_ data: consuming Lease, of stream: HTTPStream) {}
    /// Right before the end.
    func sendTrailers(_ fields: borrowing HeaderTable, of stream: HTTPStream) {}
    /// The response is complete. Ends the stream, at once or when its request is complete as well.
    func sendEnd(of stream: HTTPStream) {}
    /// The response ends before its end, and the client must see that. Ends the stream.
    func abort(_ stream: HTTPStream) {}

    /// Where the next `count` bytes of the response's body (`.max`: all until the end) may be spliced to, after what was
    /// sent so far; nil where they have to pass through `sendBody`. Nothing has been decided yet: `transferBody` follows,
    /// or nothing.
    func bodyDestination(_ count: UInt64, of stream: HTTPStream) -> Connection? { nil }
    /// The next `count` bytes of the body go to `bodyDestination` by themselves.
    func transferBody(_ count: UInt64, of stream: HTTPStream) {}

    // MARK: From streams: requests

    /// `HTTPStream.wantsRequestBody` may have become true.
    func requestBodyWanted(by stream: HTTPStream) {}
    /// Whoever gets the request's body does not take it as fast as it comes, or does again.
    func blockRequestBody(_ isBlocked: Bool, of stream: HTTPStream) {}
    /// All of the body is at hand, so it will be read even if nobody wants it.
    func hasWholeBody(of stream: HTTPStream) -> Bool { stream.requestEnded }
    /// The request did not come in time, and is about to be answered.
    func requestTimedOut(_ stream: HTTPStream) {}
    /// How long the stream may be without a byte either way, in nanoseconds; 0 for no limit.
    func setIdleTimeout(ns: UInt64, of stream: HTTPStream) {}
    /// Calls `stream.deadlinePassed` when the monotonic clock is at `deadlineNs`; `UInt64.max` for never. False when the
    /// codec does not: then a timer is needed.
    func setDeadline(atNs deadlineNs: UInt64, of stream: HTTPStream) -> Bool { false }

    /// Tells the stream what has gone of its request's body to `requestDestination`.
    func accountForTransfer(of stream: HTTPStream) {}

    // MARK: From streams: tunnels

    /// The stream leaves HTTP: what comes from either side passes as it is.
    func startTunnel(_ stream: HTTPStream, to upstream: UpstreamConnection) {}
    /// The endpoint has ended its side of a tunnel; the other direction goes on.
    func tunnelEnded(_ stream: HTTPStream) {}
    /// The endpoint's side is gone.
    func tunnelClosed(_ stream: HTTPStream, _ reason: CloseReason) {}
}
