/// Leases that wait for their turn on a connection that others share, in order.
///
/// Must be emptied (`removeAll`) before it is dropped: what it holds is the worker's.
package struct LeaseQueue: BitwiseCopyable {
    private var queue = SendQueue()

    package init() {}

    package var bytes: Int { queue.bytes }

    /// Takes `data` over. False, with `data` given back to the pool, when this worker has no room for another slice.
    package mutating func append(_ data: consuming Lease, on worker: Worker) -> Bool {
        let isQueued = unsafe queue.append(
            data.start, data.count, data.buffer, in: &worker.core.value.segments)
        if !isQueued { worker.discard(data) }
        return isQueued
    }

    /// The first slice, or its first `max` bytes; nil when the queue is empty.
    package mutating func takeFront(max: Int, on worker: Worker) -> Lease? {
        guard !queue.isEmpty else { return nil }
        let first = worker.core.value.segments[queue.head]
        let count = min(Int(first.count), max)
        // A part is a slice of its own; the last part takes the slice with it.
        if count < Int(first.count) { worker.core.value.buffers.retain(first.buffer) }
        queue.advance(by: count, in: &worker.core.value.segments) { _ in }
        return unsafe Lease(start: first.start, count: count, buffer: first.buffer)
    }

    package mutating func removeAll(on worker: Worker) {
        queue.removeAll(in: &worker.core.value.segments) { buffer in
            worker.core.value.buffers.release(buffer, on: worker.backend)
        }
    }

    /// Copies what waits into memory of its own, if it is many small slices or the worker needs its receive buffers for
    /// others: small slices hold a whole buffer each, and nobody knows how long they will wait.
    package mutating func settle(on worker: Worker) {
        guard queue.segments > 0 else { return }
        let isCrumbled = queue.segments >= Self.crumbs && queue.bytes < Int(queue.segments) * Self.crumbBytes
        let isShort = worker.core.value.buffers.heldCount * 2 > worker.core.value.buffers.countMax
        let isNeeded = isShort && !isCopied(on: worker)
        guard isCrumbled || isNeeded else { return }
        let block = worker.core.value.buffers.allocate(count: queue.bytes)
        var offset = 0
        while let data = takeFront(max: .max, on: worker) {
            unsafe (block.start + offset).copyMemory(from: data.start, byteCount: data.count)
            offset += data.count
            worker.discard(data)
        }
        // Its slices were just given back, so one is there.
        let isQueued = append(block, on: worker)
        precondition(isQueued, "a segment was free a moment ago")
    }

    private static let crumbs: UInt32 = 16
    private static let crumbBytes = 4_096

    /// Nothing but one block of its own waits.
    private func isCopied(on worker: Worker) -> Bool {
        queue.segments == 1 && worker.core.value.segments[queue.head].buffer >= BufferPool.heapBase
    }
}
