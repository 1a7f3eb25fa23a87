extension ConfigurationDecoder {
    func accessLogs(_ object: ConfigObject) -> [AccessLogConfiguration] {
        object.value(
            "access_log", .list(of: .object("access log", accessLog), count: ConfigLimits.accessLogs), default: [])
    }

    private func accessLog(_ object: ConfigObject) -> AccessLogConfiguration? {
        let path = object.required("path", .filePath)
        let format = object.value("format", .accessLogFormat, default: .text)
        let filter = object.value("filter", accessLogFilter, default: [])
        guard let path else { return nil }
        return AccessLogConfiguration(
            path: path, format: format, filter: filter, origin: ConfigOrigin(object.position(of: "path")))
    }

    /// One object, or a list of which one has to fit.
    private var accessLogFilter: ConfigFormat<[AccessLogFilterConfiguration]> {
        let one = ConfigFormat<AccessLogFilterConfiguration>.object("filter", accessLogConditions)
        let several = ConfigFormat<[AccessLogFilterConfiguration]>.list(
            of: one, count: ConfigLimits.accessLogFilters)
        return ConfigFormat("an object of conditions, or a list of such objects") { value in
            if case .list = value.node.value { return value.read(as: several) }
            return value.read(as: one.expecting(value.expectation)).map { [$0] }
        }
    }

    private func accessLogConditions(_ object: ConfigObject) -> AccessLogFilterConfiguration? {
        let filter = AccessLogFilterConfiguration(
            status: object.optional("status", .statusRange),
            duration: object.optional("duration", .duration(in: ConfigLimits.accessLogDuration)),
            flags: object.value(
                "flags", .list(of: .placedText("a response flag such as UF"), count: ConfigLimits.accessLogFlags),
                default: []),
            sampling: object.optional("sampling", .percent))
        let keys = ["status", "duration", "flags", "sampling"]
        if keys.allSatisfy({ object.entry($0) == nil }) {
            object.reportMissing(
                "\"status\", \"duration\", \"flags\" or \"sampling\"", expected: "at least one of them")
        }
        return filter
    }
}

extension ConfigFormat where Value == PlacedText {
    static func placedText(_ expectation: String) -> ConfigFormat {
        ConfigFormat(expectation) { value in
            value.text.map { PlacedText($0, origin: ConfigOrigin(value.node.position)) }
        }
    }
}

extension ConfigFormat where Value == String {
    /// A path of the file system, as far as it can be told without looking.
    fileprivate static var filePath: ConfigFormat {
        text("the path of a file, /dev/stdout or /dev/stderr") { text throws(ConfigProblem) in
            guard (1...ConfigLimits.filePathBytesMax).contains(text.utf8.count), !text.utf8.contains(0) else {
                throw ConfigProblem()
            }
            return text
        }
    }
}

extension ConfigFormat where Value == ClosedRange<UInt16> {
    /// `404`, `400-499` or `5xx`.
    fileprivate static var statusRange: ConfigFormat {
        text("a status such as 404, a range such as 400-599, or a class such as 5xx") { text throws(ConfigProblem) in
            let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            func status(_ text: Substring) throws(ConfigProblem) -> UInt16 {
                guard text.utf8.count <= 3, text.utf8.allSatisfy({ $0.decimalDigit != nil }), let status = UInt16(text),
                    status == 0 || (100...599).contains(status)
                else { throw ConfigProblem() }
                return status
            }
            if text.utf8.count == 3, text.hasSuffix("xx"), let digit = text.first?.wholeNumberValue,
                (1...5).contains(digit)
            {
                return UInt16(digit * 100)...UInt16(digit * 100 + 99)
            }
            guard parts.count == 2 else {
                let status = try status(text[...])
                return status...status
            }
            let (first, last) = (try status(parts[0]), try status(parts[1]))
            guard first <= last else { throw ConfigProblem("which ends before it begins") }
            return first...last
        }
    }
}

extension ConfigFormat where Value == AccessLogFormatConfiguration {
    fileprivate static var accessLogFormat: ConfigFormat {
        ConfigFormat("text, json, a line with operators such as %START_TIME%, or an object of such texts") { value in
            switch value.node.value {
            case .object: return value.read(as: .accessLogFields(depth: 1)).map(AccessLogFormatConfiguration.fields)
            case .list:
                value.refuse()
                return nil
            case .scalar: break
            }
            guard let text = value.text else { return nil }
            switch text {
            case "text": return .text
            case "json": return .json
            default:
                guard text.contains("%") else {
                    value.refuse(suggestion: value.diagnostics.suggestion(for: text, among: ["text", "json"]))
                    return nil
                }
                guard text.utf8.count <= ConfigLimits.accessLogFormatBytesMax else {
                    value.refuse("which is longer than \(ConfigLimits.accessLogFormatBytesMax) bytes")
                    return nil
                }
                return .custom(PlacedText(text, origin: ConfigOrigin(value.node.position)))
            }
        }
    }
}

extension ConfigFormat where Value == [AccessLogField] {
    fileprivate static func accessLogFields(depth: Int) -> ConfigFormat {
        ConfigFormat("an object of texts with operators such as %START_TIME%") { value in
            guard case .object(let entries) = value.node.value else {
                value.refuse()
                return nil
            }
            guard (1...ConfigLimits.accessLogFieldsMax).contains(entries.count) else {
                value.diagnostics.report(
                    "\(value.subject) has \(entries.count) keys",
                    expected: "1 to \(ConfigLimits.accessLogFieldsMax)", at: value.node.position)
                return nil
            }
            return entries.compactMap { entry in
                let field = ConfigValue(
                    node: entry.value, subject: entry.key.quotedForMessage,
                    expectation: "text with operators such as %START_TIME%, or an object of such texts",
                    diagnostics: value.diagnostics)
                if case .object = entry.value.value {
                    guard depth < ConfigLimits.accessLogFieldDepthMax else {
                        field.refuse("which is an object too deep")
                        return nil
                    }
                    let inner = field.read(as: accessLogFields(depth: depth + 1))
                    return inner.map { AccessLogField(name: entry.key, value: .fields($0)) }
                }
                guard let text = field.text else { return nil }
                guard text.utf8.count <= ConfigLimits.accessLogFormatBytesMax else {
                    field.refuse("which is longer than \(ConfigLimits.accessLogFormatBytesMax) bytes")
                    return nil
                }
                let placed = PlacedText(text, origin: ConfigOrigin(entry.value.position))
                return AccessLogField(name: entry.key, value: .text(placed))
            }
        }
    }
}
