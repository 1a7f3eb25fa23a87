internal import Config

/// What becomes of a request, step by step, for people and for programs.
struct Explanation {
    private struct Step {
        let kind: String
        let text: String
        /// Where the configuration says so.
        let place: String?
    }

    private let file: String
    private var steps: [Step] = []

    init(file: String) { self.file = file }

    mutating func add(_ kind: String, _ text: String, at origin: ConfigOrigin? = nil) {
        let place = origin.map { "\(file):\($0.position.line)" }
        steps.append(Step(kind: kind, text: text, place: place))
    }

    mutating func add(_ kind: String, _ texts: [String]) { add(kind, texts.joined(separator: ", ")) }

    /// A line a step: what it is, then what was found, then where that stands.
    var text: String {
        let width = (steps.map(\.kind.count).max() ?? 0) + 2
        return steps.map { step in
            let name = step.kind.replacing("_", with: " ")
            let padding = String(repeating: " ", count: width - name.count)
            return "\(name)\(padding)\(step.text)\(step.place.map { "  (\($0))" } ?? "")\n"
        }.joined()
    }

    /// The same as `{"steps": [{"kind", "text", "place"}]}`.
    var json: JSON {
        .object([
            (
                "steps",
                .array(
                    steps.map { step in
                        .object([
                            ("kind", .string(step.kind)), ("text", .string(step.text)),
                            ("place", step.place.map { .string($0) } ?? .null),
                        ])
                    })
            )
        ])
    }
}
