internal import Engine
internal import Filters
internal import Synchronization

/// The families of access logs.
struct AccessLogMetrics {
    let registry: StatsRegistry
    let files: [AccessLogFile]

    func write(to text: inout PrometheusText) {
        guard !files.isEmpty else { return }
        text.family("ringway_access_log_lines_total", .counter, "Lines that were handed over to be written.")
        for file in files {
            text.sample(["path": file.target.path], registry.sum(file.target.stats, AccessLogStat.lines))
        }
        text.family("ringway_access_log_lines_dropped_total", .counter, "Lines that were not written, by reason.")
        let reasons: [(String, AccessLogStat)] = [("full", .droppedFull), ("too_long", .droppedTooLong)]
        for file in files {
            for (reason, stat) in reasons {
                let count = registry.sum(file.target.stats, stat)
                text.sample(["path": file.target.path, "reason": reason], count)
            }
        }
        text.family("ringway_access_log_written_bytes_total", .counter, "Bytes that were written.")
        for file in files {
            text.sample(["path": file.target.path], file.bytesWritten.load(ordering: .relaxed))
        }
        text.family("ringway_access_log_write_errors_total", .counter, "Writes that failed.")
        for file in files {
            text.sample(["path": file.target.path], file.writeErrors.load(ordering: .relaxed))
        }
    }
}
