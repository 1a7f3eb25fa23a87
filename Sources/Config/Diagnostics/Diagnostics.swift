/// Collects the errors of one configuration file, from the first parser to the last filter, to show them all at once.
///
/// Belongs to the one thread that loads the configuration.
public final class Diagnostics {
    /// The most errors that are kept; what comes after them is counted only.
    public static let errorsMax = 1000
    /// The most errors for which a near miss is looked up: with thousands of wrong references among thousands of
    /// clusters the search would take longer than reading the file.
    static let suggestionsMax = 100

    /// The name of the file as the user gave it.
    public let file: String
    private var found: Set<ConfigError> = []
    private var foundLast = ConfigPosition.start
    private var suggestionsLeft = Diagnostics.suggestionsMax
    private var dropped = 0

    public init(file: String) {
        self.file = file
    }

    public var hasErrors: Bool { !found.isEmpty }

    /// Grows with every error, so that two readings tell whether something in between went wrong.
    public private(set) var reportCount = 0

    /// Adds an error. The same error at the same place, reached twice through an alias, is kept once.
    ///
    /// - Parameters:
    ///   - problem: what is wrong, without a full stop
    ///   - expected: what was expected, in words that follow "expected"
    ///   - suggestion: what the author may have meant
    public func report(_ problem: String, expected: String, suggestion: String? = nil, at position: ConfigPosition) {
        report(
            ConfigError(file: file, position: position, problem: problem, expected: expected, suggestion: suggestion))
    }

    public func report(_ error: ConfigError) {
        reportCount += 1
        guard found.count < Self.errorsMax else {
            if !found.contains(error) { dropped += 1 }
            return
        }
        found.insert(error)
        foundLast = max(foundLast, error.position)
    }

    /// The candidate nearest to a word that stands for none of them; nil when none is near.
    public func suggestion(for word: String, among candidates: some Sequence<String>) -> String? {
        guard suggestionsLeft > 0 else { return nil }
        suggestionsLeft -= 1
        return nearest(to: word, among: candidates)
    }

    /// All errors in the order of the file.
    public var errors: [ConfigError] {
        var errors = found.sorted { ($0.position, $0.problem) < ($1.position, $1.problem) }
        if dropped > 0 {
            errors.append(
                ConfigError(
                    file: file, position: foundLast, problem: "\(dropped) more errors are not shown",
                    expected: "at most \(Self.errorsMax)"))
        }
        return errors
    }
}
