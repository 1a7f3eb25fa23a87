package import Config

/// `outlier_detection` of a cluster.
package struct OutlierDetection: Sendable {
    /// Failures in a row, on one worker.
    package let failuresMax: UInt64
    private let baseNs: UInt64
    private let maxNs: UInt64
    private let ejectedPartsPerMillion: UInt64

    package init(_ configuration: OutlierDetectionConfiguration) {
        failuresMax = UInt64(configuration.consecutive5xx)
        baseNs = configuration.baseEjection.nanoseconds
        maxNs = max(configuration.maxEjectionTime.nanoseconds, baseNs)
        ejectedPartsPerMillion = UInt64(configuration.maxEjected.partsPerMillion)
    }

    /// Whether one more endpoint may be taken out. The first one always may, as in Envoy.
    func allowsEjection(beside ejected: Int, of endpoints: Int) -> Bool {
        ejected == 0 || UInt64(ejected + 1) * 1_000_000 <= ejectedPartsPerMillion * UInt64(endpoints)
    }

    /// Nanoseconds that an endpoint stays out the n-th time, n from 1.
    func ejectionNs(_ time: UInt64) -> UInt64 {
        let (ns, isTooLong) = baseNs.multipliedReportingOverflow(by: time)
        return isTooLong ? maxNs : min(ns, maxNs)
    }
}

/// When and how often an endpoint was taken out.
struct Ejection: Equatable {
    /// In service, an endpoint loses one of its times in this time, as in Envoy's sweeps.
    static let forgivenessNs: UInt64 = 10_000_000_000

    /// nil while it is in service.
    private(set) var untilNs: UInt64?
    /// Counts up while it is taken out again soon after it came back.
    private var times: UInt64 = 0
    private var returnedNs: UInt64 = 0

    /// - Returns: nanoseconds until it comes back
    mutating func eject(_ detection: OutlierDetection, nowNs: UInt64) -> UInt64 {
        precondition(untilNs == nil, "an endpoint that is out is not taken out")
        times -= min(times, (nowNs - returnedNs) / Self.forgivenessNs)
        times += 1
        let durationNs = detection.ejectionNs(times)
        untilNs = nowNs + durationNs
        return durationNs
    }

    /// - Returns: whether its time is over, and it is back
    mutating func comesBack(nowNs: UInt64) -> Bool {
        guard let until = untilNs, until <= nowNs else { return false }
        untilNs = nil
        returnedNs = nowNs
        return true
    }
}
