internal import Glibc
package import Logging

/// Where log lines go and how they look: text for people, JSON for machines, always on standard error.
package struct LogSettings: Sendable {
    package enum Format: String, Sendable {
        case text, json
    }

    package var level: Logger.Level
    package var format: Format

    package init(level: Logger.Level, format: Format) {
        self.level = level
        self.format = format
    }

    package static let levelNames = Logger.Level.allCases.map(\.rawValue)

    package static func level(named name: String) -> Logger.Level? { Logger.Level(rawValue: name) }

    func bootstrap() -> Logger {
        let (level, format) = (level, format)
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler =
                switch format {
                case .text: StreamLogHandler.standardError(label: label)
                case .json: JSONLogHandler(label: label)
                }
            handler.logLevel = level
            return handler
        }
        return Logger(label: "ringway")
    }
}

/// One JSON object a line: `time`, `level`, `label`, `message`, and the metadata as fields of `metadata`.
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel = Logger.Level.notice
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        var fields: [(String, JSON)] = [
            ("time", .string(Self.timestamp())), ("level", .string(event.level.rawValue)), ("label", .string(label)),
            ("message", .string(event.message.description)),
        ]
        if !all.isEmpty {
            fields.append(
                ("metadata", .object(all.sorted { $0.key < $1.key }.map { ($0.key, .string("\($0.value)")) })))
        }
        writeLine(JSON.object(fields).text)
    }

    /// RFC 3339, UTC, milliseconds.
    private static func timestamp() -> String {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        var parts = unsafe tm()
        unsafe gmtime_r(&now.tv_sec, &parts)
        func padded(_ value: Int32, _ width: Int = 2) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = unsafe "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
        let time = unsafe "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
        return "\(date)T\(time).\(padded(Int32(now.tv_nsec / 1_000_000), 3))Z"
    }
}
