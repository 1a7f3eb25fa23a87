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
        let isTerminal = isatty(STDOUT_FILENO) == 1
        do throws(AdminClient.Failure) {
            var before = try look(client)
            while true {
                usleep(UInt32(intervalSeconds * 1_000_000))
                let after = try look(client)
                let view = TopView(
                    change: ScrapedChange(
                        before: before.samples, after: after.samples,
                        seconds: Double(after.atNs - before.atNs) / 1_000_000_000),
                    requests: after.requests.split(separator: "\n"), state: after.state,
                    rowsMax: isTerminal && !once ? max((rows - 16) / 4, 3) : 50,
                    columns: isTerminal ? columns : 1000)
                // Home, the frame, and nothing behind it: no flicker.
                write(once || !isTerminal ? view.text : "\u{1B}[H\u{1B}[2J" + view.text)
                if once { return ExitStatus.done }
                before = after
            }
        } catch {
            writeError(error.message)
            return ExitStatus.systemLack
        }
    }

    private struct Look {
        let atNs: UInt64
        let samples: ScrapedSamples
        let requests: String
        let state: String
    }

    /// Requests that endpoints are judged by.
    private static let requestCount = 2000

    private static func look(_ client: AdminClient) throws(AdminClient.Failure) -> Look {
        let metrics = try client.get("/metrics")
        let atNs = monotonicNowNs()
        guard metrics.status == 200 else {
            throw AdminClient.Failure(message: "\(client.address) answers \(metrics.status) for /metrics")
        }
        return Look(
            atNs: atNs, samples: ScrapedSamples(metrics.body),
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

    private static var size: winsize {
        var size = winsize()
        _ = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
        return size
    }

    private static var rows: Int { size.ws_row > 0 ? Int(size.ws_row) : 40 }
    private static var columns: Int { size.ws_col > 0 ? Int(size.ws_col) : 120 }
}
