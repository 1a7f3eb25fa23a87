internal import CIOUring
internal import Glibc

/// The backend on io_uring: one ring, created disabled and enabled by the thread of the worker that owns it.
///
/// Set-up flags and their reasons: `SINGLE_ISSUER | DEFER_TASKRUN` run completions only inside `wait`, which
/// is worth about a third of the small-message cost; `SUBMIT_ALL` keeps one bad submission from stopping
/// the rest; the completion queue is large because an overflow ends every multishot operation.
@safe
package final class URingBackend: SystemIOBackend {
    private let ring: UnsafeMutablePointer<io_uring>
    private let state: Stable<State>
    private static let bufferGroup: UInt16 = 0

    @safe
    private struct State {
        var counts = BackendStatistics()
        var bufferRing: UnsafeMutablePointer<io_uring_buf_ring>?
        var bufferMask: UInt32 = 0
        var bufferTail: UInt16 = 0
    }

    package static let submissionEntries: UInt32 = 1024
    package static let completionEntries: UInt32 = 8192

    package init(submissionEntries: UInt32 = submissionEntries) throws(SystemLack) {
        unsafe ring = .allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        state = Stable(State())
        super.init()
        var features: UInt32 = 0
        var flags: UInt32 = 0
        let result = unsafe rw_ring_create(ring, submissionEntries, Self.completionEntries, &features, &flags)
        guard result == 0 else { throw RingCapabilities.explain(setupError: -result) }
    }

    deinit {
        unsafe ring.deallocate()
        state.destroy()
    }

    package override func start() throws(SystemLack) {
        let result = unsafe rw_ring_enable(ring)
        guard result == 0 else {
            throw SystemLack(
                "io_uring: the ring cannot be enabled (\(describe(-result)))", remedy: RingCapabilities.doctorHint)
        }
    }

    package override func stop() {
        unsafe rw_ring_close(ring)
    }

    package override func wait(timeoutNs: UInt64?, into completions: CompletionBatch) -> Int {
        // Not to sleep is said by waiting for nothing, never by a time-out of zero: that one arms a timer and
        // takes its interrupt, which cost a fifth of a message's CPU when it was tried to reap larger batches.
        state.value.counts.enters += 1
        var result: Int32
        if timeoutNs == 0 {
            result = unsafe rw_submit_and_reap(ring)
        } else {
            let limit = timeoutNs.map { Int64(min($0, UInt64(Int64.max))) } ?? -1
            result = unsafe rw_submit_and_wait(ring, limit)
        }
        // EBUSY: the completion queue overflowed and must be emptied before more is submitted.
        let overflowed = unsafe rw_cq_has_overflow(ring) != 0
        if result == -EBUSY || overflowed { state.value.counts.overflows += 1 }
        if result == -EAGAIN || result == -EBUSY { result = 0 }

        let ready = min(Int(unsafe rw_cq_ready(ring)), CompletionBatch.capacity)
        for index in 0..<ready {
            let entry = unsafe rw_cqe(ring, UInt32(index))
            var flags: Completion.Flags = []
            if entry.flags & UInt32(IORING_CQE_F_BUFFER) != 0 { flags.insert(.buffer) }
            if entry.flags & UInt32(IORING_CQE_F_MORE) != 0 { flags.insert(.more) }
            completions[index] = Completion(
                id: OperationID(rawValue: entry.user_data), result: entry.res, flags: flags,
                buffer: UInt16(truncatingIfNeeded: entry.flags >> 16))
        }
        unsafe rw_cq_advance(ring, UInt32(ready))
        return ready
    }

    // MARK: Operations

    /// A free submission entry; hands over what is queued when there is none.
    @inline(__always)
    private func entry() -> UnsafeMutablePointer<io_uring_sqe> {
        if let entry = unsafe rw_sqe(ring) { return unsafe entry }
        return unsafe entryAfterSubmitting()
    }

    @inline(never)
    private func entryAfterSubmitting() -> UnsafeMutablePointer<io_uring_sqe> {
        while true {
            let result = unsafe rw_submit(ring)
            if let entry = unsafe rw_sqe(ring) { return unsafe entry }
            // The kernel takes no submissions while completions overflow, and it never stops taking them
            // for another reason: with SUBMIT_ALL each entry is consumed, also a bad one.
            precondition(
                result == -EBUSY || result == -EAGAIN || result == -EINTR, "io_uring_enter: \(describe(-result))")
        }
    }

    package override func accept(_ socket: Int32, multishot: Bool, _ id: OperationID) {
        unsafe rw_prep_accept(entry(), socket, multishot ? 1 : 0, id.rawValue)
    }

    package override func receive(_ socket: Int32, _ id: OperationID) {
        unsafe rw_prep_receive_multishot(entry(), socket, Self.bufferGroup, id.rawValue)
    }

    package override func receiveOnce(_ socket: Int32, max: Int, _ id: OperationID) {
        unsafe rw_prep_receive(entry(), socket, max, Self.bufferGroup, id.rawValue)
    }

    package override func send(
        _ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int, endsStream: Bool, _ id: OperationID
    ) {
        unsafe rw_prep_send(entry(), socket, bytes, count, Self.more(endsStream), id.rawValue)
    }

    package override func send(_ socket: Int32, _ vector: SendVector, endsStream: Bool, _ id: OperationID) {
        let message = unsafe vector.message.assumingMemoryBound(to: msghdr.self)
        unsafe rw_prep_sendmsg(entry(), socket, message, Self.more(endsStream), id.rawValue)
    }

    private static func more(_ endsStream: Bool) -> Int32 { endsStream ? Int32(MSG_MORE) : 0 }

    package override func connect(_ socket: Int32, to address: NetworkAddress, _ id: OperationID) {
        unsafe address.withSockaddr { unsafe rw_prep_connect(entry(), socket, $0, $1, id.rawValue) }
    }

    package override func poll(_ descriptor: Int32, writable: Bool, multishot: Bool, _ id: OperationID) {
        let events = UInt32(writable ? POLLOUT : POLLIN | RW_POLLRDHUP)
        unsafe rw_prep_poll(entry(), descriptor, events, multishot ? 1 : 0, id.rawValue)
    }

    package override func watchMailbox(_ descriptor: Int32, _ id: OperationID) {
        unsafe rw_prep_poll(entry(), descriptor, UInt32(POLLIN), 1, id.rawValue)
    }

    package override func cancel(_ id: OperationID) {
        unsafe rw_prep_cancel(entry(), id.rawValue, Self.housekeeping)
    }

    package override func cancelAll(_ descriptor: Int32) {
        unsafe rw_prep_cancel_all(entry(), descriptor, Self.housekeeping)
    }

    package override func close(_ descriptor: Int32) {
        unsafe rw_prep_close(entry(), descriptor, Self.housekeeping)
    }

    private static let housekeeping = OperationID(.housekeeping, slot: 0, generation: 0).rawValue

    // MARK: Buffers

    package override func registerBuffers(entries: Int) throws(SystemLack) {
        precondition(entries > 0 && entries <= 32768 && entries & (entries - 1) == 0)
        let bytes = max(4096, entries * MemoryLayout<io_uring_buf>.stride)
        let memory = unsafe ReservedMemory.map(bytes: bytes)
        let result = unsafe rw_buffer_ring_register(ring, memory, UInt32(entries), Self.bufferGroup)
        guard result == 0 else { throw RingCapabilities.explain(bufferRingError: -result) }
        unsafe state.value.bufferRing = memory.assumingMemoryBound(to: io_uring_buf_ring.self)
        state.value.bufferMask = UInt32(entries - 1)
    }

    package override func provide(_ buffer: UInt16, _ memory: UnsafeMutableRawPointer, _ size: Int) {
        let tail = state.value.bufferTail
        unsafe rw_buffer_ring_put(state.value.bufferRing, state.value.bufferMask, tail, memory, UInt32(size), buffer)
        state.value.bufferTail = tail &+ 1
    }

    package override func publishBuffers() {
        unsafe rw_buffer_ring_publish(state.value.bufferRing, state.value.bufferTail)
    }

    package override func statistics() -> BackendStatistics {
        state.value.counts
    }
}
