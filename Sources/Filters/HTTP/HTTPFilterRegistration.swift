public import Config
public import Engine

/// An HTTP filter that a configuration can name under `filters`.
///
/// One file holds all of it: the name, the settings and how they are read, the hooks. One line in
/// `Server/StandardExtensions.swift` makes it known.
public protocol ConfigurableHTTPFilter: HTTPFilter {
    /// What its configuration says, read once when the configuration is loaded and shared by all workers.
    associatedtype Settings: Sendable

    /// The key in `filters`.
    static var name: String { get }
    /// Reads the settings. nil after everything that is wrong was reported.
    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings?

    /// One instance serves a listener on one worker.
    init(settings: Settings, worker: Worker)
}

/// A filter type as the registry keeps it.
public struct HTTPFilterRegistration: Sendable {
    package let name: String
    /// Reads the configuration; the result makes the filter on each worker.
    package let prepare: @Sendable (ConfigNode, Diagnostics) -> HTTPFilterPlan?

    public init<Filter: ConfigurableHTTPFilter>(_ filter: Filter.Type) {
        name = Filter.name
        prepare = { config, diagnostics in
            guard let settings = Filter.settings(from: config, diagnostics) else { return nil }
            return HTTPFilterPlan { Filter(settings: settings, worker: $0) }
        }
    }
}

/// A filter with its settings: what one entry of a listener's `filters` becomes.
package struct HTTPFilterPlan: Sendable {
    package let makeFilter: @Sendable (Worker) -> HTTPFilter

    package init(makeFilter: @escaping @Sendable (Worker) -> HTTPFilter) {
        self.makeFilter = makeFilter
    }
}
