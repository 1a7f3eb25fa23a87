internal import Config
internal import Engine
internal import HTTP
internal import Upstream

/// The end of an exchange: whether it is exported after all, and the record of it.
extension HTTPTracing {
    /// The exchange is over; its logs are written next.
    func finish(_ stream: HTTPStream, _ trace: Stable<TraceState>) {
        guard trace.value.isDecided, !trace.value.isLeftOut, plan.exporters != 0 else { return }
        let flag = stream.hot.value.flag
        let status = stream.hot.value.responseStarted ? stream.hot.value.status.rawValue : 0
        let grpcStatus = stream.hot.value.info.grpcStatus.map(Int16.init) ?? -1
        let brokeOff = stream.hot.value.responseStarted && !stream.hot.value.isLocalResponse && flag.endsResponses
        let isError = status == 0 || status >= 500 || grpcStatus > 0 || brokeOff
        if trace.value.reason == .notTraced {
            guard isLate(stream, isError: isError && !flag.isClientsDoing) else { return }
            trace.value.reason = .late
            counters.add(to: TracingStat.late)
        }
        tryEnds(stream, trace, failed: stream.hot.value.isLocalResponse)
        let first = ring.nextPlace()
        guard
            let place = first.room >= SpanRecord.bytesMax
                ? first : ring.otherPlace(than: first, for: SpanRecord.bytesMax)
        else { return counters.add(to: TracingStat.dropped) }
        var record = SpanRecord()
        record.status = status
        record.isError = isError
        record.grpcStatus = grpcStatus
        record.reason = trace.value.reason.rawValue
        ring.publish(write(&record, of: stream, trace, at: place), at: place)
    }

    /// Exported because of how it went, within the rate.
    private func isLate(_ stream: HTTPStream, isError: Bool) -> Bool {
        // A tunnel may last for days; what can be slow is its beginning.
        let endNs = stream.route.isTunnel ? stream.hot.value.info.upstreamHeadNs : worker.nowNs
        let isSlow = late.slowThreshold.map { endNs &- stream.hot.value.startedNs >= $0.nanoseconds } ?? false
        guard isSlow || isError && late.errors else { return false }
        let second = worker.nowNs / 1_000_000_000
        if second != lateSecond {
            lateSecond = second
            lateCount = 0
        }
        guard lateCount < late.perSecond else {
            counters.add(to: TracingStat.lateOverLimit)
            return false
        }
        lateCount += 1
        return true
    }

    /// - Returns: its bytes
    private func write(
        _ record: inout SpanRecord, of stream: HTTPStream, _ trace: Stable<TraceState>, at place: ByteRing.Place
    ) -> Int {
        let context = trace.value.context
        let nowNs = worker.nowNs
        record.tryCount = UInt16(trace.value.tryCount)
        record.exporters = plan.exporters
        record.traceHigh = context.traceHigh
        record.traceLow = context.traceLow
        record.spanID = context.spanID
        record.parentID = context.parentID
        record.startedNs = clock.epochNs(of: stream.hot.value.startedNs, nowNs: nowNs)
        record.endedNs = clock.epochNs(of: nowNs, nowNs: nowNs)
        record.requestBytes = stream.hot.value.info.bytesReceived
        record.responseBytes = stream.hot.value.info.bytesSent
        var offset = MemoryLayout<SpanRecord>.stride
        for index in 0..<trace.value.tryCount {
            var one = trace.value.tries[index]
            one.startedNs = clock.epochNs(of: one.startedNs, nowNs: nowNs)
            one.endedNs = clock.epochNs(of: one.endedNs, nowNs: nowNs)
            // The place has room for a record of every size that there is.
            unsafe place.memory.storeBytes(of: one, toByteOffset: offset, as: TraceTry.self)
            offset += MemoryLayout<TraceTry>.stride
        }
        let room = SpanRecord.bytesMax - offset
        var texts = unsafe SpanTextWriter(start: place.memory + offset, bytesMax: room)
        writeTexts(of: stream, trace, to: &texts)
        // The next record begins aligned.
        let count = (offset + texts.out.count + 7) & ~7
        record.groupBytes = texts.groupBytes
        record.byteCount = UInt32(count)
        unsafe place.memory.storeBytes(of: record, as: SpanRecord.self)
        return count
    }

    private func writeTexts(of stream: HTTPStream, _ trace: Stable<TraceState>, to texts: inout SpanTextWriter) {
        let hasHead = stream.hot.value.info.hasHead
        let way = SpanWayMemory.Way(stream, trace)
        if let way, let known = ways.texts(of: way) {
            texts.append(group: known)
        } else {
            writeWay(of: stream, trace, hasHead: hasHead, to: &texts)
            if let way { ways.keep(texts.openGroup, of: way) }
        }
        texts.end(.way)
        stream.withCodec { codec in
            codec.withManager { manager in
                if let remote = manager.addresses?.remote { texts.append(.peerAddress, remote.text) }
            }
        }
        if hasHead {
            write(.userAgent, .userAgent, of: stream, to: &texts)
            write(.downstreamCluster, .xEnvoyDownstreamServiceCluster, of: stream, to: &texts)
        }
        texts.end(.client)
        writeName(stream, trace, hasHead: hasHead, to: &texts)
        if hasHead {
            write(.scheme, .xForwardedProto, of: stream, to: &texts)
            texts.append(.host, stream.request.authority)
            writePath(stream, to: &texts)
        }
        texts.end(.target)
        if hasHead {
            write(.requestID, .xRequestId, of: stream, to: &texts)
            write(.clientTraceID, .xClientTraceId, of: stream, to: &texts)
        }
        if hasHead, GRPC.isRequest(stream.request) { writeGRPC(stream, to: &texts) }
        if !trace.value.skyWalking.isEmpty { texts.append(.skyWalking, trace.value.skyWalking, max: 2048) }
        if !tags.isEmpty {
            let context = CommandContext(stream)
            for tag in tags {
                withText(tag.writer, context) { value in
                    guard !value.isEmpty else { return }
                    ByteSlice.withBytes(of: tag.name) { texts.append(.custom, key: $0, value, max: 1024) }
                }
            }
        }
        texts.end(.own)
    }

