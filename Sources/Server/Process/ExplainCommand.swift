internal import Config
internal import Engine

/// `ringway explain`.
package enum ExplainCommand {
    /// What the command line says.
    package struct Options {
        package var method: String
        package var url: String
        package var headers: [String]
        /// The listener's name; nil for the one at the URL's port.
        package var listener: String?
        /// The client's address; nil for one that is not known.
        package var source: String?
        package var json: Bool

        package init(
            method: String, url: String, headers: [String], listener: String?, source: String? = nil, json: Bool
        ) {
            self.method = method
            self.url = url
            self.headers = headers
            self.listener = listener
            self.source = source
            self.json = json
        }
    }

    /// Asks the running proxy.
    ///
    /// - Parameter admin: its admin address; nil for the default
    package static func run(_ options: Options, admin: String?) -> Int32 {
        var address = AdminClient.defaultAddress
        if let admin {
            do throws(ConfigProblem) {
                address = try SocketAddress(connectingTo: admin)
            } catch {
                writeError("--admin is \(SocketAddress.connectingForms)")
                return ExitStatus.wrongUsage
            }
        }
        var target = "/explain?method=\(options.method.percentEncoded)&url=\(options.url.percentEncoded)"
        for header in options.headers { target += "&header=\(header.percentEncoded)" }
        if let listener = options.listener { target += "&listener=\(listener.percentEncoded)" }
        if let source = options.source { target += "&source=\(source.percentEncoded)" }
        if options.json { target += "&format=json" }
        do throws(AdminClient.Failure) {
            let answer = try AdminClient(address: address).get(target)
            if answer.status == 200 {
                print(answer.body, terminator: "")
                return ExitStatus.done
            }
            writeError(answer.body.last == "\n" ? String(answer.body.dropLast()) : answer.body)
            return answer.status == 400 ? ExitStatus.wrongUsage : ExitStatus.systemLack
        } catch {
            writeError("\(error.message); --config FILE explains what a file says")
            return ExitStatus.systemLack
        }
    }

    /// Asks a file.
    package static func run(_ options: Options, config path: String, extensions: Extensions) -> Int32 {
        let loaded = Configuration.load(path: path)
        var snapshot: Snapshot?
        if let configuration = loaded.configuration {
            let registry = StatsRegistry(blocks: [])
            let compiler = SnapshotCompiler(
                registry: registry, extensions: extensions, accessLogs: AccessLogFiles(registry: registry, log: nil))
            snapshot = compiler.compile(
                configuration, source: loaded.source, previous: nil, diagnostics: loaded.diagnostics)
        }
        guard let snapshot else {
            for error in loaded.errors { writeLine(error.description) }
            return ExitStatus.configurationError
        }
        do throws(ExplainedRequest.Invalid) {
            let request = try ExplainedRequest(
                method: options.method, url: options.url, headers: options.headers, source: options.source)
            let explainer = RequestExplainer(snapshot: snapshot) { $0.configuration.address.description }
            let explanation = try explainer.explain(request, listener: options.listener)
            print(options.json ? explanation.json.text + "\n" : explanation.text, terminator: "")
            return ExitStatus.done
        } catch {
            writeError(error.message)
            return ExitStatus.wrongUsage
        }
    }
}
