/// A local manifest of AWS X-Ray's sampling rules, version 2: which requests are traced by chance, by host, method and
/// path (https://docs.aws.amazon.com/xray/latest/devguide/xray-console-sampling.html).
package struct TraceSamplingRules: Sendable, Equatable {
    package struct Rule: Sendable, Equatable {
        /// With `*` for any text and `?` for any character; without case.
        package var host: String
        package var method: String
        package var path: String
        package var share: TraceShare

        package init(host: String = "*", method: String = "*", path: String = "*", share: TraceShare) {
            self.host = host
            self.method = method
            self.path = path
            self.share = share
        }
    }

    /// The first that fits decides.
    package var rules: [Rule]
    /// Where none does.
    package var fallback: TraceShare

    package init(rules: [Rule], fallback: TraceShare) {
        self.rules = rules
        self.fallback = fallback
    }
}

/// So many requests a second, and of those beyond a share.
package struct TraceShare: Sendable, Equatable {
    package var perSecond: Int
    package var rate: Percent

    package init(perSecond: Int, rate: Percent) {
        self.perSecond = perSecond
        self.rate = rate
    }
}

extension TraceSamplingRules {
    /// Reads a manifest. nil after reporting what is wrong, with the place in its own file.
    ///
    /// - Parameter position: where the path stands
    package static func load(
        path: String, at position: ConfigPosition, _ diagnostics: Diagnostics
    ) -> TraceSamplingRules? {
        guard let text = ConfigFile.read(path: path, at: position, diagnostics: diagnostics) else { return nil }
        let own = Diagnostics(file: path)
        let rules = ConfigDocument.parse(text, diagnostics: own).flatMap { TraceSamplingRules($0, own) }
        for error in own.errors { diagnostics.report(error) }
        return own.hasErrors ? nil : rules
    }

    private init?(_ node: ConfigNode, _ diagnostics: Diagnostics) {
        guard let object = ConfigObject(node, kind: "the manifest", diagnostics: diagnostics) else { return nil }
        _ = object.required("version", .int(in: 2...2))
        let rules = object.value(
            "rules", .list(of: .object("rule", Rule.init), count: 0...ConfigLimits.traceSamplingRules), default: [])
        let fallback = object.required("default", .object("default", TraceShare.init))
        guard object.finish(), let fallback else { return nil }
        self.init(rules: rules, fallback: fallback)
    }
}

extension TraceSamplingRules.Rule {
    fileprivate init?(_ object: ConfigObject) {
        _ = object.optional("description", .string)
        let host = object.value("host", .string, default: "*")
        let method = object.value("http_method", .string, default: "*")
        let path = object.value("url_path", .string, default: "*")
        guard let share = TraceShare(object) else { return nil }
        self.init(host: host, method: method, path: path, share: share)
    }
}

extension TraceShare {
    fileprivate init?(_ object: ConfigObject) {
        let perSecond = object.required("fixed_target", .int(in: ConfigLimits.traceFixedTarget))
        let rate = object.required("rate", .fraction)
        guard let perSecond, let rate else { return nil }
        self.init(perSecond: perSecond, rate: rate)
    }
}

extension ConfigFormat where Value == Percent {
    /// A share as a number from 0 to 1.
    fileprivate static var fraction: ConfigFormat {
        text("a number from 0 to 1, such as 0.05") { text throws(ConfigProblem) in
            guard let number = Double(text), (0...1).contains(number) else { throw ConfigProblem() }
            return Percent(partsPerMillion: UInt32((number * 1_000_000).rounded()))
        }
    }
}
