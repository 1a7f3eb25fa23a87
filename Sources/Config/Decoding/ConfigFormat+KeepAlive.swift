extension ConfigFormat where Value == TCPKeepAliveConfiguration {
    static var tcpKeepAlive: ConfigFormat {
        .object("tcp_keepalive") { object in
            TCPKeepAliveConfiguration(
                idle: object.value("idle", .wholeSeconds, default: TCPKeepAliveConfiguration.defaultIdle),
                interval: object.value("interval", .wholeSeconds, default: TCPKeepAliveConfiguration.defaultInterval),
                count: object.value(
                    "count", .int(in: ConfigLimits.keepAliveCount), default: TCPKeepAliveConfiguration.defaultCount))
        }
    }
}

extension ConfigFormat where Value == TimeSpan {
    fileprivate static var wholeSeconds: ConfigFormat {
        let range = ConfigLimits.keepAliveTime
        return text("a duration of whole seconds from \(range.lowerBound) to \(range.upperBound), such as 30s") {
            text throws(ConfigProblem) in
            let duration = try TimeSpan(parsing: text)
            guard range.contains(duration) else { throw ConfigProblem("which is out of range") }
            guard duration.nanoseconds.isMultiple(of: TimeSpan.seconds(1).nanoseconds) else { throw ConfigProblem() }
            return duration
        }
    }
}
