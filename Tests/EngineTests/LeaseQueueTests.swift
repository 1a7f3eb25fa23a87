import Simulation
import Testing

@testable import Engine

@Suite("LeaseQueue")
struct LeaseQueueTests {
    private let simulation: SimulatedWorker
    private var worker: Worker { simulation.worker }

    init() throws { simulation = try SimulatedWorker(seed: 1) }

    private func lease(_ text: String) -> Lease {
        let bytes = Array(text.utf8)
        return worker.make(capacity: bytes.count) { buffer in
            unsafe buffer.copyBytes(from: bytes)
            return bytes.count
        }
    }

    /// As if it had just been received.
    private func received(_ number: UInt16, _ text: String) -> Lease {
        let bytes = Array(text.utf8)
        let lease = worker.core.value.buffers.received(number, count: bytes.count)
        unsafe UnsafeMutableRawBufferPointer(start: lease.start, count: lease.count).copyBytes(from: bytes)
        return lease
    }

    private func put(_ data: consuming Lease, _ queue: inout LeaseQueue) {
        let isQueued = queue.append(data, on: worker)
        #expect(isQueued)
    }

    private func expect(_ taken: String?, _ expected: String?) { #expect(taken == expected) }

    private func take(_ max: Int, _ queue: inout LeaseQueue) -> String? {
        guard let data = queue.takeFront(max: max, on: worker) else { return nil }
        let text = data.withBytes { unsafe $0.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) } }
        worker.discard(data)
        return text
    }

    @Test func givesSlicesBackInOrderWholeOrInParts() {
        var queue = LeaseQueue()
        put(lease("hello"), &queue)
        put(lease("world"), &queue)
        #expect(queue.bytes == 10)
        expect(take(2, &queue), "he")
        expect(take(100, &queue), "llo")
        expect(take(5, &queue), "world")
        expect(take(1, &queue), nil)
        #expect(worker.core.value.buffers.heapBytes == 0)
        #expect(worker.core.value.segments.inUse == 0)
    }

    @Test func removingAllGivesEverythingBack() {
        var queue = LeaseQueue()
        for _ in 0..<10 { put(lease("x"), &queue) }
        expect(take(1, &queue), "x")
        queue.removeAll(on: worker)
        #expect(queue.bytes == 0)
        #expect(worker.core.value.buffers.heapBytes == 0)
        #expect(worker.core.value.segments.inUse == 0)
    }

    @Test func manySmallSlicesBecomeOneAndLetGoOfTheirBuffers() {
        var queue = LeaseQueue()
        for number in 0..<16 { put(received(UInt16(number), "\(number),"), &queue) }
        #expect(worker.core.value.buffers.heldCount == 16)
        queue.settle(on: worker)
        #expect(worker.core.value.buffers.heldCount == 0)
        #expect(worker.core.value.segments.inUse == 1)
        expect(take(100, &queue), "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,")
        #expect(worker.core.value.buffers.heapBytes == 0)
    }

    @Test func fewSlicesStayWhereTheyAre() {
        var queue = LeaseQueue()
        for number in 0..<15 { put(received(UInt16(number), "x"), &queue) }
        queue.settle(on: worker)
        #expect(worker.core.value.buffers.heldCount == 15)
        queue.removeAll(on: worker)
        #expect(worker.core.value.buffers.heldCount == 0)
    }
}
