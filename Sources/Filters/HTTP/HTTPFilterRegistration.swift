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

    /// What it counts (`HTTPFilter.count`), at most 32 names of lower-case letters and `_`:
    /// `ringway_http_filter_events_total` with `listener`, `filter` and `event`. None by default.
    static var events: [String] { get }
    /// The clusters that its settings name. They have to exist, and are at hand as `HTTPFilter.clusters`. None by
    /// default.
    static func clusters(in settings: Settings) -> [ClusterReference]
    /// Keys of its configuration whose values are secrets: the admin interface shows none of them. None by default.
    static var secretKeys: Set<String> { get }
    /// Differs where settings differ in what does not stand in the configuration itself, such as the content of a
    /// file: a reload would take an equal configuration for an unchanged one. Always the same by default.
    static func fingerprint(of settings: Settings) -> UInt64

    /// One instance serves a listener on one worker. What it has besides (`clusters`, counters) is there from the
    /// first request on.
    init(settings: Settings, worker: Worker)
}

extension ConfigurableHTTPFilter {
    public static var events: [String] { [] }
    public static func clusters(in settings: Settings) -> [ClusterReference] { [] }
    public static var secretKeys: Set<String> { [] }
    public static func fingerprint(of settings: Settings) -> UInt64 { 0 }
}

/// A filter type as the registry keeps it.
public struct HTTPFilterRegistration: Sendable {
    package let name: String
    package let secretKeys: Set<String>
    /// Reads the configuration; the result makes the filter on each worker.
    package let prepare: @Sendable (ConfigNode, Diagnostics) -> HTTPFilterPlan?

    public init<Filter: ConfigurableHTTPFilter>(_ filter: Filter.Type) {
        name = Filter.name
        secretKeys = Filter.secretKeys
        prepare = { config, diagnostics in
            guard let settings = Filter.settings(from: config, diagnostics) else { return nil }
            return HTTPFilterPlan(
                name: Filter.name, events: Filter.events, clusters: Filter.clusters(in: settings),
                fingerprint: Filter.fingerprint(of: settings)
            ) { Filter(settings: settings, worker: $0) }
        }
    }
}

/// A filter with its settings: what one entry of a listener's `filters` becomes.
package struct HTTPFilterPlan: Sendable {
    package let name: String
    package let events: [String]
    package let clusters: [ClusterReference]
    package let fingerprint: UInt64
    package let makeFilter: @Sendable (Worker) -> HTTPFilter

    package init(
        name: String, events: [String] = [], clusters: [ClusterReference] = [], fingerprint: UInt64 = 0,
        makeFilter: @escaping @Sendable (Worker) -> HTTPFilter
    ) {
        self.name = name
        self.events = events
        self.clusters = clusters
        self.fingerprint = fingerprint
        self.makeFilter = makeFilter
    }

    /// A filter that is turned off: everything passes it.
    package static func off(_ name: String) -> HTTPFilterPlan { HTTPFilterPlan(name: name) { _ in HTTPFilter() } }
}
