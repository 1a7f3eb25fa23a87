import Config
import Testing

@testable import Upstream

private let thresholds = HealthThresholds(healthy: 2, unhealthy: 3)
private let refused = HealthCheckResult.failed(.connection(reason: "connect_refused"))
private let sick = HealthCheckResult.failed(.status(503, isRetriable: false))
private let busy = HealthCheckResult.failed(.status(429, isRetriable: true))

/// The health after each of `results`, as a letter: h, u.
private func course(of results: [HealthCheckResult], from health: EndpointHealth = .unknown) -> String {
    var record = HealthRecord(health)
    return results.map { result in
        let before = record.health
        let hasChanged = record.note(result, thresholds)
        #expect(hasChanged == (record.health != before))
        return record.health == .healthy ? "h" : record.health == .failedCheck ? "u" : "?"
    }.joined()
}

@Suite("Health record")
struct HealthRecordTests {
    @Test func nothingIsKnownBeforeTheFirstResult() {
        #expect(HealthRecord().health == [.failedCheck, .pendingCheck])
    }

    @Test(arguments: [(HealthCheckResult.passed, "h"), (refused, "u"), (sick, "u"), (busy, "u")])
    func theFirstResultDecidesAlone(_ result: HealthCheckResult, _ expected: String) {
        #expect(course(of: [result]) == expected)
    }

    @Test func aHealthyEndpointHasToFailSeveralTimesInARow() {
        #expect(course(of: [refused, refused, refused], from: .healthy) == "hhu")
        #expect(course(of: [refused, busy, .failed(.timeout)], from: .healthy) == "hhu")
        #expect(course(of: [refused, refused, .passed, refused, refused, refused], from: .healthy) == "hhhhhu")
    }

    @Test func aStatusThatWasNotExpectedDecidesAtOnce() {
        #expect(course(of: [sick], from: .healthy) == "u")
        #expect(course(of: [refused, .passed, sick], from: .healthy) == "hhu")
    }

    @Test func anUnhealthyEndpointHasToPassSeveralTimesInARow() {
        #expect(course(of: [.passed, .passed], from: .failedCheck) == "uh")
        #expect(course(of: [.passed, sick, .passed, refused, .passed, .passed], from: .failedCheck) == "uuuuuh")
    }

    @Test func afterTheFirstFailureTheThresholdCounts() {
        #expect(course(of: [refused, .passed, .passed]) == "uuh")
    }

    @Test func theCountStartsAnewAfterAChange() {
        #expect(
            course(
                of: [refused, refused, refused, refused, .passed, .passed, refused, refused, .passed],
                from: .healthy) == "hhuuuhhhh")
    }
}

@Suite("Health check settings")
struct HealthCheckSettingsTests {
    private let http = HTTPHealthCheckConfiguration(path: "/healthz")

    private func check(_ change: (inout HealthCheckConfiguration) -> Void) -> HealthCheck {
        var configuration = HealthCheckConfiguration(question: .http(http))
        change(&configuration)
        return HealthCheck(configuration, cluster: "web")
    }

    private func delays(_ check: HealthCheck, _ health: EndpointHealth, isUsed: Bool = true) -> [UInt64] {
        var random = SplitMix64(seed: 5)
        return (0..<2000).map { _ in check.delayNs(after: health, isUsed: isUsed, using: &random) }
    }

    @Test func jitterLengthensTheIntervalWithinItsBound() {
        let found = delays(
            check { ($0.interval, $0.jitter) = (.seconds(10), Percent(partsPerMillion: 200_000)) }, .healthy)
        #expect(found.allSatisfy { (10_000_000_000...12_000_000_000).contains($0) })
        // 2,000 draws of two seconds come close to both ends.
        #expect(found.min().map { $0 < 10_020_000_000 } == true && found.max().map { $0 > 11_980_000_000 } == true)
    }

    @Test func withoutJitterTheIntervalIsExact() {
        let none = Percent(partsPerMillion: 0)
        let found = check {
            $0.interval = .seconds(5)
            $0.unhealthyInterval = .seconds(1)
            $0.noTrafficInterval = .minutes(1)
            $0.jitter = none
        }
        #expect(Set(delays(found, .healthy)) == [5_000_000_000])
        #expect(Set(delays(found, .failedCheck)) == [1_000_000_000])
        #expect(Set(delays(found, .healthy, isUsed: false)) == [60_000_000_000])
        let plain = check { ($0.interval, $0.jitter) = (.hours(24), none) }
        #expect(Set(delays(plain, .failedCheck) + delays(plain, .healthy, isUsed: false)) == [86_400_000_000_000])
        let unused = check { ($0.unhealthyInterval, $0.jitter) = (.seconds(1), none) }
        #expect(Set(delays(unused, .failedCheck, isUsed: false)) == [1_000_000_000])
    }

    @Test func theLongestIntervalWithTheMostJitterIsNoOverflow() {
        let found = check { ($0.interval, $0.jitter) = (.hours(24), Percent(partsPerMillion: 1_000_000)) }
        #expect(delays(found, .healthy).allSatisfy { $0 >= 86_400_000_000_000 && $0 <= 172_800_000_000_000 })
    }

    @Test func theRequestIsWrittenOut() {
        #expect(
            String(decoding: HTTPHealthCheck(http, cluster: "web").request, as: UTF8.self)
                == "GET /healthz HTTP/1.1\r\nHost: web\r\nUser-Agent: Ringway/HC\r\n\r\n")
        let other = HTTPHealthCheckConfiguration(
            method: .head, path: "/a?b", host: "api.example.com",
            headers: [
                HeaderConfiguration(name: "User-Agent", value: "probe"), HeaderConfiguration(name: "x-a", value: "1"),
            ],
            reusesConnection: false)
        #expect(
            String(decoding: HTTPHealthCheck(other, cluster: "web").request, as: UTF8.self)
                == "HEAD /a?b HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: probe\r\nx-a: 1\r\nConnection: close\r\n\r\n"
        )
    }

    @Test func statusesAreJudged() {
        var configuration = http
        configuration.expectedStatuses = [200...204, 301...301]
        configuration.retriableStatuses = [429...429]
        let check = HTTPHealthCheck(configuration, cluster: "web")
        for status in [200, 204, 301] as [UInt16] { #expect(check.result(of: status) == .passed) }
        for status in [205, 302, 500] as [UInt16] {
            #expect(check.result(of: status) == .failed(.status(status, isRetriable: false)))
        }
        #expect(check.result(of: 429) == .failed(.status(429, isRetriable: true)))
    }
}
