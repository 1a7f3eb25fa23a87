internal import Engine
internal import HTTP
internal import Upstream

extension HTTPStream {
    /// Leaves what is known of the exchange with the worker's recorder, at the end of it.
    @inline(__always)
    func record(in recorder: FlightRecorder) {
        let info = hot.value.info
        let startNs = hot.value.startedNs
        var facts = RecordFacts()
        facts.status = hot.value.hasResponse ? hot.value.status.rawValue : 0
        facts.flag = hot.value.flag
        facts.method = request.method
        facts.version = request.version
        facts.failure = info.transportFailure
        facts.tries = UInt8(clamping: route.isAttempted ? route.retries + route.refusals + 1 : 0)
        facts.isLocal = hot.value.isLocalResponse
        facts.responseStarted = hot.value.responseStarted
        facts.isTunnel = route.isTunnel
        var traceID: (high: UInt64, low: UInt64) = (0, 0)
        if let trace, trace.value.isDecided {
            traceID = (trace.value.context.traceHigh, trace.value.context.traceLow)
            facts.hasTraceNumber = traceID.high | traceID.low != 0
        }
        recorder.write { writer in
            writer.set(.startedNs, startNs)
            writer.set(.durationNs, worker.nowNs &- startNs)
            writer.set(.requestEndedNs, at: info.requestEndedNs, from: startNs)
            writer.set(.lastTryNs, at: route.attemptStartedNs, from: startNs)
            writer.set(.upstreamHeadNs, at: info.upstreamHeadNs, from: startNs)
            writer.set(.bytesReceived, info.bytesReceived)
            writer.set(.bytesSent, info.bytesSent)
            writer.set(.facts, facts.word)
            writer.setPair(.listenerAndRoute, UInt32(counters.firstCell), route.routeCell)
            let cluster = UInt32(route.clusterCounters?.firstCell ?? 0)
            let endpoint = info.endpoint < 0 ? 0 : unsafe route.pool?.cluster.firstCell(ofEndpoint: Int(info.endpoint))
            writer.setPair(.clusterAndEndpoint, cluster, UInt32(endpoint ?? 0))
            let details = info.details ?? (facts.flag == .none ? nil : facts.flag.details)
            var lengths = UInt64(details?.utf8CodeUnitCount ?? 0)
            if let details, details.hasPointerRepresentation {
                writer.set(.detailsAddress, UInt64(UInt(bitPattern: unsafe details.utf8Start)))
            } else {
                lengths = 0
            }
            if info.hasHead {
                lengths |= writer.set(.id, request.headers[.xRequestId]) << 16
                // VERSION-TRACEID-PARENT-FLAGS (Trace Context §3.2).
                if facts.hasTraceNumber {
                    writer.setTrace(high: traceID.high, low: traceID.low)
                } else if let parent = request.headers[.traceparent], parent.count >= 55 {
                    lengths |= writer.set(.trace, parent[3..<35]) << 24
                }
                lengths |= writer.set(.host, request.authority) << 32
                // As it came, where the route has changed it.
                let path = request.headers[.xEnvoyOriginalPath] ?? request.path
                lengths |= writer.set(.path, path) << 40
                if path.count > RequestRecord.Text.path.words.count * 8 { lengths |= 1 << 48 }
            }
            writer.set(.lengths, lengths)
        }
    }
}
