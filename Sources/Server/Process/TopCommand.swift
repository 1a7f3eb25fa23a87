internal import Config
internal import Engine
internal import Glibc

/// `ringway top`: what a running proxy is doing, again and again until it is interrupted.
package enum TopCommand {
    /// - Parameters:
    ///   - admin: where its admin interface listens; nil for the default
    ///   - intervalSeconds: between two looks, each of which shows what happened since the one before
    ///   - once: one look, for scripts
    package static func run(admin: String?, intervalSeconds: Double, once: Bool) -> Int32 {
        do throws(ConfigProblem) {
            let address = try admin.map { text throws(ConfigProblem) in try SocketAddress(connectingTo: text) }
            return watch(
                AdminClient(address: address ?? AdminClient.defaultAddress), intervalSeconds: intervalSeconds,
                once: once)
        } catch {
            writeError("--admin is \(SocketAddress.connectingForms)")
            return ExitStatus.wrongUsage
        }
    }

    private static func watch(_ client: AdminClient, intervalSeconds: Double, once: Bool) -> Int32 {
        // A proxy that is not there at all is said at once; one that goes away may come back.
        var before: Look?
        do throws(AdminClient.Failure) {
            before = try look(client)
        } catch {
            writeError(error.message)
            return ExitStatus.systemLack
        }
        while true {
            usleep(UInt32(intervalSeconds * 1_000_000))
            do throws(AdminClient.Failure) {
                let after = try look(client)
                // Counts of another process began anew.
                if let earlier = before, earlier.startTime == after.startTime {
                    show(view(from: earlier, to: after, once: once), once: once)
                    if once { return ExitStatus.done }
                } else {
                    show("\(client.address) is back\n", once: once)
                }
                before = after
            } catch {
                if once {
                    writeError(error.message)
                    return ExitStatus.systemLack
                }
                show(error.message + "; waiting for it\n", once: once)
                before = nil
            }
        }
    }

    private static func view(from before: Look, to after: Look, once: Bool) -> String {
        let change = ScrapedChange(
            before: before.samples, after: after.samples, seconds: Double(after.atNs - before.atNs) / 1_000_000_000)
        let fits = isTerminal && !once
        // A line behind the last one would move the first one out of sight.
        return TopView(
            change: change, requests: after.requests.split(separator: "\n"), state: after.state,
            lines: fits ? size.rows : linesElsewhere, columns: isTerminal ? size.columns : columnsElsewhere
        ).text + (fits ? "" : "\n")
    }

    /// Home, nothing behind it, and the frame, so that nothing flickers.
    private static func show(_ text: String, once: Bool) {
        write(once || !isTerminal ? text : "\u{1B}[H\u{1B}[2J" + text)
    }

    /// Where the output is no terminal.
    private static let (linesElsewhere, columnsElsewhere) = (250, 1000)

    private static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    private struct Look {
        let atNs: UInt64
        /// Of the process, which tells one from another.
        let startTime: Double
        let samples: ScrapedSamples
        let requests: String
        let state: String
    }

    /// Requests that endpoints are judged by.
    private static let requestCount = 2000

    private static let startTimeFamily = "process_start_time_seconds"

    private static func look(_ client: AdminClient) throws(AdminClient.Failure) -> Look {
        let metrics = try client.get("/metrics")
        let atNs = monotonicNowNs()
        guard metrics.status == 200 else {
            throw AdminClient.Failure(message: "\(client.address) answers \(metrics.status) for /metrics")
        }
        let samples = ScrapedSamples(metrics.bytes, of: TopView.families.union([startTimeFamily]))
        return Look(
            atNs: atNs, startTime: samples.sum(startTimeFamily), samples: samples,
            requests: try client.get("/requests?limit=\(requestCount)").body,
            state: try client.get("/ready").body.filter { $0 != "\n" })
    }

    private static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    private static var size: (rows: Int, columns: Int) {
        var size = winsize()
        _ = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
        return (size.ws_row > 0 ? Int(size.ws_row) : 40, size.ws_col > 0 ? Int(size.ws_col) : 120)
    }
}