    private func writeWay(
        of stream: HTTPStream, _ trace: Stable<TraceState>, hasHead: Bool, to texts: inout SpanTextWriter
    ) {
        texts.append(.listener, listener.bytes)
        if !stream.route.routeName.isEmpty { texts.append(.route, stream.route.routeName) }
        let flag = stream.hot.value.flag
        if flag != .none { texts.append(.responseFlags, ByteSlice(flag.label)) }
        if let names = stream.route.clusterNames {
            texts.append(.upstreamCluster, names.cluster)
            // Also without an endpoint, so that the texts keep the order of the tries.
            for index in 0..<trace.value.tryCount {
                texts.append(.upstreamAddress, names.endpoint(Int(trace.value.tries[index].endpoint)) ?? .empty)
            }
            if trace.value.tryCount == 0 {
                texts.append(.upstreamAddress, names.endpoint(Int(stream.hot.value.info.endpoint)) ?? .empty)
            }
        }
        if !trace.value.tryName.isEmpty { trace.value.tryName.withBytes { texts.append(.tryName, $0) } }
        if hasHead {
            texts.append(.method, stream.request.methodText)
            texts.append(.version, ByteSlice(stream.request.version.text))
        }
    }

    /// What Envoy tells of a gRPC request besides, under its names.
    private func writeGRPC(_ stream: HTTPStream, to texts: inout SpanTextWriter) {
        texts.append(.custom, key: ByteSlice("grpc.path"), stream.request.path)
        texts.append(.custom, key: ByteSlice("grpc.authority"), stream.request.authority)
        let fields: [2 of (StaticString, HeaderName)] = [
            ("grpc.content_type", .contentType), ("grpc.timeout", .grpcTimeout),
        ]
        for index in fields.indices {
            guard let value = stream.request.headers[fields[index].1] else { continue }
            texts.append(.custom, key: ByteSlice(fields[index].0), value)
        }
    }

    private func write(_ kind: SpanText, _ name: HeaderName, of stream: HTTPStream, to texts: inout SpanTextWriter) {
        if let value = stream.request.headers[name] { texts.append(kind, value) }
    }

    /// With the query, and the client's where the route has another.
    private func writePath(_ stream: HTTPStream, to texts: inout SpanTextWriter) {
        let bytesMax = plan.configuration.maxPathTagLength
        let path = stream.request.headers[.xEnvoyOriginalPath] ?? stream.request.path
        guard let query = stream.request.query, path.count < bytesMax else {
            return texts.append(.path, path, max: bytesMax)
        }
        unsafe withUnsafeTemporaryAllocation(byteCount: bytesMax, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var out = unsafe ByteWriter(start: start, capacity: bytesMax)
            out.append(path)
            out.append(UInt8(ascii: "?"))
            // path.count < bytesMax, so there is room for what comes before.
            out.append(query.prefix(bytesMax - out.count))
            texts.append(.path, unsafe ByteSlice(start: start, count: out.count), max: bytesMax)  // written just now
        }
    }

    /// Of the listener's format, of the request, of the route, or the host.
    private func writeName(
        _ stream: HTTPStream, _ trace: Stable<TraceState>, hasHead: Bool, to texts: inout SpanTextWriter
    ) {
        if let operation {
            var isWritten = false
            withText(operation, CommandContext(stream)) { text in
                guard !text.isEmpty else { return }
                texts.append(.name, text)
                isWritten = true
            }
            if isWritten { return }
        }
        let route = Int(trace.value.route)
        if !trace.value.decoratedName.isEmpty {
            texts.append(.name, trace.value.decoratedName)
        } else if route >= 0, let name = plan.routes[route]?.operation, !name.isEmpty {
            ByteSlice.withBytes(of: name) { texts.append(.name, $0) }
        } else {
            texts.append(.name, hasHead ? stream.request.authority : .empty)
        }
    }

    private func withText(_ writer: CommandWriter, _ context: CommandContext, _ body: (ByteSlice) -> Void) {
        unsafe withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var out = unsafe ByteWriter(start: start, capacity: 1024)
            writer.write(context, to: &out)
            // What has no room is not written at all.
            guard out.fits else { return }
            body(unsafe ByteSlice(start: start, count: out.count))  // written just now
        }
    }
}

extension ResponseFlag {
    /// The client went away, or said what nobody understands: no failure of the services behind.
    fileprivate var isClientsDoing: Bool {
        switch self {
        case .downstreamConnectionTermination, .downstreamRemoteReset, .downstreamProtocolError: true
        default: false
        }
    }

    /// Of a response that had begun: it is not whole, and that is not the client's doing.
    fileprivate var endsResponses: Bool {
        switch self {
        case .upstreamConnectionTermination, .upstreamRequestTimeout, .streamIdleTimeout, .durationTimeout: true
        default: false
        }
    }
}
