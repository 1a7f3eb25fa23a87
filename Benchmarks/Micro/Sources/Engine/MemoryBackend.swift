internal import Glibc

/// A kernel that does nothing: one client asks, one upstream answers, and every operation succeeds at the next wait.
/// What a worker costs on it is what it costs above the kernel.
package final class MemoryBackend: IOBackend {
    package static let listener: Int32 = 3
    private static let client: Int32 = 4
    private static let firstUpstream: Int32 = 5

    /// What the client sends, and what the upstream answers to each request.
    private let request: [UInt8]
    private let response: [UInt8]
    /// Bytes that reached the client.
    package private(set) var responseBytes = 0

    private var answers: [Completion] = []
    private var acceptID = OperationID(rawValue: 0)
    private var clientReceive = OperationID(rawValue: 0)
    /// Of the only connection upstream: requests come one after the other.
    private var upstreamReceive = OperationID(rawValue: 0)
    private var nextSocket = firstUpstream
    private var buffers: [UnsafeMutableRawPointer?] = unsafe []
    private var freeBuffers: [UInt16] = []
    private var timeNs: UInt64 = 1_000_000_000

    package init(request: [UInt8], response: [UInt8]) {
        self.request = request
        self.response = response
        answers.reserveCapacity(64)
        super.init()
    }

    // MARK: What the client does

    package func connectClient() {
        answers.append(Completion(id: acceptID, result: Self.client, flags: .more))
    }

    package func sendRequest() { deliver(request, to: clientReceive) }

    private func deliver(_ bytes: [UInt8], to receive: OperationID) {
        guard let buffer = freeBuffers.popLast(), let memory = unsafe buffers[Int(buffer)] else {
            fatalError("no free buffer")
        }
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        answers.append(
            Completion(id: receive, result: Int32(bytes.count), flags: [.buffer, .more], buffer: buffer))
    }

    // MARK: The loop

    package override func start() throws(SystemLack) {}
    package override func stop() {}
    package override func statistics() -> BackendStatistics { BackendStatistics() }

    package override func nowNs() -> UInt64 {
        timeNs += 100
        return timeNs
    }

    package override func wait(timeoutNs: UInt64?, into completions: CompletionBatch) -> Int {
        let count = answers.count
        for index in 0..<count { completions[index] = answers[index] }
        answers.removeAll(keepingCapacity: true)
        return count
    }

    // MARK: Operations

    package override func accept(_ socket: Int32, multishot: Bool, _ id: OperationID) { acceptID = id }

    package override func receive(_ socket: Int32, _ id: OperationID) {
        if socket == Self.client { clientReceive = id } else { upstreamReceive = id }
    }

    package override func send(
        _ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int, endsStream: Bool, _ id: OperationID
    ) {
        sent(socket, count, id)
    }

    package override func send(_ socket: Int32, _ vector: SendVector, endsStream: Bool, _ id: OperationID) {
        var total = 0
        unsafe vector.forEachSlice { total += $1 }
        sent(socket, total, id)
    }

    private func sent(_ socket: Int32, _ count: Int, _ id: OperationID) {
        answers.append(Completion(id: id, result: Int32(count)))
        if socket == Self.client { responseBytes += count } else { deliver(response, to: upstreamReceive) }
    }

    package override func connect(_ socket: Int32, to address: NetworkAddress, _ id: OperationID) {
        answers.append(Completion(id: id, result: 0))
    }

    package override func watchMailbox(_ descriptor: Int32, _ id: OperationID) {}
    package override func cancel(_ id: OperationID) {}
    package override func cancelAll(_ descriptor: Int32) {}
    package override func close(_ descriptor: Int32) {}

    // MARK: Buffers

    package override func registerBuffers(entries: Int) throws(SystemLack) {
        unsafe buffers = Array(repeating: nil, count: entries)
        freeBuffers.reserveCapacity(entries)
    }

    package override func provide(_ buffer: UInt16, _ memory: UnsafeMutableRawPointer, _ size: Int) {
        unsafe buffers[Int(buffer)] = memory
        freeBuffers.append(buffer)
    }

    package override func publishBuffers() {}

    /// For a pool without a worker, from which nobody receives.
    package func forgetProvided() { freeBuffers.removeAll(keepingCapacity: true) }

    // MARK: Direct calls

    package override func openSocket(for address: NetworkAddress) -> Int32 {
        nextSocket += 1
        return nextSocket - 1
    }

    package override func unsentBytes(_ socket: Int32) -> Int { 0 }
    package override func peerAddress(of socket: Int32) -> NetworkAddress? {
        NetworkAddress(ipv4Bits: 0x7F00_0001, port: 50_000)
    }
    package override func localAddress(of socket: Int32) -> NetworkAddress? {
        NetworkAddress(ipv4Bits: 0x7F00_0001, port: 8080)
    }
}
