internal import Config

/// What `format` of an access log says, compiled. Each line ends with a line break, whether the format has one or not.
struct AccessLogFormat {
    private(set) var commands = CommandFormat()

    /// What lines are about.
    package enum Subject {
        /// Exchanges of an `http:` listener.
        case exchanges
        /// Connections of a `tcp:` listener.
        case connections
    }

    init(_ configuration: AccessLogFormatConfiguration, _ subject: Subject, _ diagnostics: Diagnostics) {
        switch configuration {
        case .text: append(PlacedText(Self.defaultText), .text, diagnostics)
        case .json: appendFields(Self.defaultFields(subject), diagnostics)
        case .custom(let text):
            var line = text
            while line.text.utf8.last == UInt8(ascii: "\n") { line.text.removeLast() }
            append(line, .text, diagnostics)
        case .fields(let fields): appendFields(fields, diagnostics)
        }
        commands.append(literal: "\n")
    }

    private mutating func append(_ text: PlacedText, _ style: CommandFormat.Style, _ diagnostics: Diagnostics) {
        do throws(ConfigProblem) {
            try commands.append(text.text, style)
        } catch {
            diagnostics.report(
                "a format is \(text.text.quotedForMessage)" + (error.detail.map { ", \($0)" } ?? ""),
                expected: CommandFormat.expectation, suggestion: error.suggestion, at: text.origin.position)
        }
    }

    private mutating func appendFields(_ fields: [AccessLogField], _ diagnostics: Diagnostics) {
        commands.append(literal: "{")
        for (index, field) in fields.enumerated() {
            commands.append(literal: "\(index > 0 ? "," : "")\"\(field.name.escapedForJSON)\":")
            switch field.value {
            case .fields(let inner): appendFields(inner, diagnostics)
            case .text(let text) where CommandParser.isOneCommand(text.text): append(text, .jsonValue, diagnostics)
            case .text(let text):
                commands.append(literal: "\"")
                append(text, .jsonText, diagnostics)
                commands.append(literal: "\"")
            }
        }
        commands.append(literal: "}")
    }

    // MARK: Defaults

    /// Envoy's.
    static let defaultText =
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
        + "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
        + "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" "
        + "\"%UPSTREAM_HOST%\""

    /// By the names that Istio and others have made common.
    static func defaultFields(_ subject: Subject) -> [AccessLogField] {
        let exchange: KeyValuePairs<String, String> = [
            "start_time": "%START_TIME%",
            "method": "%REQ(:METHOD)%",
            "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
            "protocol": "%PROTOCOL%",
            "response_code": "%RESPONSE_CODE%",
            "response_flags": "%RESPONSE_FLAGS%",
            "response_code_details": "%RESPONSE_CODE_DETAILS%",
            "bytes_received": "%BYTES_RECEIVED%",
            "bytes_sent": "%BYTES_SENT%",
            "duration": "%DURATION%",
            "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
            "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
            "user_agent": "%REQ(USER-AGENT)%",
            "request_id": "%REQ(X-REQUEST-ID)%",
            "authority": "%REQ(:AUTHORITY)%",
            "upstream_host": "%UPSTREAM_HOST%",
            "upstream_cluster": "%UPSTREAM_CLUSTER%",
            "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
            "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
            "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
            "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
            "requested_server_name": "%REQUESTED_SERVER_NAME%",
            "route_name": "%ROUTE_NAME%",
        ]
        let connection: KeyValuePairs<String, String> = [
            "start_time": "%START_TIME%",
            "response_flags": "%RESPONSE_FLAGS%",
            "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
            "bytes_received": "%BYTES_RECEIVED%",
            "bytes_sent": "%BYTES_SENT%",
            "duration": "%DURATION%",
            "connection_id": "%CONNECTION_ID%",
            "upstream_host": "%UPSTREAM_HOST%",
            "upstream_cluster": "%UPSTREAM_CLUSTER%",
            "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
            "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
            "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
            "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
            "requested_server_name": "%REQUESTED_SERVER_NAME%",
        ]
        let pairs = subject == .exchanges ? exchange : connection
        return pairs.map { AccessLogField(name: $0, value: .text(PlacedText($1))) }
    }
}

extension CommandParser {
    /// Whether a text is one operator and nothing else, whose value keeps its type in JSON.
    static func isOneCommand(_ text: String) -> Bool {
        var parser = CommandParser(text)
        guard case .command = try? parser.next() else { return false }
        return (try? parser.next()) == .some(nil)
    }
}
