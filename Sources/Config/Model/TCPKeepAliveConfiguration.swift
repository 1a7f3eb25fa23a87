/// Whether the kernel asks a silent peer if it is still there.
package struct TCPKeepAliveConfiguration: Sendable, Equatable {
    /// Silence before the first question. Whole seconds, as all that the kernel takes.
    package var idle: TimeSpan
    /// Between questions.
    package var interval: TimeSpan
    /// Questions without an answer, after which the connection is gone.
    package var count: Int

    package static let defaultIdle = TimeSpan.seconds(60)
    package static let defaultInterval = TimeSpan.seconds(10)
    package static let defaultCount = 6

    package init(
        idle: TimeSpan = TCPKeepAliveConfiguration.defaultIdle,
        interval: TimeSpan = TCPKeepAliveConfiguration.defaultInterval,
        count: Int = TCPKeepAliveConfiguration.defaultCount
    ) {
        self.idle = idle
        self.interval = interval
        self.count = count
    }
}
