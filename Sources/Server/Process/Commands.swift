internal import Config
internal import Engine
internal import Glibc
internal import Logging

/// Exit codes of every command (sysexits.h).
package enum ExitStatus {
    package static let done: Int32 = 0
    package static let wrongUsage: Int32 = 64
    package static let systemLack: Int32 = 69
    package static let internalError: Int32 = 70
    package static let configurationError: Int32 = 78
}

/// `ringway run` and `ringway proxy`.
package enum RunCommand {
    package static func run(
        path: String, overrides: Overrides, logging: LogSettings, extensions: Extensions
    ) -> Int32 {
        let loaded = Configuration.load(path: path)
        guard let configuration = loaded.configuration else { return report(loaded.errors) }
        return serve(
            configuration, source: loaded.source, reloadPath: path, diagnostics: loaded.diagnostics,
            overrides: overrides, logging: logging, extensions: extensions)
    }

    package static func proxy(
        listen: String, upstreams: [String], overrides: Overrides, logging: LogSettings
    ) -> Int32 {
        let diagnostics = Diagnostics(file: "command line")
        do throws(ConfigProblem) {
            let address = try SocketAddress(listeningAt: listen)
            var endpoints: [EndpointConfiguration] = []
            for upstream in upstreams {
                endpoints.append(EndpointConfiguration(address: try SocketAddress(connectingTo: upstream)))
            }
            let configuration = Configuration(
                listeners: [
                    ListenerConfiguration(
                        name: "proxy", address: address,
                        proxy: .tcp(TCPProxyConfiguration(cluster: ClusterReference("upstream"))))
                ], clusters: [ClusterConfiguration(name: "upstream", endpoints: endpoints)])
            return serve(
                configuration, source: "", reloadPath: nil, diagnostics: diagnostics, overrides: overrides,
                logging: logging, extensions: Extensions())
        } catch {
            let detail = error.detail.map { ", \($0)" } ?? ""
            writeError(
                "wrong address on the command line\(detail); LISTEN is \(SocketAddress.listeningForms), "
                    + "UPSTREAM is \(SocketAddress.connectingForms)")
            return ExitStatus.wrongUsage
        }
    }

    private static func serve(
        _ configuration: Configuration, source: String, reloadPath: String?, diagnostics: Diagnostics,
        overrides: Overrides, logging: LogSettings, extensions: Extensions
    ) -> Int32 {
        var configuration = configuration
        overrides.apply(to: &configuration)
        let log = logging.bootstrap()
        // Before the first thread: signals are for the one that waits for them.
        let signals = SignalWaiter()
        DescriptorLimit.raise()
        do throws(SystemLack) {
            let control = try Control(
                configuration: configuration, overrides: overrides, extensions: extensions, log: log,
                end: { exit($0) })
            do throws(Control.StartFailure) {
                try control.start(
                    configuration, source: source, reloadPath: reloadPath, diagnostics: diagnostics)
            } catch {
                switch error {
                case .configuration(let errors): return reloadPath == nil ? reportWithoutPlace(errors) : report(errors)
                case .system(let lack): throw lack
                }
            }
            log.notice("live", metadata: ["workers": "\(control.workerCount)", "version": "\(RingwayVersion.current)"])
            signals.run(control)
        } catch {
            writeError("\(error)")
            return ExitStatus.systemLack
        }
    }

    private static func report(_ errors: [ConfigError]) -> Int32 {
        for error in errors { writeLine(error.description) }
        return ExitStatus.configurationError
    }

    /// The same for what was said on the command line, which has no lines and columns.
    private static func reportWithoutPlace(_ errors: [ConfigError]) -> Int32 {
        for error in errors { writeError("\(error.problem); expected \(error.expected)") }
        return ExitStatus.configurationError
    }
}

/// `ringway check`.
package enum CheckCommand {
    package static func check(path: String, extensions: Extensions) -> Int32 {
        let loaded = Configuration.load(path: path)
        if let configuration = loaded.configuration {
            let registry = StatsRegistry(blocks: [])
            let compiler = SnapshotCompiler(
                registry: registry, extensions: extensions, accessLogs: AccessLogFiles(registry: registry, log: nil)
            ).writesNothing
            _ = compiler.compile(
                configuration, source: loaded.source, previous: nil, diagnostics: loaded.diagnostics)
        }
        for error in loaded.errors { writeLine(error.description) }
        if loaded.errors.isEmpty { print("\(path): ok") }
        return loaded.errors.isEmpty ? ExitStatus.done : ExitStatus.configurationError
    }
}

/// `ringway doctor`.
package enum DoctorCommand {
    package static func run() -> Int32 {
        let found = RingCapabilities.probe()
        print("kernel      \(found.kernel) (oldest that works: \(RingCapabilities.baseline))")
        print(
            "cpus        \(ProcessorShare.allowedCPUs().count) allowed"
                + (ProcessorShare.quota().map { ", cgroup quota \($0)" } ?? "")
                + ", workers: auto means \(ProcessorShare.automaticWorkerCount())")
        print("descriptors \(DescriptorLimit.hard) at most, two per proxied connection")
        if let lack = found.lack {
            print("io_uring    not usable: \(lack.what)")
            print("            to allow it: \(lack.remedy)")
            return ExitStatus.systemLack
        }
        print("io_uring    usable")
        for feature in found.features { print("            \(feature.isThere ? "yes" : "no ") \(feature.name)") }
        return ExitStatus.done
    }
}

/// An error line of the command line itself: `ringway: error: …`.
package func writeError(_ message: String) { writeLine("ringway: error: \(message)") }

/// One line on standard error.
package func writeLine(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
