import Engine
import Synchronization
import Testing

@Suite("Histogram")
struct HistogramTests {
    @Test func boundsEveryValueByItsBucket() {
        var values: [UInt64] = [0, 1, 8191, 8192, 10239, 10240, UInt64.max]
        for exponent in 10..<41 as Range<UInt64> {
            for offset in [0, 1, 3, 7] as [UInt64] {
                values += [(1 << exponent) + offset, (1 << exponent) - 1 - offset]
            }
        }
        for value in values {
            let bucket = Histogram.bucket(of: value)
            #expect(bucket >= 0 && bucket < Histogram.bucketCount)
            if let upper = Histogram.upperBound(of: bucket) { #expect(value < upper) }
            if bucket > 0, let lower = Histogram.upperBound(of: bucket - 1) { #expect(value >= lower) }
        }
    }

    @Test func growsMonotonicallyAndIsAtMostAQuarterWide() {
        var previous: UInt64 = 0
        for bucket in 0..<Histogram.bucketCount - 1 {
            guard let upper = Histogram.upperBound(of: bucket) else {
                Issue.record("bucket \(bucket) has no bound")
                continue
            }
            #expect(upper > previous)
            if bucket > 0 { #expect((upper - previous) * 4 <= previous) }
            previous = upper
        }
        #expect(Histogram.upperBound(of: Histogram.bucketCount - 1) == nil)
        #expect(previous == 1 << 39)
    }
}

@Suite("StatsRegistry")
struct StatsRegistryTests {
    private func owner(_ name: String) -> StatsRegistry.Owner { StatsRegistry.Owner(.listener, name) }

    @Test func keepsCellsWithTheirOwnersIdentity() throws {
        let registry = StatsRegistry(blocks: [StatsBlock()])
        let first = try registry.range(for: owner("a"), count: ListenerStat.cellCount)
        _ = try registry.range(for: owner("b"), count: ListenerStat.cellCount)
        registry.retain(only: [owner("a")])
        #expect(try registry.range(for: owner("a"), count: ListenerStat.cellCount).base == first.base)
    }

    @Test func handsCellsOutAgainOnlyWhenNothingCountsInThem() throws {
        let registry = StatsRegistry(blocks: [StatsBlock(), StatsBlock()])
        let old = try registry.range(for: owner("old"), count: ListenerStat.cellCount)
        let scope = registry.scope(old, worker: 1)
        scope.add(to: ConnectionStat.active)
        scope.add(7, to: ConnectionStat.opened)
        registry.retain(only: [])
        #expect(try registry.range(for: owner("x"), count: ListenerStat.cellCount).base != old.base)
        scope.subtract(from: ConnectionStat.active)
        let reused = try registry.range(for: owner("y"), count: ListenerStat.cellCount)
        #expect(reused.base == old.base)
        #expect(registry.sum(reused, ConnectionStat.opened) == 0)
    }

    @Test func handsCellsOutAgainToOwnersOfTheirKindOnly() throws {
        let registry = StatsRegistry(blocks: [StatsBlock()])
        let old = try registry.range(for: owner("old"), count: 10)
        registry.retain(only: [])
        #expect(try registry.range(for: StatsRegistry.Owner(.route, "x"), count: 10).base != old.base)
        #expect(try registry.range(for: owner("y"), count: 10).base == old.base)
    }

    @Test func retiresCellsOfAnOwnerThatNeedsMore() throws {
        let registry = StatsRegistry(blocks: [StatsBlock()])
        let small = try registry.range(for: owner("a"), count: 10)
        #expect(try registry.range(for: owner("a"), count: 20).base != small.base)
        #expect(try registry.range(for: owner("b"), count: 10).base == small.base)
    }

    @Test func sumsOverWorkersIncludingGaugesThatGoDown() throws {
        let blocks = [StatsBlock(), StatsBlock()]
        let registry = StatsRegistry(blocks: blocks)
        let range = try registry.range(for: owner("a"), count: ListenerStat.cellCount)
        registry.scope(range, worker: 0).add(5, to: ConnectionStat.active)
        registry.scope(range, worker: 1).subtract(3, from: ConnectionStat.active)
        #expect(registry.sum(range, ConnectionStat.active) == 2)
    }

    @Test func addsHistogramsOfAllWorkers() throws {
        enum Stat: Int { case time = 2 }
        let registry = StatsRegistry(blocks: [StatsBlock(), StatsBlock()])
        let range = try registry.range(for: owner("a"), count: 2 + Histogram.cellCount)
        registry.scope(range, worker: 0).record(2_000, in: Stat.time)
        registry.scope(range, worker: 1).record(2_001, in: Stat.time)
        registry.scope(range, worker: 1).record(1 << 40, in: Stat.time)
        let (buckets, sum) = registry.histogram(range, Stat.time)
        #expect(buckets.reduce(0, +) == 3 && sum == 4_001 + 1 << 40)
        #expect(buckets[Histogram.bucket(of: 2_000)] == 2 && buckets[Histogram.bucketCount - 1] == 1)
    }

    @Test func refusesMoreThanABlockHolds() throws {
        let registry = StatsRegistry(blocks: [StatsBlock()])
        #expect(throws: StatsRegistry.Full.self) { try registry.range(for: owner("a"), count: StatsBlock.cellsMax) }
    }
}

@Suite("ConnectionLimit")
struct ConnectionLimitTests {
    @Test func countsOverAllWorkers() throws {
        let registry = StatsRegistry(blocks: [StatsBlock(), StatsBlock()])
        let range = try registry.range(for: StatsRegistry.Owner(.listener, "a"), count: ListenerStat.cellCount)
        let limit = ConnectionLimit(max: 3, scopes: registry.scopes(range))
        let first = registry.scope(range, worker: 0)
        let second = registry.scope(range, worker: 1)
        first.add(2, to: ConnectionStat.active)
        #expect(limit.claim(for: second))
        #expect(!limit.claim(for: first), "the claim takes the last place")
        second.add(1, to: ConnectionStat.active)
        limit.endClaim(of: second)
        #expect(!limit.claim(for: second))
        first.subtract(1, from: ConnectionStat.active)
        #expect(limit.claim(for: first))
    }

    @Test func holdsWhenWorkersTakePlacesInTheSameMoment() async throws {
        let workers = 4
        let registry = StatsRegistry(blocks: (0..<workers).map { _ in StatsBlock() })
        let range = try registry.range(for: StatsRegistry.Owner(.listener, "a"), count: ListenerStat.cellCount)
        let limit = ConnectionLimit(max: 2, scopes: registry.scopes(range))
        let places = Places()
        await withTaskGroup { group in
            for worker in 0..<workers {
                group.addTask {
                    let own = registry.scope(range, worker: worker)
                    for _ in 0..<20_000 where limit.claim(for: own) {
                        own.add(1, to: ConnectionStat.active)
                        limit.endClaim(of: own)
                        places.enter()
                        places.leave()
                        own.subtract(1, from: ConnectionStat.active)
                    }
                }
            }
        }
        #expect((1...2).contains(places.most.load(ordering: .relaxed)))
    }

    private final class Places: Sendable {
        let taken = Atomic(0)
        let most = Atomic(0)

        func enter() { most.max(taken.add(1, ordering: .relaxed).newValue, ordering: .relaxed) }
        func leave() { taken.subtract(1, ordering: .relaxed) }
    }
}
