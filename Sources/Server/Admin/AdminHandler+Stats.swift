internal import Filters
internal import HTTP

/// The pages that show numbers. What they answer is made on the queue of scrapes, part by part.
extension AdminHandler {
    private static let starting = AdminAnswer.whole(LocalResponse(.serviceUnavailable, text: "starting\n"))

    func metrics(_ request: AdminRequest) -> AdminAnswer {
        guard let inputs = control.metricInputs else { return Self.starting }
        let format = ExpositionFormat.chosen(accept: request.accept)
        let exposition = Exposition(
            format == .openMetrics ? .openMetrics : .text, compressed: request.takesGzip
        ) {
            NativeCatalog(inputs: inputs).families
        }
        return answer(exposition, type: format.contentType, varies: "Accept, Accept-Encoding")
    }

    /// In the text format only: Envoy's counters have names that OpenMetrics does not allow.
    func envoyMetrics(_ request: AdminRequest) -> AdminAnswer {
        guard let inputs = control.metricInputs else { return Self.starting }
        let exposition = Exposition(.text, compressed: request.takesGzip) { EnvoyCatalog(inputs: inputs).families }
        return answer(exposition, type: ExpositionFormat.text.contentType, varies: "Accept-Encoding")
    }

    /// Every stat: first under Envoy's names, then under our own.
    func stats(_ request: AdminRequest) -> AdminAnswer {
        guard let inputs = control.metricInputs else { return Self.starting }
        let query = request.query
        let isJSON: Bool
        switch query["format"] {
        case "prometheus": return envoyMetrics(request)
        case "json": isJSON = true
        case nil, "text": isJSON = false
        default: return .whole(LocalResponse(.badRequest, text: "format= is text, json or prometheus\n"))
        }
        var filter: StatFilter?
        do throws(StatFilter.Invalid) {
            if let pattern = query["filter"], !pattern.isEmpty { filter = try StatFilter(pattern) }
        } catch {
            return .whole(LocalResponse(.badRequest, text: error.message + "\n"))
        }
        let exposition = Exposition(
            isJSON ? .json : .lines, filter: filter, usedOnly: query["usedonly"] != nil, compressed: request.takesGzip
        ) {
            EnvoyCatalog(inputs: inputs).families + NativeCatalog(inputs: inputs).families
        }
        let type = isJSON ? "application/json" : "text/plain; charset=utf-8"
        return answer(exposition, type: type, varies: "Accept-Encoding")
    }

    /// What the workers remember of the last requests.
    func requests(_ request: AdminRequest) -> AdminAnswer {
        let recent = RecentRequests(recorders: control.recorders, registry: control.registry)
        do throws(RequestFilter.Invalid) {
            let filter = try RequestFilter(request.parameters)
            let isJSON = request.wantsJSON
            return .later {
                let page = RecentRequestsPage(recent.find(filter))
                return isJSON ? .json(page.json) : LocalResponse(.ok, text: page.text)
            }
        } catch {
            return .whole(LocalResponse(.badRequest, text: error.message + "\n"))
        }
    }

    private func answer(_ exposition: Exposition, type: String, varies: String) -> AdminAnswer {
        var headers = [(name: "Content-Type", value: type), (name: "Vary", value: varies)]
        if exposition.isCompressed { headers.append((name: "Content-Encoding", value: "gzip")) }
        return .exposition(LocalResponse(.ok, headers: headers), exposition)
    }
}

extension AdminRequest {
    /// RFC 9110 §12.5.3. Without the field anything may come, but what asks for nothing seldom takes gzip.
    fileprivate var takesGzip: Bool {
        let preferences = acceptEncoding.map(Preference.list) ?? []
        let named = preferences.first { $0.name == "gzip" || $0.name == "x-gzip" }
        guard let gzip = named ?? preferences.first(where: { $0.name == "*" }) else { return false }
        let identity = preferences.first { $0.name == "identity" }?.quality ?? 0
        return gzip.quality > 0 && gzip.quality >= identity
    }
}
