package import Config
package import HTTP
package import HTTP2

extension HTTP2Settings {
    /// - Parameter limits: of messages, which are the same in every version
    package init(_ configuration: HTTP2Configuration, limits: HTTP1Limits) {
        self.init(
            limits: limits, concurrentStreamsMax: UInt32(configuration.maxConcurrentStreams),
            streamWindowBytes: Int32(configuration.streamWindow.bytes),
            connectionWindowBytes: Int32(configuration.connectionWindow.bytes),
            windowGrowthBytes: Int32(configuration.windowGrowth.bytes))
    }
}
