internal import ArgumentParser
public import Server

/// The whole program: what `ringway` does is one call of `main`, and a program of somebody else does the same with
/// filters of its own.
///
/// ```swift
/// Ringway.main(Extensions(httpFilters: [HTTPFilterRegistration(StampFilter.self)]))
/// ```
public enum Ringway {
    /// Does what the arguments of this process say: `run FILE`, `check FILE` and the others that `--help` lists. Ends
    /// the process with one of the documented exit codes.
    ///
    /// - Parameter extensions: what configuration can name
    public static func main(_ extensions: Extensions = Extensions()) -> Never {
        RingwayCommand.$extensions.withValue(extensions) { RingwayCommand.start() }
    }
}

/// The command line: arguments in, exit codes out. What the commands do is in Server.
struct RingwayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ringway",
        abstract: "An edge and sidecar proxy on io_uring.",
        subcommands: [Run.self, Proxy.self, Check.self, Explain.self, Top.self, Doctor.self, Version.self])

    /// Commands are made by the parser: this is how they come to know of more than their arguments.
    @TaskLocal static var extensions = Extensions()

    /// Wrong usage exits with 64 (EX_USAGE), as ArgumentParser does by itself; a command that fails throws the
    /// exit code that it means.
    static func start() -> Never {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            // Neither wrong usage nor an exit code that a command chose: a bug of ours.
            if exitCode(for: error) == .failure {
                writeError(message(for: error))
                exit(withError: ExitCode(ExitStatus.internalError))
            }
            exit(withError: error)
        }
        exit()
    }
}

struct LogOptions: ParsableArguments {
    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = "notice"

    @Option(help: "text or json.")
    var logFormat = "text"

    func logging() throws -> LogSettings {
        guard let level = LogSettings.level(named: logLevel) else {
            throw ValidationError("--log-level is one of \(LogSettings.levelNames.joined(separator: ", "))")
        }
        guard let format = LogSettings.Format(rawValue: logFormat) else {
            throw ValidationError("--log-format is text or json")
        }
        return LogSettings(level: level, format: format)
    }
}

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the proxy that a configuration file describes.")

    @Argument(help: "The configuration file, YAML or JSON.")
    var config: String

    @Option(help: "Worker threads, one ring each: a number or auto. Overrides the file.")
    var workers: String?

    @Option(help: "Address of the admin interface, or none. Overrides the file.")
    var admin: String?

    @Option(help: "auto or uring.")
    var io = "auto"

    @OptionGroup var log: LogOptions

    mutating func run() throws {
        let chosen = try overrides(workers: workers, admin: admin, io: io)
        throw ExitCode(
            RunCommand.run(
                path: config, overrides: chosen, logging: try log.logging(), extensions: RingwayCommand.extensions))
    }
}

struct Proxy: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Proxy TCP without a file: ringway proxy :9000 127.0.0.1:5432")

    @Argument(help: "Where to listen: HOST:PORT, :PORT or unix:PATH.")
    var listen: String

    @Argument(help: "Where to connect, round robin among several.")
    var upstreams: [String]

    @Flag(help: "Proxy bytes at layer 4. The default, while there is no other.")
    var tcp = false

    @Option(help: "Worker threads, one ring each: a number or auto.")
    var workers: String?

    @Option(help: "Address of the admin interface, or none.")
    var admin: String?

    @OptionGroup var log: LogOptions

    mutating func run() throws {
        let chosen = try overrides(workers: workers, admin: admin, io: "auto")
        throw ExitCode(
            RunCommand.proxy(listen: listen, upstreams: upstreams, overrides: chosen, logging: try log.logging()))
    }
}

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say everything that `run` would refuse in a configuration file.")

    @Argument(help: "The configuration file.")
    var config: String

    mutating func run() throws {
        throw ExitCode(CheckCommand.check(path: config, extensions: RingwayCommand.extensions))
    }
}

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what becomes of a request, and why: ringway explain GET http://localhost:8080/users/1")

    @Argument(help: "The method.")
    var method: String

    @Argument(help: "A URL, or a path that starts with a slash.")
    var url: String

    @Option(name: [.customShort("H"), .long], help: "A header of the request, NAME: VALUE. May be repeated.")
    var header: [String] = []

    @Option(help: "The listener's name. Without it, the one at the URL's port, or the only one.")
    var listener: String?

    @Option(help: "The client's address, for filter chains that ask for it.")
    var source: String?

    @Option(help: "A configuration file to ask instead of the running proxy.")
    var config: String?

    @Option(help: "Where the running proxy's admin interface listens. (default: 127.0.0.1:9901)")
    var admin: String?

    @Flag(help: "Print JSON.")
    var json = false

    mutating func validate() throws {
        if config != nil, admin != nil { throw ValidationError("either --config or --admin") }
    }

    mutating func run() throws {
        let options = ExplainCommand.Options(
            method: method, url: url, headers: header, listener: listener, source: source, json: json)
        if let config {
            throw ExitCode(ExplainCommand.run(options, config: config, extensions: RingwayCommand.extensions))
        }
        throw ExitCode(ExplainCommand.run(options, admin: admin))
    }
}

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the running proxy is doing: rates, latencies, errors, routes, endpoints, workers.")

    @Option(help: "Where its admin interface listens. (default: 127.0.0.1:9901)")
    var admin: String?

    @Option(help: "Seconds between two looks, 0.1 to 3600.")
    var interval = 2.0

    @Flag(help: "Look once, at one interval, and end.")
    var once = false

    mutating func validate() throws {
        guard (0.1...3600).contains(interval) else { throw ValidationError("--interval is from 0.1 to 3600 seconds") }
    }

    mutating func run() throws { throw ExitCode(TopCommand.run(admin: admin, intervalSeconds: interval, once: once)) }
}

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What this kernel and container allow, and how to allow what is missing.")

    mutating func run() throws { throw ExitCode(DoctorCommand.run()) }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")

    mutating func run() throws { print("ringway \(RingwayVersion.current)") }
}

/// The options as overrides; what is wrong with them is wrong usage.
private func overrides(workers: String?, admin: String?, io: String) throws -> Overrides {
    guard io == "auto" || io == "uring" else { throw ValidationError("--io is auto or uring") }
    do throws(Overrides.Invalid) {
        return try Overrides(workers: workers, admin: admin)
    } catch {
        throw ValidationError(error.message)
    }
}
