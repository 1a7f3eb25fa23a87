internal import Engine
internal import HTTP
internal import Upstream

/// A request on its way to the connection that it was given.
extension RouterFilter {
    /// The connection is there.
    func ready(_ stream: HTTPStream, _ upstream: UpstreamConnection) {
        precondition(!stream.isEnded, "a request that is over was withdrawn from its pool")
        unsafe stream.route.upstream = upstream
        stream.hot.value.info.endpoint = Int32(upstream.endpoint)
        stream.route.isReady = true
        stream.route.isPending = false
        startTryTimer(stream)
        stream.trace { $0.willWrite(stream, $1) }
        let hasEnd = stream.requestEnded && !stream.holdsRequestBody
        let hasKept = !stream.route.keptBody.isEmpty
        upstream.write(
            stream.request, of: stream, isComplete: hasEnd && !hasKept, offersUpgrade: stream.route.offersTunnel)
        if hasKept {
            let kept = stream.route.keptBody
            ByteSlice.withBytes(of: kept) { $0.withSpan { upstream.write(stream.worker.copy($0), of: stream) } }
            if hasEnd { upstream.end(stream) }
        }
        if stream.route.hasMirrors, !stream.route.offersTunnel, !stream.route.isMirrored,
            let route = unsafe stream.route.route
        {
            mirror(stream, route)
        }
        if !hasEnd { stream.upstreamReady() }
    }

    /// A piece of the request's body. Only between `ready` and the response's end.
    func requestBody(_ stream: HTTPStream, _ data: consuming Lease) {
        guard let upstream = unsafe stream.route.upstream else { return stream.worker.discard(data) }
        forEachMirror(stream) { $0.copy(data) }
        keepForRetry(data, of: stream)
        upstream.write(data, of: stream)
    }

    /// A body that is small is kept where the route may try again. Beyond, there is no other try.
    private func keepForRetry(_ data: borrowing Lease, of stream: HTTPStream) {
        guard !stream.route.bodySent else { return }
        guard stream.route.hasRetry, !stream.route.offersTunnel,
            stream.route.keptBody.count + data.count <= Self.keptBodyMax
        else {
            stream.route.bodySent = true
            stream.route.keptBody = []
            return
        }
        data.withBytes { span in unsafe span.withUnsafeBytes { unsafe stream.route.keptBody.append(contentsOf: $0) } }
    }

    /// Right before the end (RFC 9110 §6.5).
    func requestTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        guard let upstream = unsafe stream.route.upstream else { return }
        stream.route.bodySent = true
        forEachMirror(stream) { $0.copyTrailers(fields) }
        upstream.writeTrailers(fields, of: stream)
    }

    /// The request is complete: the time of the route begins.
    func requestEnd(_ stream: HTTPStream) {
        startRouteTimer(stream)
        forEachMirror(stream) { $0.end() }
        detachMirrors(stream)
        guard let upstream = unsafe stream.route.upstream, stream.route.isReady else { return }
        if stream.request.bodyLength == .unknown, !stream.route.hasRetry {
            stream.route.bodySent = true
        }
        upstream.end(stream)
    }
}
