public import Config
public import Engine

/// A network filter that a configuration can name under `network_filters`.
///
/// One file holds all of it: the name, the settings and how they are read, the hooks. One line in
/// `Server/StandardExtensions.swift` makes it known.
public protocol ConfigurableNetworkFilter: NetworkFilter {
    /// What its configuration says, read once when the configuration is loaded and shared by all workers.
    associatedtype Settings: Sendable

    /// The key in `network_filters`.
    static var name: String { get }
    /// Whether it does something with the bytes itself, so that nothing can stand behind it.
    static var isTerminal: Bool { get }
    /// Reads the settings. nil after everything that is wrong was reported.
    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings?

    /// A filter for one connection, made when it was accepted.
    init(connection: Connection, settings: Settings)
}

extension ConfigurableNetworkFilter {
    public static var isTerminal: Bool { false }
}

/// A filter type as the registry keeps it.
public struct NetworkFilterRegistration: Sendable {
    package let name: String
    package let isTerminal: Bool
    /// Reads the configuration; the result makes the filter's factory on each worker.
    package let prepare: @Sendable (ConfigNode, Diagnostics) -> NetworkFilterPlan?

    /// - Parameter filter: the type that configuration can name from now on.
    public init<Filter: ConfigurableNetworkFilter>(_ filter: Filter.Type) {
        name = Filter.name
        isTerminal = Filter.isTerminal
        prepare = { config, diagnostics in
            guard let settings = Filter.settings(from: config, diagnostics) else { return nil }
            return NetworkFilterPlan { _ in ConfiguredFactory<Filter>(settings: settings) }
        }
    }
}

/// A filter with its settings: what one entry of a listener's chain becomes.
package struct NetworkFilterPlan: Sendable {
    package let makeFactory: @Sendable (Worker) -> NetworkFilterFactory

    package init(makeFactory: @escaping @Sendable (Worker) -> NetworkFilterFactory) {
        self.makeFactory = makeFactory
    }
}

private final class ConfiguredFactory<Filter: ConfigurableNetworkFilter>: NetworkFilterFactory {
    private let settings: Filter.Settings

    init(settings: Filter.Settings) {
        self.settings = settings
        super.init()
    }

    override func makeFilter(for connection: Connection) -> NetworkFilter {
        Filter(connection: connection, settings: settings)
    }
}
