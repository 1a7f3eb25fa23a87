internal import Engine
internal import HTTP
internal import Upstream

/// What the endpoint answers, on its way to the filters, and what is counted of it.
extension RouterFilter {
    func responseHead(_ stream: HTTPStream, _ head: inout ResponseHead) {
        if head.status.isInformational, !head.switchesProtocol {
            if let codec = stream.codec { codec.sendInformational(&head, of: stream) }
            return
        }
        cancelTryTimer(stream)
        guard isAnswer(head, to: stream.request) else {
            unsafe stream.route.upstream?.cancel(stream)
            reset(stream, .protocolError)
            return
        }
        count(stream, head.status)
        note(stream, isFailure: head.status.codeClass >= 5)
        if let tracing = stream.tracing, let trace = stream.trace { tracing.upstreamResponse(stream, trace, head) }
        let grpcStatus = GRPC.status(in: head.headers)
        if let grpcStatus { count(stream, grpcStatus: grpcStatus) }
        if stream.route.hasRetry, let retry = unsafe stream.route.route?.retry,
            retry.retries(head.status) || grpcStatus.map(retry.retries(grpcStatus:)) ?? false, mayRetry(stream, retry)
        {
            unsafe stream.route.upstream?.cancel(stream)
            scheduleRetry(stream, retry)
            return
        }
        if stream.route.isRetry, let pool = unsafe stream.route.pool {
            let retry = unsafe stream.route.route?.retry
            let isFailure =
                retry.map { $0.retries(head.status) || grpcStatus.map($0.retries(grpcStatus:)) ?? false } ?? false
            endRetry(stream, pool, isFailure ? .retriesFailed : .retriesSucceeded)
        }
        let ms = (stream.worker.nowNs - stream.route.attemptStartedNs) / 1_000_000
        ByteSlice.withDecimal(ms) { _ = head.headers.set(.xEnvoyUpstreamServiceTime, $0) }
        if head.switchesProtocol {
            stream.route.isTunnel = true
            cancelRouteTimer(stream)
        }
        stream.responseHead(&head)
    }

    /// To a client that has asked by extended CONNECT, any 2xx says that the tunnel is there (RFC 8441 §4). So one of an
    /// endpoint that has ignored the upgrade must not get there; nor the handshake of a WebSocket, whose keys are between
    /// us and the endpoint, with the wrong key.
    private func isAnswer(_ head: borrowing ResponseHead, to request: borrowing RequestHead) -> Bool {
        guard request.isExtendedConnect else { return true }
        guard head.switchesProtocol else { return head.status.codeClass != 2 }
        guard let key = request.headers[.secWebsocketKey] else { return true }
        return WebSocketHandshake.isAccepted(head.headers, key: key)
    }

    /// Trailers from the endpoint, on their way.
    func responseTrailers(_ stream: HTTPStream, _ fields: borrowing HeaderTable) {
        if let status = GRPC.status(in: fields) { count(stream, grpcStatus: status) }
    }

    func responseEnd(_ stream: HTTPStream) {
        if stream.route.isTunnel {
            stream.withCodec { $0.tunnelEnded(stream) }
            return
        }
        recordTime(stream)
        stream.trace { $0.tryEnds(stream, $1, failed: false) }
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
        stream.responseEnd()
    }

    // MARK: Counting

    func count(_ stream: HTTPStream, _ status: HTTPStatus) {
        stream.route.clusterCounters?.countResponse(status)
    }

    private func count(_ stream: HTTPStream, grpcStatus: Int) {
        stream.hot.value.info.grpcStatus = UInt8(grpcStatus)
        guard let pool = unsafe stream.route.pool else { return }
        pool.cluster.counters.add(to: ClusterStat.grpc(status: grpcStatus))
    }

    private func recordTime(_ stream: HTTPStream) {
        let ns = stream.worker.nowNs - stream.route.attemptStartedNs
        stream.route.clusterCounters?.record(ns, in: ClusterStat.requestTime)
    }

    /// What a try came to, for outlier detection.
    func note(_ stream: HTTPStream, isFailure: Bool) {
        guard stream.route.detectsOutliers, let pool = unsafe stream.route.pool,
            let endpoint = unsafe stream.route.upstream?.endpoint
        else { return }
        if isFailure { pool.cluster.noteFailure(of: endpoint) } else { pool.cluster.noteSuccess(of: endpoint) }
    }
}
