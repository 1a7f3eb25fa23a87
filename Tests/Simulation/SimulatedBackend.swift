// The methods of a backend are overridden outside of their module only here.
@testable package import Engine
internal import Glibc

/// A kernel in memory: the backend that drives a real `Worker` in virtual time.
///
/// It does what io_uring documents, in every order that io_uring allows (`Perturbation`), and it watches over
/// the rules of `IOBackend`: a breach is noted in `violations`.
///
///     worker ── operations ──▶ submissions ─(wait)─▶ operations in flight ──▶ answers ─(wait)─▶ worker
///                                                        ▲
///                                        network: endpoints, peers, events
@safe
package final class SimulatedBackend: IOBackend {
    package let network: SimulatedNetwork
    /// Rules that the worker broke.
    package internal(set) var violations: [String] = []
    /// Open descriptors that the process may have.
    package var descriptorsMax = 4096
    /// The last `wait` had nothing to wait for: without a new event nothing will ever happen.
    package internal(set) var isQuiet = false
    /// Time does not pass this instant.
    package var horizonNs = UInt64.max

    /// Told of every operation and every answer; for looking into a seed that fails.
    package var trace: ((String) -> Void)?

    /// Far above real descriptors, so that a system call on one of them by mistake fails.
    static let descriptorBase: Int32 = 1_000_000

    /// Something was done by hand during the wait.
    var isInterrupted = false

    enum Submission {
        case start(SimulatedOperation)
        case cancel(OperationID)
        case cancelAll(Int32)
        case close(Int32)
    }

    struct Answer {
        var completion: Completion
        var operation: SimulatedOperation?
        var readyNs: UInt64
    }

    /// nil: a free descriptor.
    var files: [SimulatedSocket?] = []
    var submissions: [Submission] = []
    var inFlight: [UInt64: SimulatedOperation] = [:]
    var answers: [Answer] = []
    var counts = BackendStatistics()

    // Provided buffers.
    enum BufferPlace: UInt8 { case nowhere, unpublished, provided, taken }
    var bufferPlaces: [BufferPlace] = []
    var bufferMemory: [UnsafeMutableRawPointer?] = unsafe []
    var bufferBytes = 0
    var providedBuffers = IndexQueue<UInt16>()
    var unpublishedBuffers: [UInt16] = []

    package init(seed: UInt64, perturbation: Perturbation) {
        network = SimulatedNetwork(seed: seed, perturbation: perturbation)
        super.init()
    }

    package override func start() throws(SystemLack) {}
    package override func stop() {}
    package override func nowNs() -> UInt64 { network.nowNs }
    package override func statistics() -> BackendStatistics { counts }

    package override func wait(timeoutNs: UInt64?, into completions: CompletionBatch) -> Int {
        counts.enters += 1
        isQuiet = false
        isInterrupted = false
        // Work takes time.
        network.nowNs += UInt64(network.random.number(100, 2_000))
        submit()
        let deadlineNs = timeoutNs.map { network.nowNs.addingReportingOverflow($0).partialValue }
        while true {
            runDueEvents()
            let count = handOut(into: completions)
            if count > 0 || isInterrupted { return count }
            let nextNs = min(network.events.nextTimeNs ?? .max, answers.lazy.map(\.readyNs).min() ?? .max)
            if nextNs == .max, deadlineNs == nil {
                isQuiet = true
                if horizonNs != .max { network.nowNs = max(network.nowNs, horizonNs) }
                return 0
            }
            let limitNs = max(network.nowNs, min(deadlineNs ?? .max, horizonNs))
            if nextNs > limitNs {
                network.nowNs = limitNs
                return 0
            }
            network.nowNs = max(network.nowNs, nextNs)
        }
    }

    // MARK: Operations

    package override func accept(_ socket: Int32, multishot: Bool, _ id: OperationID) {
        queue(.accept, socket, id, isMultishot: multishot)
    }

    package override func receive(_ socket: Int32, _ id: OperationID) {
        queue(.receive, socket, id, isMultishot: true)
    }

    package override func receiveOnce(_ socket: Int32, max: Int, _ id: OperationID) {
        queue(.receive, socket, id)?.bytesMax = max
    }

    package override func send(
        _ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int, endsStream: Bool, _ id: OperationID
    ) {
        guard let operation = queue(.send, socket, id) else { return }
        operation.slices = [unsafe SimulatedOperation.Slice(start: bytes, count: count)]
        takeSnapshot(of: operation)
    }

    package override func send(_ socket: Int32, _ vector: SendVector, endsStream: Bool, _ id: OperationID) {
        guard let operation = queue(.send, socket, id) else { return }
        unsafe vector.forEachSlice { unsafe operation.slices.append(SimulatedOperation.Slice(start: $0, count: $1)) }
        takeSnapshot(of: operation)
    }

    package override func connect(_ socket: Int32, to address: NetworkAddress, _ id: OperationID) {
        guard let operation = queue(.connect, socket, id) else { return }
        operation.address = address
        operation.server = network.servers[address.description]
    }

    package override func poll(_ descriptor: Int32, writable: Bool, multishot: Bool, _ id: OperationID) {
        queue(writable ? .writable : .readable, descriptor, id, isMultishot: multishot)
    }

    /// Other threads do not reach a simulated worker: a test calls it between turns.
    package override func watchMailbox(_ descriptor: Int32, _ id: OperationID) {}

    package override func cancel(_ id: OperationID) { submissions.append(.cancel(id)) }

    package override func cancelAll(_ descriptor: Int32) {
        guard file(descriptor, for: "cancelAll") != nil else { return }
        submissions.append(.cancelAll(descriptor))
    }

    package override func close(_ descriptor: Int32) {
        guard let file = file(descriptor, for: "close") else { return }
        file.isCloseQueued = true
        submissions.append(.close(descriptor))
    }

    // MARK: Buffers

    package override func registerBuffers(entries: Int) throws(SystemLack) {
        bufferPlaces = Array(repeating: .nowhere, count: entries)
        unsafe bufferMemory = Array(repeating: nil, count: entries)
    }

    package override func provide(_ buffer: UInt16, _ memory: UnsafeMutableRawPointer, _ size: Int) {
        if bufferPlaces[Int(buffer)] == .provided || bufferPlaces[Int(buffer)] == .unpublished {
            violations.append("buffer \(buffer) was provided twice")
        }
        // Whoever still reads it notices.
        unsafe memset(memory, 0xDD, size)
        bufferPlaces[Int(buffer)] = .unpublished
        unsafe bufferMemory[Int(buffer)] = memory
        bufferBytes = size
        unpublishedBuffers.append(buffer)
    }

    package override func publishBuffers() {
        for buffer in unpublishedBuffers {
            bufferPlaces[Int(buffer)] = .provided
            providedBuffers.append(buffer)
        }
        unpublishedBuffers.removeAll(keepingCapacity: true)
    }

    // MARK: Direct calls

    package override func openSocket(for address: NetworkAddress) -> Int32 {
        if network.random.chance(network.perturbation.noDescriptor) { return -EMFILE }
        return openFile(.stream)?.descriptor ?? -EMFILE
    }

    package override func sendNow(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) {
        guard let file = file(socket, for: "send"), let endpoint = file.endpoint else { return }
        if file.send != nil { violations.append("a direct send beside one in flight on \(socket)") }
        unsafe endpoint.transmitQueue.write(from: bytes, count: min(count, endpoint.transmitQueue.free))
        network.transmit(endpoint)
    }

    package override func shutdownWrite(_ socket: Int32) {
        trace?("\(network.nowNs) shutdown \(socket)")
        guard let file = file(socket, for: "shutdown"), let endpoint = file.endpoint else { return }
        if file.send != nil { violations.append("shutdown with a send in flight on \(socket)") }
        endpoint.endQueued = true
        network.transmit(endpoint)
    }

    package override func resetOnClose(_ socket: Int32) {
        file(socket, for: "linger")?.resetsOnClose = true
    }

    package override func unsentBytes(_ socket: Int32) -> Int {
        file(socket, for: "ioctl")?.endpoint?.transmitQueue.count ?? 0
    }

    package override func acceptNow(_ socket: Int32) -> Int32 {
        guard let listener = file(socket, for: "accept") else { return -EBADF }
        return acceptOne(from: listener)
    }

    package override func peerAddress(of socket: Int32) -> NetworkAddress? {
        file(socket, for: "getpeername")?.endpoint?.other.address
    }

    package override func localAddress(of socket: Int32) -> NetworkAddress? {
        file(socket, for: "getsockname")?.endpoint?.address
    }

    package override func peek(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, bytesMin: Int) -> Int {
        guard let queue = file(socket, for: "peek")?.endpoint?.receiveQueue else { return -Int(ENOTCONN) }
        if queue.count >= bytesMin { unsafe queue.copy(to: bytes, count: min(count, queue.count)) }
        return queue.count
    }

    package override func splice(from: Int32, to: Int32, count: Int, more: Bool) -> Int {
        let moved = moveBytes(from: from, to: to, count: count)
        trace?("\(network.nowNs) splice \(from) to \(to) count \(count): \(moved)")
        return moved
    }

    private func moveBytes(from: Int32, to: Int32, count: Int) -> Int {
        guard let source = file(from, for: "splice"), let target = file(to, for: "splice") else { return -Int(EBADF) }
        switch (source.kind, target.kind) {
        case (.stream, .pipeWriteEnd(let pipe)): return spliceIn(source, pipe, count)
        case (.pipeReadEnd(let pipe), .stream): return spliceOut(pipe, target, count)
        default: return -Int(EINVAL)
        }
    }

    package override func openPipe(capacity: Int) -> (read: Int32, write: Int32, capacity: Int)? {
        if network.random.chance(network.perturbation.noDescriptor) { return nil }
        let pipe = SimulatedPipe(capacity: capacity)
        guard let readEnd = openFile(.pipeReadEnd(pipe)) else { return nil }
        guard let writeEnd = openFile(.pipeWriteEnd(pipe)) else {
            release(readEnd)
            return nil
        }
        return (readEnd.descriptor, writeEnd.descriptor, capacity)
    }
}
