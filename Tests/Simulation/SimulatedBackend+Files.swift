package import Engine
internal import Glibc

/// Descriptors: what they stand for, and who may use them when.
extension SimulatedBackend {
    /// A listening socket for `Worker.addListener`.
    package func makeListener() -> Int32 {
        guard let file = openFile(.listener) else { preconditionFailure("no descriptor for a listener") }
        return file.descriptor
    }

    /// A peer that connects to the listener, as soon as the worker accepts; nil when it is closed.
    package func connectPeer(to listener: Int32, plan: SimulatedPeer.Plan, from address: NetworkAddress?)
        -> SimulatedPeer?
    {
        guard let file = files[Int(listener - Self.descriptorBase)], case .listener = file.kind else { return nil }
        let (near, peer) = network.makeConnection(plan: plan)
        near.other.address = address
        file.acceptQueue.append(near)
        network.touch(file)
        return peer
    }

    package var openDescriptors: Int { files.reduce(0) { $0 + ($1 == nil ? 0 : 1) } }

    /// Bytes in pipes that are open.
    package var bytesInPipes: Int {
        files.reduce(0) { sum, file in
            if let file, case .pipeReadEnd(let pipe) = file.kind { sum + pipe.queue.count } else { sum }
        }
    }

    package var openListeners: Int {
        files.reduce(0) { sum, file in
            if let file, case .listener = file.kind { sum + 1 } else { sum }
        }
    }

    /// Pipe ends that are open.
    package var openPipeEnds: Int {
        files.reduce(0) { sum, file in
            switch file?.kind {
            case .pipeReadEnd, .pipeWriteEnd: sum + 1
            case .stream, .listener, nil: sum
            }
        }
    }

    /// The lowest free descriptor, as the kernel hands them out.
    func openFile(_ kind: SimulatedSocket.Kind) -> SimulatedSocket? {
        let index = files.firstIndex { $0 == nil } ?? files.count
        guard index < descriptorsMax else { return nil }
        let file = SimulatedSocket(descriptor: Self.descriptorBase + Int32(index), kind: kind)
        if index == files.count { files.append(file) } else { files[index] = file }
        return file
    }

    /// The open file behind `descriptor`; using one that is closed is a breach.
    func file(_ descriptor: Int32, for use: String) -> SimulatedSocket? {
        let index = Int(descriptor - Self.descriptorBase)
        guard index >= 0, index < files.count, let file = files[index], !file.isCloseQueued else {
            violations.append("\(use) on descriptor \(descriptor), which is closed")
            return nil
        }
        return file
    }

    /// Executes a close.
    func release(_ file: SimulatedSocket) {
        files[Int(file.descriptor - Self.descriptorBase)] = nil
        for operation in file.operations {
            // A poll for writing is another connection's: that it was cancelled is all that can be asked.
            if operation.kind == .writable, operation.isCancelled || operation.isDone { continue }
            violations.append("descriptor \(file.descriptor) closed with \(operation.kind) in flight")
        }
        switch file.kind {
        case .stream:
            if let endpoint = file.endpoint {
                endpoint.resetsOnClose = file.resetsOnClose
                network.close(endpoint)
            }
            if network.random.chance(network.perturbation.staleCompletion) { addStaleAnswer(of: file) }
        case .listener:
            for endpoint in file.acceptQueue {
                endpoint.resetsOnClose = true
                network.close(endpoint)
            }
        case .pipeReadEnd(let pipe), .pipeWriteEnd(let pipe):
            pipe.openEnds -= 1
        }
    }

    /// An answer with the id of a connection that is gone.
    private func addStaleAnswer(of file: SimulatedSocket) {
        guard !file.usedIDs.isEmpty else { return }
        let id = network.random.pick(file.usedIDs)
        var completion = Completion(id: id, result: -ECANCELED)
        if id.operation == .receive, network.random.chance(600), let buffer = takeBuffer() {
            completion.flags = network.random.chance(500) ? [.buffer, .more] : .buffer
            completion.buffer = buffer
            completion.result = network.random.chance(800) ? Int32(network.random.number(1, bufferBytes)) : 0
        }
        let readyNs = network.nowNs + network.random.next() % (network.perturbation.delayMaxNs + 1)
        answers.append(Answer(completion: completion, operation: nil, readyNs: readyNs))
    }

    // MARK: Accepting

    /// A descriptor, or a negative errno: -EAGAIN when nobody waits.
    func acceptOne(from listener: SimulatedSocket) -> Int32 {
        guard !listener.acceptQueue.isEmpty else { return -EAGAIN }
        if network.random.chance(network.perturbation.noDescriptor) { return -EMFILE }
        if network.random.chance(network.perturbation.abortedAccept) {
            let endpoint = listener.acceptQueue.removeFirst()
            endpoint.resetsOnClose = true
            network.close(endpoint)
            return -ECONNABORTED
        }
        // The descriptor comes first: without one the connection stays in the queue.
        guard let file = openFile(.stream) else { return -EMFILE }
        attach(listener.acceptQueue.removeFirst(), to: file)
        return file.descriptor
    }

    func attach(_ endpoint: SimulatedEndpoint, to file: SimulatedSocket) {
        file.endpoint = endpoint
        endpoint.socket = file
        file.hasNews = endpoint.isReadable
    }

    // MARK: Splicing

    func spliceIn(_ source: SimulatedSocket, _ pipe: SimulatedPipe, _ count: Int) -> Int {
        guard let endpoint = source.endpoint else { return -Int(ENOTCONN) }
        if source.receive != nil { violations.append("splice from \(source.descriptor) with a receive in flight") }
        if pipe.room == 0 { return -Int(EAGAIN) }
        var taken = min(count, endpoint.receiveQueue.count, pipe.room)
        if taken == 0 {
            if endpoint.hasFailed { return -Int(endpoint.error) }
            return endpoint.endArrived ? 0 : -Int(EAGAIN)
        }
        if network.random.chance(network.perturbation.shortRead) { taken = network.random.number(1, taken) }
        endpoint.receiveQueue.move(taken, to: pipe.queue)
        pipe.added(taken)
        network.transmit(endpoint.other)
        return taken
    }

    func spliceOut(_ pipe: SimulatedPipe, _ target: SimulatedSocket, _ count: Int) -> Int {
        guard let endpoint = target.endpoint else { return -Int(ENOTCONN) }
        if target.send != nil { violations.append("splice into \(target.descriptor) with a send in flight") }
        if endpoint.hasFailed { return -Int(endpoint.error == ETIMEDOUT ? ETIMEDOUT : EPIPE) }
        if endpoint.endQueued {
            violations.append("splice into \(target.descriptor) after its end")
            return -Int(EPIPE)
        }
        var given = min(count, pipe.queue.count, endpoint.transmitQueue.free)
        if given == 0 { return -Int(EAGAIN) }
        if network.random.chance(network.perturbation.shortWrite) { given = network.random.number(1, given) }
        pipe.queue.move(given, to: endpoint.transmitQueue)
        pipe.removed(given)
        network.transmit(endpoint)
        return given
    }
}
