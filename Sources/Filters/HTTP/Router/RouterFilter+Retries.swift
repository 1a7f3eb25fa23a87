internal import Engine
internal import HTTP
internal import Upstream

/// Whether a request is sent once more, and when.
extension RouterFilter {
    /// Endpoints may refuse a request so often before it fails.
    static let refusalsMax = 3
    /// Unless they took others on that connection. Where each connection takes a few dozen requests and many more are
    /// under way, the same one may be left out again and again; each time some others are not.
    static let leftOutMax = 100
    /// Bytes of a body that are kept for another try.
    static let keptBodyMax = 65_536

    // MARK: Repetitions, which no policy asks for

    /// Nothing of the body went upstream, so the request can be sent again as it is.
    ///
    /// - Parameter isProcessed: the endpoint may have acted on it, so that only what is idempotent is repeated
    func mayRepeat(_ stream: HTTPStream, isProcessed: Bool = true) -> Bool {
        guard !stream.route.bodySent, !stream.route.offersTunnel else { return false }
        return !isProcessed
            || !stream.route.wasRepeated && stream.request.bodyLength.isEmpty && stream.request.method.isIdempotent
    }

    // MARK: Retries of the route's policy

    func isRetriable(_ reason: UpstreamReset, _ retry: RetryPolicy) -> Bool {
        switch reason {
        case .connectFailed: retry.onConnectFailure
        case .refused: retry.onRefusedStream
        case .closedBeforeResponse, .truncated, .protocolError: retry.onReset
        case .overflow, .noEndpoint, .exhausted, .tunnelClosed: false
        }
    }

    /// Takes one of the tries that are left. Counts what the try before came to.
    func mayRetry(_ stream: HTTPStream, _ retry: RetryPolicy) -> Bool {
        guard let pool = unsafe stream.route.pool, !stream.route.bodySent, stream.route.retries < retry.attempts else {
            return false
        }
        if stream.route.isRetry { endRetry(stream, pool, .retriesFailed) }
        guard pool.beginRetry(budget: retry.budget) else { return false }
        stream.route.isRetry = true
        stream.route.retries += 1
        return true
    }

    func endRetry(_ stream: HTTPStream, _ pool: HTTPConnectionPool, _ result: ClusterStat) {
        stream.route.isRetry = false
        pool.endRetry()
        pool.cluster.counters.add(to: result)
    }

    /// Full jitter, so that retries of many requests do not come at once.
    func scheduleRetry(_ stream: HTTPStream, _ retry: RetryPolicy) {
        stream.trace { $0.tryEnds(stream, $1, failed: true) }
        unsafe stream.route.upstream = nil
        stream.route.isReady = false
        stream.updateBodyClock()
        cancelTryTimer(stream)
        let bound = min(retry.backOffBaseNs * (1 << UInt64(stream.route.retries) - 1), retry.backOffMaxNs)
        let delayNs = UInt64.random(in: 0..<max(bound, 1), using: &random)
        stream.route.backOffTimer = stream.worker.schedule(
            stream, tag: StreamTimer.backOff.rawValue, afterNs: delayNs)
    }
}
