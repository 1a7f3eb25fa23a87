import Testing

@testable import Engine

@Suite("CostMeter")
struct CostMeterTests {
    /// Burns CPU time, so that there is some to divide.
    private func work() {
        var value: UInt64 = 1
        for step in 0..<300_000 as Range<UInt64> { value = value &* 6_364_136_223_846_793_005 &+ step }
        #expect(value != 0)
    }

    @Test func dividesAsTheEventsTimesAre() {
        let stats = StatsBlock()
        var meter = CostMeter(seed: 1)
        meter.begin(nowNs: 1000)
        work()
        meter.charge(10, nowNs: 0)  // the first owner has the event from its beginning
        meter.eventEnded(nowNs: 1300)
        meter.charge(20, nowNs: 0)
        meter.charge(10, nowNs: 1350)
        meter.eventEnded(nowNs: 1400)
        meter.eventEnded(nowNs: 1800)  // nobody's
        meter.end(stats)
        let (ten, twenty) = (stats.read(10), stats.read(20))
        #expect(twenty > 0)
        // 350 to 50.
        #expect(ten / 7 <= twenty + 1 && twenty <= ten / 7 + 1)
        #expect(!meter.isMeasuring)
    }

    @Test func measuresOneTurnOfSixteen() {
        var meter = CostMeter(seed: 7)
        var measured = 0
        for _ in 0..<160_000 where meter.turnBegins() {
            measured += 1
            meter.begin(nowNs: 0)
        }
        #expect((9000...11_000).contains(measured))
    }

    @Test func whoComesTooLateInATurnHasNoShare() {
        let stats = StatsBlock()
        var meter = CostMeter(seed: 3)
        meter.begin(nowNs: 0)
        work()
        for owner in 1...100 as ClosedRange<UInt32> {
            meter.charge(owner, nowNs: 0)
            meter.eventEnded(nowNs: UInt64(owner) * 1_000)
        }
        meter.end(stats)
        #expect(stats.read(64) > 0)
        #expect(stats.read(65) == 0)
    }
}
