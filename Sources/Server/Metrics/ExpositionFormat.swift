/// The formats of `/metrics`, and which of them a client wants.
enum ExpositionFormat {
    /// Prometheus' text format 0.0.4.
    case text
    /// OpenMetrics 1.0.
    case openMetrics

    var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// What the client likes best of what there is (RFC 9110 §12.5.1). OpenMetrics must be asked for by name; a client
    /// that takes neither gets text all the same, as everywhere.
    static func chosen(accept: String?) -> ExpositionFormat {
        let preferences = accept.map(Preference.list) ?? []
        var openMetrics = 0.0
        // Of the most precise element that covers it.
        var text = (precision: -1, quality: 0.0)
        for preference in preferences {
            let precision: Int
            switch preference.name {
            case "application/openmetrics-text":
                if preference.parameters["version"] ?? "1.0.0" == "1.0.0" {
                    openMetrics = max(openMetrics, preference.quality)
                }
                continue
            case "text/plain":
                guard preference.parameters["version"] ?? "0.0.4" == "0.0.4" else { continue }
                precision = 2
            case "text/*": precision = 1
            case "*/*": precision = 0
            default: continue
            }
            if precision > text.precision { text = (precision, preference.quality) }
        }
        return openMetrics > 0 && openMetrics >= text.quality ? .openMetrics : .text
    }
}

/// An element of `Accept` or `Accept-Encoding`.
struct Preference {
    /// In lower case.
    var name: String
    /// In lower case, without quotes.
    var parameters: [String: String] = [:]
    var quality = 1.0

    /// Elements that are none are left out. A comma in a quoted parameter ends an element as well: no media type that
    /// is looked for has one.
    static func list(_ text: String) -> [Preference] {
        text.split(separator: ",").compactMap { element in
            var parts = element.split(separator: ";").map { part in
                String(part).lowercased().filter { $0 != " " && $0 != "\t" && $0 != "\"" }
            }
            guard let name = parts.first, !name.isEmpty else { return nil }
            parts.removeFirst()
            var preference = Preference(name: name)
            for part in parts {
                let pair = part.split(separator: "=", maxSplits: 1)
                guard pair.count == 2 else { continue }
                if pair[0] == "q" {
                    guard let quality = Double(pair[1]), (0...1).contains(quality) else { return nil }
                    preference.quality = quality
                } else {
                    preference.parameters[String(pair[0])] = String(pair[1])
                }
            }
            return preference
        }
    }
}
