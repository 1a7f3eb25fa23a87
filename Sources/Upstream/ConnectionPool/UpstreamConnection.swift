public import Engine
package import HTTP

/// A connection to an endpoint with a client codec on it, as the router sees it: the same calls for every HTTP version.
///
/// Each call names the request that it is for, because a version may carry many at once. A call may come after the
/// connection's end, or after its request's: then it does nothing, and a lease goes back where it came from.
open class UpstreamConnection: ConnectionHandler {
    /// Which of the cluster's endpoints this is.
    package final let endpoint: Int

    init(endpoint: Int) {
        self.endpoint = endpoint
        super.init()
    }

    // MARK: Requests

    /// Sends the head of the request, framed as its `bodyLength` says.
    ///
    /// - Parameters:
    ///   - isComplete: neither body nor trailers follow: the request has ended
    ///   - offersUpgrade: the endpoint may leave HTTP on this request (RFC 9110 §7.8), or CONNECT asks it to
    package func write(
        _ head: borrowing RequestHead, of request: UpstreamRequest, isComplete: Bool, offersUpgrade: Bool
    ) {}

    /// Sends a piece of the request's body, or of a tunnel.
    package func write(_ data: consuming Lease, of request: UpstreamRequest) {}

    /// Sends the trailers, right before the end. Fields that are marked as not to be forwarded are left out.
    package func writeTrailers(_ fields: borrowing HeaderTable, of request: UpstreamRequest) {}

    /// The request is complete.
    package func end(_ request: UpstreamRequest) {}

    /// The request is given up: nobody wants the answer.
    package func cancel(_ request: UpstreamRequest) {}

    // MARK: Transfers

    /// Where the rest of the request's body may be spliced to, after what was written so far; nil where a body has to
    /// pass through `write`. Nothing has been decided yet: `transferRequestBody` follows, or nothing.
    package func requestDestination(for request: UpstreamRequest) -> Connection? { nil }

    /// The next `count` bytes of the request's body go to `requestDestination` by themselves.
    package func transferRequestBody(_ count: UInt64, of request: UpstreamRequest) {}

    // MARK: Responses

    /// Whoever gets the response does not take it as fast as it comes: what the endpoint may still send is bounded.
    package func pauseReading(for request: UpstreamRequest) {}
    package func resumeReading(for request: UpstreamRequest) {}

    // MARK: Tunnels

    /// The downstream side of a tunnel has ended its stream.
    package func finishWriting(for request: UpstreamRequest) {}

    /// The downstream side of a tunnel is gone.
    package func downstreamClosed(_ reason: CloseReason, of request: UpstreamRequest) {}

    /// Joins this connection to a downstream one for good, where both belong to the tunnel alone.
    ///
    /// - Parameters:
    ///   - requests: bytes from downstream pass without being looked at
    ///   - responses: those to downstream do
    package func relay(with downstream: Connection, requests: Bool, responses: Bool, for request: UpstreamRequest) {}
}
