internal import Engine
internal import Glibc

/// What operations do when their socket changes.
extension SimulatedBackend {
    func serve(_ socket: SimulatedSocket) {
        if let operation = socket.accept, !operation.isDone { serveAccept(operation) }
        guard let endpoint = socket.endpoint else { return }
        if let operation = socket.send, !operation.isDone { serveSend(operation, endpoint) }
        if let operation = socket.receive, !operation.isDone { serveReceive(operation, endpoint) }
        if let operation = socket.readable, !operation.isDone { serveReadable(operation, socket) }
        if endpoint.isWritable {
            for operation in socket.writable where !operation.isDone { finish(operation, Int32(POLLOUT)) }
        }
    }

    private func serveAccept(_ operation: SimulatedOperation) {
        while !operation.isDone {
            let result = acceptOne(from: operation.socket)
            if result == -EAGAIN { return }
            if result < 0 || endsEarly(operation) {
                finish(operation, result)
            } else {
                answer(operation, result, isLast: false)
            }
        }
    }

    // MARK: Receiving

    var hasBuffers: Bool { !providedBuffers.isEmpty }

    func takeBuffer() -> UInt16? {
        guard let buffer = providedBuffers.popFirst() else { return nil }
        bufferPlaces[Int(buffer)] = .taken
        return buffer
    }

    private func serveReceive(_ operation: SimulatedOperation, _ endpoint: SimulatedEndpoint) {
        while !operation.isDone, !endpoint.receiveQueue.isEmpty {
            guard !network.random.chance(network.perturbation.spuriousNoBuffers), let buffer = takeBuffer() else {
                finish(operation, -ENOBUFS)
                return
            }
            var count = min(endpoint.receiveQueue.count, bufferBytes, operation.bytesMax)
            if network.random.chance(network.perturbation.shortRead) { count = network.random.number(1, count) }
            if let memory = unsafe bufferMemory[Int(buffer)] {
                unsafe endpoint.receiveQueue.read(into: memory, count: count)
            }
            network.transmit(endpoint.other)
            if endsEarly(operation) {
                finish(operation, Int32(count), buffer: buffer)
            } else {
                answer(operation, Int32(count), isLast: false, buffer: buffer)
            }
        }
        guard !operation.isDone else { return }
        if endpoint.hasFailed {
            finish(operation, -endpoint.error)
        } else if endpoint.endArrived {
            let hasBuffer = network.random.chance(network.perturbation.emptyBufferAtEnd)
            finish(operation, 0, buffer: hasBuffer ? takeBuffer() : nil)
        }
    }

    /// A multishot poll answers each time something arrives, not as long as something is there, and goes on
    /// after the end of the stream.
    private func serveReadable(_ operation: SimulatedOperation, _ socket: SimulatedSocket) {
        guard socket.hasNews else { return }
        socket.hasNews = false
        // News that come before an answer was taken may be part of it.
        if operation.answersPending > 0, network.random.chance(500) { return }
        if endsEarly(operation) {
            finish(operation, Int32(POLLIN))
        } else {
            answer(operation, Int32(POLLIN), isLast: false)
        }
    }

    // MARK: Sending

    private func serveSend(_ operation: SimulatedOperation, _ endpoint: SimulatedEndpoint) {
        if endpoint.endQueued {
            violations.append("a send on \(operation.socket.descriptor) after its end")
            finish(operation, -EPIPE)
            return
        }
        if endpoint.hasFailed {
            let error = endpoint.error == ETIMEDOUT || network.random.chance(500) ? endpoint.error : EPIPE
            finish(operation, operation.copied > 0 ? Int32(operation.copied) : -error)
            return
        }
        copySlices(of: operation, to: endpoint.transmitQueue)
        network.transmit(endpoint)
        if operation.copied == operation.total {
            finish(operation, Int32(operation.total))
        } else if operation.copied > 0, network.random.chance(network.perturbation.shortWrite) {
            finish(operation, Int32(operation.copied))
        }
    }

    private func copySlices(of operation: SimulatedOperation, to queue: ByteQueue) {
        var position = 0
        for slice in operation.slices {
            let done = max(0, min(slice.count, operation.copied - position))
            let count = min(slice.count - done, queue.free)
            if count > 0 {
                unsafe queue.write(from: slice.start + done, count: count)
                operation.copied += count
            }
            position += slice.count
        }
    }

    // MARK: Connecting

    func startConnect(_ operation: SimulatedOperation) {
        guard let server = operation.server else {
            finish(operation, -ECONNREFUSED)
            return
        }
        operation.connectNumber = server.connectCount
        server.connectCount += 1
        operation.outcome = server.answer(operation.connectNumber)
        guard operation.outcome != .blackHole else { return }
        let delayNs = server.connectNs(operation.connectNumber)
        network.events.add(.connectOutcome(operation), atNs: network.nowNs + delayNs)
    }

    func finishConnect(_ operation: SimulatedOperation) {
        guard !operation.isDone, let server = operation.server else { return }
        switch operation.outcome {
        case .accept:
            let (near, peer) = network.makeConnection(plan: server.plan(operation.connectNumber))
            server.peers.append(peer)
            peer.dialogue = server.dialogue(peer)
            attach(near, to: operation.socket)
            finish(operation, 0)
        case .refuse: finish(operation, -ECONNREFUSED)
        case .unreachable: finish(operation, -EHOSTUNREACH)
        case .blackHole: break
        }
    }
}
