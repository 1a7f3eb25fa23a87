import Engine
import Glibc
import Simulation
import Synchronization
import Testing

@Suite("ByteRing")
struct ByteRingTests {
    private static let page = 4096

    /// Appends `bytes` as one record. Answers what is pending then; nil when there is no room.
    private func append(_ bytes: [UInt8], to ring: ByteRing) -> Int? {
        var place = ring.nextPlace()
        if bytes.count > place.room {
            guard let other = ring.otherPlace(than: place, for: bytes.count) else { return nil }
            place = other
        }
        unsafe place.memory.copyMemory(from: bytes, byteCount: bytes.count)
        return ring.publish(bytes.count, at: place)
    }

    private func record(_ byte: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }

    /// Consumes what lies in one piece.
    private func take(from ring: ByteRing, max: Int = .max) -> [UInt8] {
        let bytes = unsafe ring.withReadable { unsafe Array($0.prefix(max)) }
        ring.consume(bytes.count)
        return bytes
    }

    @Test func givesBackWhatWasAppended() {
        let ring = ByteRing(capacity: Self.page)
        #expect(append([1, 2, 3], to: ring) == 3)
        #expect(append([4], to: ring) == 4)
        #expect(!ring.isDrained)
        #expect(take(from: ring) == [1, 2, 3, 4])
        #expect(ring.isDrained)
        #expect(take(from: ring) == [])
        ring.destroy()
    }

    @Test func aRecordThatDoesNotFitBehindTheOthersGoesToTheFront() {
        let ring = ByteRing(capacity: Self.page)
        #expect(append(record(1, 3000), to: ring) == 3000)
        #expect(take(from: ring, max: 2500).count == 2500)
        #expect(append(record(2, 1000), to: ring) == 1500)
        // 96 bytes are left at the back, 2,499 at the front.
        #expect(append(record(3, 2000), to: ring) == 3500)
        #expect(append(record(4, 500), to: ring) == nil)
        #expect(append(record(5, 400), to: ring) == 3900)
        #expect(take(from: ring) == record(1, 500) + record(2, 1000))
        #expect(take(from: ring) == record(3, 2000) + record(5, 400))
        #expect(ring.isDrained)
        ring.destroy()
    }

    @Test func isFullWhenNothingIsConsumed() {
        let ring = ByteRing(capacity: Self.page)
        for number in 0..<4 {
            #expect(append(record(UInt8(number), 1024), to: ring) == 1024 * (number + 1))
        }
        #expect(append([1], to: ring) == nil)
        #expect(take(from: ring, max: 1).count == 1)
        // One byte at the front stays free, so that a full ring is not taken for an empty one.
        #expect(append([1], to: ring) == nil)
        #expect(take(from: ring, max: 1).count == 1)
        #expect(append([1], to: ring) == 4095)
        #expect(append([1], to: ring) == nil)
        ring.destroy()
    }

    @Test func anEmptyRingBeginsAnewAtTheFront() {
        let ring = ByteRing(capacity: 64 * Self.page)
        var addresses: Set<Int> = []
        for _ in 0..<1000 {
            #expect(append(record(7, 1000), to: ring) == 1000)
            unsafe ring.withReadable { _ = addresses.insert(Int(bitPattern: $0.baseAddress)) }
            #expect(take(from: ring) == record(7, 1000))
        }
        // It walks on for 64 KiB before there is enough room at the front.
        #expect(addresses.count < 70)
        ring.destroy()
    }

