internal import Engine
internal import Filters
internal import Synchronization

/// The families of access logs.
struct AccessLogMetrics {
    let registry: StatsRegistry
    let files: [AccessLogFile]

    var families: [MetricFamily] {
        guard !files.isEmpty else { return [] }
        let reasons: [(String, AccessLogStat)] = [("full", .droppedFull), ("too_long", .droppedTooLong)]
        // Labelled one by one: a configuration names a few of them.
        let logs = files.map { file in
            Owned(
                owner: SeriesOwner(
                    number: SeriesOwner.process.number, labels: ["path": file.target.path], ranges: [file.target.stats]),
                name: file.target.path, members: [file])
        }
        return [
            MetricFamily(
                "ringway_access_log_lines_total", .counter, "Lines that were handed over to be written.", logs
            ) { [registry] writer, log in
                writer.sample(log.owner, registry.sum(log.owner, AccessLogStat.lines))
            },
            MetricFamily(
                "ringway_access_log_lines_dropped_total", .counter, "Lines that were not written, by reason.", logs
            ) { [registry] writer, log in
                for (reason, stat) in reasons {
                    writer.sample(log.owner, "reason", reason, registry.sum(log.owner, stat))
                }
            },
            MetricFamily(
                "ringway_access_log_written_bytes_total", .counter, "Bytes that were written.", logs
            ) { writer, log in
                writer.sample(log.owner, log.members[0].bytesWritten.load(ordering: .relaxed))
            },
            MetricFamily("ringway_access_log_write_errors_total", .counter, "Writes that failed.", logs) {
                writer, log in
                writer.sample(log.owner, log.members[0].writeErrors.load(ordering: .relaxed))
            },
        ]
    }
}
