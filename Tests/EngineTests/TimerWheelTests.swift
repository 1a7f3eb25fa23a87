import Engine
import Simulation
import Testing

@Suite("TimerWheel")
struct TimerWheelTests {
    private static let tickNs: UInt64 = 1 << TimerWheel.tickShift

    private func token(_ number: Int) -> OperationID {
        OperationID(.connectionTimer, slot: UInt32(number), generation: 0)
    }

    private func fired(_ wheel: inout TimerWheel, atNs nowNs: UInt64) -> [UInt32] {
        var slots: [UInt32] = []
        while let token = wheel.advance(toNs: nowNs) { slots.append(token.slot) }
        return slots
    }

    /// The tick at whose start a timer fires: the first one that begins after the deadline.
    private func dueTick(ofDeadline deadlineNs: UInt64) -> UInt64 { (deadlineNs >> TimerWheel.tickShift) + 1 }

    @Test func firesAtTheFirstTickAfterTheDeadlineAndNotBefore() {
        var wheel = TimerWheel(nowNs: 0, capacity: 8)
        _ = wheel.schedule(atNs: 10 * Self.tickNs + 1, token: token(1))
        #expect(fired(&wheel, atNs: 11 * Self.tickNs - 1) == [])
        #expect(fired(&wheel, atNs: 11 * Self.tickNs) == [1])
        #expect(wheel.count == 0 && wheel.nextWakeNs == nil)
        wheel.destroy()
    }

    @Test func firesADeadlineThatHasPassedAtOnce() {
        var wheel = TimerWheel(nowNs: 100 * Self.tickNs, capacity: 8)
        _ = wheel.schedule(atNs: 5, token: token(3))
        #expect(wheel.nextWakeNs.map { $0 <= 100 * Self.tickNs } == true)
        #expect(fired(&wheel, atNs: 100 * Self.tickNs) == [3])
        wheel.destroy()
    }

    @Test func cancelsOneOfSeveralInTheSameSlot() {
        var wheel = TimerWheel(nowNs: 0, capacity: 8)
        let ids = (0..<3).map { wheel.schedule(atNs: 7 * Self.tickNs, token: token($0)) }
        wheel.cancel(ids[1])
        wheel.cancel(.none)
        #expect(wheel.count == 2)
        #expect(Set(fired(&wheel, atNs: 8 * Self.tickNs)) == [0, 2])
        wheel.destroy()
    }

    @Test func answersNoneWhenFull() {
        var wheel = TimerWheel(nowNs: 0, capacity: 1)
        #expect(wheel.schedule(atNs: 1, token: token(0)) != .none)
        #expect(wheel.schedule(atNs: 1, token: token(1)) == .none)
        wheel.destroy()
    }

    @Test func keepsDeadlinesBeyondItsRange() {
        // The wheels span 64⁴ ticks, about 19 hours.
        let spanNs = Self.tickNs << 24
        var wheel = TimerWheel(nowNs: 0, capacity: 8)
        _ = wheel.schedule(atNs: 3 * spanNs, token: token(1))
        _ = wheel.schedule(atNs: spanNs - 1, token: token(2))
        #expect(fired(&wheel, atNs: spanNs + Self.tickNs) == [2])
        #expect(fired(&wheel, atNs: 3 * spanNs) == [])
        #expect(fired(&wheel, atNs: 3 * spanNs + Self.tickNs) == [1])
        wheel.destroy()
    }

    @Test func firesInTheOrderOfANaiveModel() {
        for seed in 1...20 as ClosedRange<UInt64> { compareWithModel(seed: seed) }
    }

    /// A wheel beside a list of deadlines, both driven by the same random calls.
    private func compareWithModel(seed: UInt64) {
        var random = SimulationRandom(seed: seed)
        var nowNs = UInt64(random.magnitude(1 << 40))
        var wheel = TimerWheel(nowNs: nowNs, capacity: 4096)
        var model: [UInt32: (tick: UInt64, id: TimerWheel.ID)] = [:]
        var next: UInt32 = 0
        for _ in 0..<400 {
            for _ in 0..<random.number(0, 4) {
                let deadlineNs = nowNs + UInt64(random.magnitude(random.chance(900) ? 1 << 34 : 1 << 47))
                let id = wheel.schedule(atNs: deadlineNs, token: token(Int(next)))
                model[next] = (dueTick(ofDeadline: deadlineNs), id)
                next += 1
            }
            if random.chance(300), let victim = model.keys.min(), let timer = model.removeValue(forKey: victim) {
                wheel.cancel(timer.id)
            }
            // Sleep as a worker does, or for some other time.
            let firstDue = model.values.map(\.tick).min().map { $0 << TimerWheel.tickShift }
            if let firstDue {
                let wakeNs = wheel.nextWakeNs
                #expect(wakeNs.map { $0 <= max(firstDue, nowNs) } == true, "seed \(seed): would oversleep")
            }
            if random.chance(600), let wakeNs = wheel.nextWakeNs {
                nowNs = max(nowNs, wakeNs)
            } else {
                nowNs += UInt64(random.magnitude(random.chance(950) ? 1 << 33 : 1 << 45))
            }
            let nowTick = nowNs >> TimerWheel.tickShift
            var lastTick: UInt64 = 0
            for slot in fired(&wheel, atNs: nowNs) {
                guard let timer = model.removeValue(forKey: slot) else {
                    Issue.record("seed \(seed): \(slot) fired twice or after its cancel")
                    continue
                }
                #expect(timer.tick <= nowTick, "seed \(seed): \(slot) fired early")
                #expect(timer.tick >= lastTick, "seed \(seed): \(slot) fired out of order")
                lastTick = timer.tick
            }
            #expect(model.values.allSatisfy { $0.tick > nowTick }, "seed \(seed): a timer is overdue")
            #expect(wheel.count == model.count)
        }
        wheel.destroy()
    }
}
