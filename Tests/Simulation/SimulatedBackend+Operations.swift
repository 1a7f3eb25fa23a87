internal import Engine
internal import Glibc

/// Operations from submission to answer.
extension SimulatedBackend {
    // MARK: Submitting

    @discardableResult
    func queue(
        _ kind: SimulatedOperation.Kind, _ descriptor: Int32, _ id: OperationID, isMultishot: Bool = false
    ) -> SimulatedOperation? {
        guard let file = file(descriptor, for: "\(kind)") else { return nil }
        let operation = SimulatedOperation(kind, id, file, isMultishot: isMultishot)
        submissions.append(.start(operation))
        return operation
    }

    func takeSnapshot(of operation: SimulatedOperation) {
        for slice in operation.slices {
            unsafe operation.snapshot.append(contentsOf: UnsafeRawBufferPointer(start: slice.start, count: slice.count))
            operation.total += slice.count
        }
        if operation.total == 0 { violations.append("a send of nothing") }
    }

    func submit() {
        for submission in submissions {
            trace?("\(network.nowNs) \(describe(submission))")
            switch submission {
            case .start(let operation): start(operation)
            case .cancel(let id):
                if let operation = inFlight[id.rawValue], !operation.isDone {
                    cancel(operation)
                } else {
                    answerHousekeeping(-ENOENT)
                }
            case .cancelAll(let descriptor):
                guard let file = files[Int(descriptor - Self.descriptorBase)] else { break }
                let running = file.operations.filter { !$0.isDone }
                for operation in running { cancel(operation) }
                if running.isEmpty { answerHousekeeping(-ENOENT) }
            case .close(let descriptor):
                if let file = files[Int(descriptor - Self.descriptorBase)] { release(file) }
            }
        }
        submissions.removeAll(keepingCapacity: true)
    }

    private func describe(_ submission: Submission) -> String {
        switch submission {
        case .start(let operation): "start \(operation)"
        case .cancel(let id): "cancel \(id.operation.map { "\($0)" } ?? "?") of slot \(id.slot)"
        case .cancelAll(let descriptor): "cancel all on \(descriptor)"
        case .close(let descriptor): "close \(descriptor)"
        }
    }

    private func answerHousekeeping(_ result: Int32) {
        let id = OperationID(.housekeeping, slot: 0, generation: 0)
        answers.append(Answer(completion: Completion(id: id, result: result), operation: nil, readyNs: network.nowNs))
    }

    private func start(_ operation: SimulatedOperation) {
        let socket = operation.socket
        let isTaken: Bool
        switch operation.kind {
        case .accept:
            isTaken = socket.accept != nil
            socket.accept = operation
        case .receive:
            isTaken = socket.receive != nil
            socket.receive = operation
        case .send:
            isTaken = socket.send != nil
            socket.send = operation
        case .connect:
            isTaken = socket.connect != nil
            socket.connect = operation
        case .readable:
            isTaken = socket.readable != nil
            socket.readable = operation
            socket.hasNews = socket.endpoint?.isReadable ?? false
        case .writable:
            isTaken = socket.writable.contains { $0.id == operation.id }
            socket.writable.append(operation)
        }
        if isTaken { violations.append("a second \(operation.kind) in flight on \(socket.descriptor)") }
        inFlight[operation.id.rawValue] = operation
        // A poll for writing belongs to the connection at the other side of the proxy.
        if operation.kind != .accept, operation.kind != .writable { socket.usedIDs.append(operation.id) }
        switch operation.kind {
        case .connect: startConnect(operation)
        case .receive where !hasBuffers:
            // The kernel looks for a buffer before it looks for data.
            finish(operation, -ENOBUFS)
        default: network.touch(socket)
        }
    }

    // MARK: Cancelling

    private func cancel(_ operation: SimulatedOperation) {
        operation.isCancelled = true
        if network.random.chance(network.perturbation.lateCancel) {
            let delayNs = network.random.next() % (network.perturbation.delayMaxNs + 1)
            network.events.add(.cancellation(operation), atNs: network.nowNs + delayNs)
        } else {
            finishCancelled(operation)
        }
    }

    func finishCancelled(_ operation: SimulatedOperation) {
        guard !operation.isDone else { return }
        // A send that has moved bytes says how many.
        finish(operation, operation.copied > 0 ? Int32(operation.copied) : -ECANCELED)
    }

    // MARK: Answering

    /// The last answer of `operation`.
    func finish(_ operation: SimulatedOperation, _ result: Int32, buffer: UInt16? = nil) {
        operation.isDone = true
        answer(operation, result, isLast: true, buffer: buffer)
    }

