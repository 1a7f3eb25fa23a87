internal import Engine

extension Operation {
    static var engine: [Operation] {
        [
            Operation("histogram-record") { record() },
            Operation("timer-schedule-cancel") { scheduleAndCancel() },
            Operation("timer-schedule-fire") { scheduleAndFire() },
            Operation("buffer-take-and-return") { takeAndReturnBuffers() },
        ]
    }

    private enum Cell: Int { case durations = 0 }

    private static func record() -> (Int) -> Void {
        let scope = StatsScope(block: StatsBlock(), base: 0)
        return { times in
            for number in 0..<times { scope.record(UInt64(truncatingIfNeeded: number) << 9, in: Cell.durations) }
        }
    }

    /// Among ten thousand others, as a request's timeout is.
    private static func scheduleAndCancel() -> (Int) -> Void {
        { times in
            var wheel = crowdedWheel()
            for number in 0..<times {
                let deadlineNs = 15_000_000_000 + UInt64(number % 1000) * 1_000_000
                wheel.cancel(wheel.schedule(atNs: deadlineNs, token: OperationID(rawValue: 1)))
            }
            keep(wheel.count)
            wheel.destroy()
        }
    }

    private static func scheduleAndFire() -> (Int) -> Void {
        { times in
            var wheel = TimerWheel(nowNs: 0, capacity: 16)
            let tickNs: UInt64 = 1 << TimerWheel.tickShift
            var nowNs: UInt64 = 0
            for _ in 0..<times {
                _ = wheel.schedule(atNs: nowNs + tickNs, token: OperationID(rawValue: 1))
                nowNs += 3 * tickNs
                while wheel.advance(toNs: nowNs) != nil {}
            }
            keep(wheel.count)
            wheel.destroy()
        }
    }

    private static func crowdedWheel() -> TimerWheel {
        var wheel = TimerWheel(nowNs: 0, capacity: 20_000)
        for number in 0..<10_000 {
            _ = wheel.schedule(atNs: UInt64(number) * 6_000_000 + 1_000_000_000, token: OperationID(rawValue: 2))
        }
        return wheel
    }

    private static func takeAndReturnBuffers() -> (Int) -> Void {
        { times in
            let backend = MemoryBackend(request: [], response: [])
            var pool = BufferPool(bufferSize: 32 << 10, bytesMax: 4 << 20)
            do { try backend.registerBuffers(entries: pool.countMax) } catch { preconditionFailure("\(error)") }
            _ = pool.grow(on: backend)
            for number in 0..<times {
                let lease = pool.received(UInt16(number % 64), count: 1024)
                let buffer = lease.buffer
                pool.release(buffer, on: backend)
                backend.forgetProvided()
                pool.publish(on: backend)
            }
            keep(pool.heldCount)
            pool.destroy()
        }
    }
}
