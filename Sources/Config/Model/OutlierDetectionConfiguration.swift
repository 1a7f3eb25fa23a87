/// When an endpoint is taken out of a cluster because of what clients get from it.
package struct OutlierDetectionConfiguration: Sendable, Equatable {
    /// Failures in a row.
    package var consecutive5xx: Int
    /// How long it stays out the first time; the second time twice as long, and so on.
    package var baseEjection: TimeSpan
    /// The longest that it stays out, unless `baseEjection` is longer.
    package var maxEjectionTime: TimeSpan
    /// The largest share of the endpoints that is out at one time; one always may be.
    package var maxEjected: Percent

    package static let defaultConsecutive5xx = 5
    package static let defaultBaseEjection = TimeSpan.seconds(30)
    package static let defaultMaxEjectionTime = TimeSpan.minutes(5)
    package static let defaultMaxEjected = Percent(partsPerMillion: 100_000)

    package init(
        consecutive5xx: Int = OutlierDetectionConfiguration.defaultConsecutive5xx,
        baseEjection: TimeSpan = OutlierDetectionConfiguration.defaultBaseEjection,
        maxEjectionTime: TimeSpan = OutlierDetectionConfiguration.defaultMaxEjectionTime,
        maxEjected: Percent = OutlierDetectionConfiguration.defaultMaxEjected
    ) {
        self.consecutive5xx = consecutive5xx
        self.baseEjection = baseEjection
        self.maxEjectionTime = maxEjectionTime
        self.maxEjected = maxEjected
    }
}
