package import Config
internal import Upstream

/// Which lines are written: those that fit one of several conditions, or all where there are none.
struct AccessLogFilter: Sendable {
    private struct Condition: Sendable {
        var status: ClosedRange<UInt16>?
        var durationNs: UInt64
        /// Bits by raw value of the flag; 0 for any.
        var flags: UInt64
        /// Of 1,000,000; nil for all.
        var share: UInt32?
    }

    private var conditions: [Condition] = []

    init(_ configuration: [AccessLogFilterConfiguration], _ diagnostics: Diagnostics) {
        for entry in configuration {
            var flags: UInt64 = 0
            for flag in entry.flags {
                if let known = Self.flag(flag.text) {
                    flags |= 1 << UInt64(known.rawValue)
                } else {
                    let labels = ResponseFlag.allCases.filter { $0 != .none }.map { "\($0.label)" }
                    diagnostics.report(
                        "unknown response flag \(flag.text.quotedForMessage)",
                        expected: "one of \(labels.joined(separator: ", "))",
                        suggestion: diagnostics.suggestion(for: flag.text, among: labels), at: flag.origin.position)
                }
            }
            conditions.append(
                Condition(
                    status: entry.status, durationNs: entry.duration?.nanoseconds ?? 0, flags: flags,
                    share: entry.sampling?.partsPerMillion))
        }
    }

    private static func flag(_ text: String) -> ResponseFlag? {
        ResponseFlag.allCases.first { $0 != .none && "\($0.label)" == text }
    }

    func admits(_ context: CommandContext, random: inout SplitMix64) -> Bool {
        if conditions.isEmpty { return true }
        for condition in conditions {
            if let status = condition.status, !status.contains(context.status) { continue }
            if context.nowNs &- context.startedNs < condition.durationNs { continue }
            if condition.flags != 0, condition.flags & (1 << UInt64(context.flag.rawValue)) == 0 { continue }
            if let share = condition.share, UInt32.random(in: 0..<1_000_000, using: &random) >= share { continue }
            return true
        }
        return false
    }
}

extension AccessLogPlan {
    /// nil without a target, and after everything that is wrong with the entry was reported.
    package init?(
        _ configuration: AccessLogConfiguration, exchanges: Bool, target: AccessLogTarget?, _ diagnostics: Diagnostics
    ) {
        let before = diagnostics.reportCount
        let format = AccessLogFormat(configuration.format, exchanges ? .exchanges : .connections, diagnostics)
        let filter = AccessLogFilter(configuration.filter, diagnostics)
        guard let target, diagnostics.reportCount == before else { return nil }
        self.init(target: target, format: format.commands, filter: filter)
    }
}
