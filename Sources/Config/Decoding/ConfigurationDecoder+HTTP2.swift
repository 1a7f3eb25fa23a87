extension ConfigurationDecoder {
    /// `http2` of a listener: nothing where clients are kept from speaking it.
    func listenerHTTP2(_ object: ConfigObject) -> HTTP2Configuration?? {
        let isEnabled = object.value("enabled", .bool, default: true)
        let configuration = http2(object)
        return .some(isEnabled ? configuration : nil)
    }

    /// `http2` of a cluster.
    func clusterHTTP2(_ object: ConfigObject) -> HTTP2Configuration? { http2(object) }

    private func http2(_ object: ConfigObject) -> HTTP2Configuration {
        HTTP2Configuration(
            maxConcurrentStreams: object.value(
                "max_concurrent_streams", .int(in: ConfigLimits.concurrentStreams),
                default: HTTP2Configuration.defaultMaxConcurrentStreams),
            streamWindow: object.value(
                "stream_window", .size(in: ConfigLimits.http2Window), default: HTTP2Configuration.defaultStreamWindow),
            connectionWindow: object.value(
                "connection_window", .size(in: ConfigLimits.http2Window),
                default: HTTP2Configuration.defaultConnectionWindow),
            windowGrowth: object.value(
                "window_growth", .size(in: ConfigLimits.http2WindowGrowth),
                default: HTTP2Configuration.defaultWindowGrowth),
            pingInterval: object.value(
                "ping_interval", .durationOrOff(in: ConfigLimits.http2PingInterval), default: nil),
            pingTimeout: object.value(
                "ping_timeout", .duration(in: ConfigLimits.http2PingTimeout),
                default: HTTP2Configuration.defaultPingTimeout))
    }
}
