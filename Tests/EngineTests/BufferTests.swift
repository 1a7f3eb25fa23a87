@testable import Engine
import Simulation
import Testing

/// A backend for tests of the pool alone: it notes what it is given.
private final class NotingBackend: IOBackend {
    var provided: [UInt16] = []
    var publishes = 0

    override func provide(_ buffer: UInt16, _ memory: UnsafeMutableRawPointer, _ size: Int) { provided.append(buffer) }
    override func publishBuffers() { publishes += 1 }
}

@Suite("BufferPool")
struct BufferPoolTests {
    @Test func growsByDoublingUpToItsBound() {
        let backend = NotingBackend()
        var pool = BufferPool(bufferSize: 1024, bytesMax: 300 * 1024)
        #expect(pool.countMax == 256)
        var counts: [Int] = []
        while pool.grow(on: backend) { counts.append(pool.count) }
        #expect(counts == [64, 128, 256])
        #expect(backend.provided == (0..<256).map { UInt16($0) })
        #expect(backend.publishes == 0)
        pool.publish(on: backend)
        pool.publish(on: backend)
        #expect(backend.publishes == 1)
        pool.destroy()
    }

    @Test func providesABufferAgainWhenItsLastSliceIsReleased() {
        let backend = NotingBackend()
        var pool = BufferPool(bufferSize: 64, bytesMax: 64 * 64)
        _ = pool.grow(on: backend)
        backend.provided = []
        let lease = pool.received(5, count: 10)
        #expect(pool.heldCount == 1 && pool.freeCount == pool.count - 1)
        pool.retain(lease.buffer)
        pool.retain(lease.buffer)
        pool.release(5, on: backend)
        pool.release(5, on: backend)
        #expect(backend.provided == [])
        pool.release(5, on: backend)
        #expect(backend.provided == [5])
        #expect(pool.heldCount == 0)
        pool.destroy()
    }

    @Test func countsHeapBlocksUntilTheirLastSlice() {
        let backend = NotingBackend()
        var pool = BufferPool(bufferSize: 64, bytesMax: 1024)
        let first = pool.allocate(count: 100)
        let second = pool.allocate(count: 50)
        #expect(pool.heapBytes == 150)
        #expect(first.buffer != second.buffer && first.buffer >= BufferPool.heapBase)
        pool.retain(first.buffer)
        pool.release(first.buffer, on: backend)
        #expect(pool.heapBytes == 150)
        let freed = first.buffer
        pool.release(freed, on: backend)
        #expect(pool.heapBytes == 50)
        // The block's number is used again, its memory is new.
        let third = pool.allocate(count: 7)
        #expect(third.buffer == freed && pool.heapBytes == 57)
        pool.release(second.buffer, on: backend)
        pool.release(third.buffer, on: backend)
        #expect(pool.heapBytes == 0 && backend.provided == [])
        pool.destroy()
    }
}

@Suite("SendQueue")
struct SendQueueTests {
    /// A queue beside its bytes in plain arrays, through random appends and sends.
    @Test func keepsBytesInOrderThroughEverySplit() {
        for seed in 1...30 as ClosedRange<UInt64> {
            var random = SimulationRandom(seed: seed)
            var table = SlotTable<Segment>(capacity: 64)
            var queue = SendQueue()
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 1)
            var offset = 0
            var model: [(start: Int, count: Int, buffer: UInt32)] = []
            var released: [UInt32] = []
            var expected: [UInt32] = []
            for step in 0..<200 {
                let count = random.number(1, 100)
                if random.chance(600), offset + count <= 1 << 16 {
                    let isQueued = unsafe queue.append(memory + offset, count, UInt32(step), in: &table)
                    #expect(isQueued == (model.count < 64))
                    if isQueued { model.append((offset, count, UInt32(step))) }
                    offset += count
                } else if queue.bytes > 0 {
                    var left = random.number(0, queue.bytes)
                    queue.advance(by: left, in: &table) { released.append($0) }
                    while let first = model.first, first.count <= left {
                        left -= first.count
                        expected.append(first.buffer)
                        model.removeFirst()
                    }
                    if left > 0 { model[0] = (model[0].start + left, model[0].count - left, model[0].buffer) }
                }
                #expect(released == expected)
                #expect(queue.bytes == model.reduce(0) { $0 + $1.count })
                #expect(Int(queue.segments) == model.count && table.inUse == model.count)
                var index = queue.head
                for entry in model {
                    let segment = table[index]
                    #expect(unsafe segment.start == memory + entry.start && Int(segment.count) == entry.count)
                    index = segment.next
                }
            }
            queue.removeAll(in: &table) { released.append($0) }
            #expect(queue.isEmpty && table.inUse == 0 && released.count == expected.count + model.count)
            table.destroy()
            unsafe memory.deallocate()
        }
    }

    @Test func refusesWhenTheTableIsFull() {
        var table = SlotTable<Segment>(capacity: 1)
        var queue = SendQueue()
        var byte: UInt8 = 0
        let answers = unsafe withUnsafeMutableBytes(of: &byte) { bytes in
            (0..<2).map { _ in unsafe queue.append(bytes.baseAddress!, 1, 0, in: &table) }
        }
        #expect(answers == [true, false])
        #expect(queue.segments == 1 && queue.bytes == 1)
        table.destroy()
    }
}

@Suite("SendVector")
struct SendVectorTests {
    @Test func tellsItsSlicesInOrder() {
        let vector = SendVector()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 1)
        for index in 0..<SendVector.slicesMax { unsafe vector.set(index, memory + index, index + 1) }
        vector.finish(count: 3)
        var slices: [(Int, Int)] = []
        unsafe vector.forEachSlice { slices.append((unsafe $0 - UnsafeRawPointer(memory), $1)) }
        #expect(slices.map(\.0) == [0, 1, 2] && slices.map(\.1) == [1, 2, 3])
        vector.destroy()
        unsafe memory.deallocate()
    }
}