    @Test func anEmptyRingPromisesRoom() {
        let ring = ByteRing(capacity: 64 * Self.page, restartBytes: 32 * Self.page)
        // Wherever the consumer has come to, as much can follow at once.
        for _ in 0..<100 {
            for _ in 0..<31 { #expect(append(record(7, Self.page), to: ring) != nil) }
            while !ring.isDrained { _ = take(from: ring) }
            #expect(append(record(8, 100), to: ring) == 100)
            while !ring.isDrained { _ = take(from: ring) }
        }
        ring.destroy()
    }

    @Test func aRingWhoseConsumerLooksOftenTakesLess() {
        let ring = ByteRing(capacity: 64 * Self.page, restartBytes: 32 * Self.page, steadyRestartBytes: 4 * Self.page)
        var addresses: Set<Int> = []
        for _ in 0..<1000 {
            #expect(append(record(7, 2000), to: ring) == 2000)
            unsafe ring.withReadable { _ = addresses.insert(Int(bitPattern: $0.baseAddress)) }
            #expect(take(from: ring) == record(7, 2000))
        }
        // 16 KiB instead of 128.
        #expect(addresses.count < 11)
        ring.destroy()
    }

    @Test func aRingInWhichLittleComesPromisesAsMuchRoomAsAnother() {
        let ring = ByteRing(capacity: 64 * Self.page, restartBytes: 32 * Self.page, steadyRestartBytes: 4 * Self.page)
        for _ in 0..<100 {
            for _ in 0..<300 {
                #expect(append(record(8, 100), to: ring) == 100)
                while !ring.isDrained { _ = take(from: ring) }
            }
            for _ in 0..<31 { #expect(append(record(7, Self.page), to: ring) != nil) }
            while !ring.isDrained { _ = take(from: ring) }
        }
        ring.destroy()
    }

    @Test func keepsEveryByteInOrderWhateverTheSizes() {
        var random = SimulationRandom(seed: 11)
        let ring = ByteRing(capacity: 2 * Self.page)
        var expected: [UInt8] = []
        var received: [UInt8] = []
        for step in 0..<20_000 {
            if random.chance(500) {
                let bytes = record(UInt8(truncatingIfNeeded: step), random.number(0, 900))
                if append(bytes, to: ring) != nil { expected += bytes }
            } else {
                received += take(from: ring, max: random.number(0, 1500))
            }
        }
        while !ring.isDrained { received += take(from: ring) }
        #expect(received == expected)
        ring.destroy()
    }

    @Test func oneThreadAppendsWhileAnotherConsumes() {
        let ring = ByteRing(capacity: 4 * Self.page)
        let seen = Seen()
        // Records are a length and as many bytes of its value; the reader checks each of them.
        let reader = TestThread {
            var left = 0
            var value: UInt8 = 0
            while true {
                let wasDone = seen.isDone.load(ordering: .acquiring)
                let count = unsafe ring.withReadable { bytes in
                    for index in 0..<bytes.count {
                        let byte = unsafe bytes[index]
                        if left == 0 {
                            (left, value) = (Int(byte), byte)
                            seen.lines.add(1, ordering: .relaxed)
                        } else {
                            if byte != value { seen.isIntact.store(false, ordering: .relaxed) }
                            left -= 1
                        }
                        seen.sum.add(UInt64(byte), ordering: .relaxed)
                    }
                    return bytes.count
                }
                ring.consume(count)
                if count == 0, wasDone { return }
            }
        }
        var random = SimulationRandom(seed: 5)
        var written: UInt64 = 0
        var stored = 0
        while stored < 200_000 {
            let length = 1 + random.number(0, 200)
            if append(record(UInt8(length), length + 1), to: ring) != nil {
                stored += 1
                written += UInt64(length * (length + 1))
            } else {
                sched_yield()
            }
        }
        seen.isDone.store(true, ordering: .releasing)
        reader.join()
        let (isIntact, lines, sum) = seen.result
        #expect(isIntact)
        #expect(lines == stored)
        #expect(sum == written)
        ring.destroy()
    }
}

/// What the reading thread has found.
private final class Seen: Sendable {
    let isDone = Atomic<Bool>(false)
    let sum = Atomic<UInt64>(0)
    let lines = Atomic<Int>(0)
    let isIntact = Atomic<Bool>(true)

    /// Once the thread has ended.
    var result: (isIntact: Bool, lines: Int, sum: UInt64) {
        (isIntact.load(ordering: .relaxed), lines.load(ordering: .relaxed), sum.load(ordering: .relaxed))
    }
}

/// A thread that can be waited for.
private final class TestThread {
    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        let context = unsafe Unmanaged.passRetained(Box(body))
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, context.toOpaque())
        precondition(result == 0, "no thread")
    }

    func join() { pthread_join(thread, nil) }
}

@Suite("Doorbell")
struct DoorbellTests {
    @Test func ringsOncePerSleep() {
        let doorbell = Doorbell()
        var seen: UInt64 = 0
        // Nobody sleeps: nothing to do.
        doorbell.ringIfAsleep(&seen)
        #expect(seen == 0)
        doorbell.ring()
        doorbell.sleep(ms: 60_000, fast: true)  // returns because it was rung
        doorbell.ringIfAsleep(&seen)
        #expect(seen == 0)
    }

    @Test func wakesASleeper() {
        let doorbell = Doorbell()
        let sleeper = TestThread { doorbell.sleep(ms: 60_000, fast: true) }
        var seen: UInt64 = 0
        while seen == 0 { doorbell.ringIfAsleep(&seen) }
        sleeper.join()
    }
}