    func answer(_ operation: SimulatedOperation, _ result: Int32, isLast: Bool, buffer: UInt16? = nil) {
        var flags: Completion.Flags = isLast ? [] : .more
        if buffer != nil { flags.insert(.buffer) }
        let completion = Completion(id: operation.id, result: result, flags: flags, buffer: buffer ?? 0)
        var readyNs = network.nowNs
        if network.random.chance(network.perturbation.delayedCompletion) {
            readyNs += network.random.next() % (network.perturbation.delayMaxNs + 1)
        }
        operation.lastReadyNs = max(operation.lastReadyNs, readyNs)
        operation.answersPending += 1
        answers.append(Answer(completion: completion, operation: operation, readyNs: operation.lastReadyNs))
    }

    /// Whether a multishot operation is to end with this answer.
    func endsEarly(_ operation: SimulatedOperation) -> Bool {
        guard operation.isMultishot else { return true }
        guard network.random.chance(network.perturbation.endedMultishot) else { return false }
        counts.overflows += 1
        return true
    }

    /// Hands out answers that are ready: 0 when none is.
    func handOut(into completions: CompletionBatch) -> Int {
        let nowNs = network.nowNs
        var ready: [Int] = []
        for index in answers.indices where answers[index].readyNs <= nowNs { ready.append(index) }
        guard !ready.isEmpty else { return 0 }
        if network.perturbation.shufflesCompletions { shuffle(&ready) }
        var limit = min(ready.count, CompletionBatch.capacity)
        if network.random.chance(network.perturbation.smallBatch) { limit = network.random.number(1, limit) }
        for position in 0..<limit {
            let answer = answers[ready[position]]
            completions[position] = answer.completion
            trace?(
                "\(network.nowNs)     \(answer.operation.map { "\($0)" } ?? "stale"): \(answer.completion.result) \(answer.completion.flags.contains(.more) ? "more" : "last")"
            )
            if let operation = answer.operation { handedOut(answer.completion, of: operation) }
            answers[ready[position]].readyNs = .max
        }
        answers.removeAll { $0.readyNs == .max }
        return limit
    }

    /// Any order that keeps each operation's answers in theirs.
    private func shuffle(_ ready: inout [Int]) {
        let places = ready.shuffled(using: &network.random)
        var byOperation: [ObjectIdentifier: [Int]] = [:]
        for index in ready.reversed() {
            if let operation = answers[index].operation {
                byOperation[ObjectIdentifier(operation), default: []].append(index)
            }
        }
        ready = places.map { index in
            guard let operation = answers[index].operation else { return index }
            return byOperation[ObjectIdentifier(operation)]?.popLast() ?? index
        }
    }

    private func handedOut(_ completion: Completion, of operation: SimulatedOperation) {
        operation.answersPending -= 1
        guard !completion.flags.contains(.more) else { return }
        if inFlight[operation.id.rawValue] === operation { inFlight[operation.id.rawValue] = nil }
        let socket = operation.socket
        switch operation.kind {
        case .accept: socket.accept = nil
        case .receive: socket.receive = nil
        case .send:
            socket.send = nil
            checkSnapshot(of: operation)
        case .connect:
            socket.connect = nil
            if operation.address == nil { violations.append("the address of a connect in flight was freed") }
        case .readable: socket.readable = nil
        case .writable: socket.writable.removeAll { $0 === operation }
        }
    }

    private func checkSnapshot(of operation: SimulatedOperation) {
        var offset = 0
        for slice in operation.slices {
            let isUnchanged = unsafe operation.snapshot.withUnsafeBytes { snapshot in
                unsafe slice.count == 0 || memcmp(snapshot.baseAddress! + offset, slice.start, slice.count) == 0
            }
            if !isUnchanged {
                violations.append("the memory of a send in flight on \(operation.socket.descriptor) changed")
            }
            offset += slice.count
        }
    }

    // MARK: Events

    func runDueEvents() {
        while true {
            if let socket = network.takeTouchedSocket() {
                serve(socket)
            } else if let peer = network.takeTouchedPeer() {
                peer.touched()
            } else if let timeNs = network.events.nextTimeNs, timeNs <= network.nowNs,
                let event = network.events.popFirst()
            {
                run(event)
            } else {
                return
            }
        }
    }

    private func run(_ event: EventQueue.Event) {
        switch event {
        case .delivery(let endpoint): network.deliver(from: endpoint)
        case .reset(let endpoint): network.fail(endpoint, ECONNRESET)
        case .givingUp(let endpoint): network.giveUp(endpoint)
        case .peerTurn(let peer): peer.takeTurn()
        case .cancellation(let operation): finishCancelled(operation)
        case .connectOutcome(let operation): finishConnect(operation)
        case .call(let body):
            // As a message of another thread does, it ends the wait.
            isInterrupted = true
            body()
        }
    }
}
