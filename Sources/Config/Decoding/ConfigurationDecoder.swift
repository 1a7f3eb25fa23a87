/// Turns the nodes of a document into the model, section by section, and checks what spans sections.
///
/// One decoder reads one document.
final class ConfigurationDecoder {
    let diagnostics: Diagnostics
    var listenerNames: UniqueNames
    var clusterNames: UniqueNames
    var boundAddresses: BoundAddresses
    /// Checked at the end, because clusters usually follow the listeners that name them.
    var clusterReferences: [ClusterReference] = []
    /// The same for the exporters that listeners name, and for clusters that have to speak HTTP/2.
    var exporterReferences: [PlacedText] = []
    var http2References: [ClusterReference] = []
    /// Of the listener that is being read.
    var regexes: Set<RegexPattern> = []

    init(diagnostics: Diagnostics) {
        self.diagnostics = diagnostics
        listenerNames = UniqueNames(kind: "listener", diagnostics: diagnostics)
        clusterNames = UniqueNames(kind: "cluster", diagnostics: diagnostics)
        boundAddresses = BoundAddresses(diagnostics: diagnostics)
    }

    /// nil when the root is not an object.
    func configuration(_ root: ConfigNode) -> Configuration? {
        guard let object = ConfigObject(root, kind: "the configuration", diagnostics: diagnostics) else { return nil }
        let configuration = Configuration(
            workers: object.value("workers", .workerCount, default: .auto),
            admin: object.optional("admin", .object("admin", admin)),
            drainTimeout: object.value(
                "drain_timeout", .duration(in: ConfigLimits.drainTimeout), default: Configuration.defaultDrainTimeout),
            buffers: object.value("buffers", .object("buffers", buffers), default: BufferConfiguration()),
            stats: object.value("stats", .object("stats", stats), default: StatsConfiguration()),
            tracing: object.value("tracing", .object("tracing", tracing), default: TracingConfiguration()),
            listeners: object.required(
                "listeners", .list(of: .object("listener", listener), count: ConfigLimits.listeners)) ?? [],
            clusters: object.value("clusters", .list(of: .object("cluster", cluster)), default: []))
        object.finish()
        // What cannot be read as clusters at all has been reported; its names may still be right.
        if case .list = object.node("clusters")?.value ?? .list([]) {
            checkClusterReferences()
            checkTracing(configuration)
        }
        return configuration
    }

    private func admin(_ object: ConfigObject) -> AdminConfiguration? {
        guard let address = object.required("address", .listenAddress) else { return nil }
        let position = object.position(of: "address")
        boundAddresses.insert(address, of: "admin", at: position)
        return AdminConfiguration(address: address, origin: ConfigOrigin(position))
    }

    private func buffers(_ object: ConfigObject) -> BufferConfiguration? {
        BufferConfiguration(
            size: object.value("size", .bufferSize, default: BufferConfiguration.defaultSize),
            maxPerWorker: object.value(
                "max_per_worker", .size(in: ConfigLimits.buffersMaxPerWorker),
                default: BufferConfiguration.defaultMaxPerWorker))
    }

    private func stats(_ object: ConfigObject) -> StatsConfiguration? {
        StatsConfiguration(
            maxSeries: object.value(
                "max_series", .int(in: ConfigLimits.series), default: StatsConfiguration.defaultMaxSeries),
            recentRequests: object.value(
                "recent_requests", .int(in: ConfigLimits.recentRequests),
                default: StatsConfiguration.defaultRecentRequests))
    }

    /// Reads a reference and remembers it for the check at the end.
    func clusterReference(_ object: ConfigObject, _ key: String) -> ClusterReference? {
        guard let name = object.required(key, .clusterName) else { return nil }
        return clusterReference(to: name, at: object.position(of: key))
    }

    func clusterReference(to name: String, at position: ConfigPosition) -> ClusterReference {
        let reference = ClusterReference(name, origin: ConfigOrigin(position))
        clusterReferences.append(reference)
        return reference
    }

    private func checkClusterReferences() {
        for reference in clusterReferences where !clusterNames.contains(reference.name) {
            diagnostics.report(
                "unknown cluster \(reference.name.quotedForMessage)",
                expected: clusterNames.isEmpty ? "a cluster, but there are none" : "the name of a cluster",
                suggestion: diagnostics.suggestion(for: reference.name, among: clusterNames.inOrder),
                at: reference.origin.position)
        }
    }
}

extension ConfigFormat where Value == WorkerCount {
    fileprivate static var workerCount: ConfigFormat {
        let range = ConfigLimits.workers
        let count = ConfigFormat<Int>.int(in: range).expecting("auto or a whole number from 1 to \(range.upperBound)")
        return ConfigFormat(count.expectation) { value in
            if case .scalar(let scalar) = value.node.value, scalar.text == "auto" { return .auto }
            return value.read(as: count).map(WorkerCount.fixed)
        }
    }
}

extension ConfigFormat where Value == ByteSize {
    fileprivate static var bufferSize: ConfigFormat {
        let range = ConfigLimits.bufferSize
        return text("a power of two from \(range.lowerBound) to \(range.upperBound), such as 32KiB") {
            text throws(ConfigProblem) in
            let size = try ByteSize(parsing: text)
            guard range.contains(size) else { throw ConfigProblem("which is out of range") }
            guard size.bytes.nonzeroBitCount == 1 else { throw ConfigProblem("which is no power of two") }
            return size
        }
    }
}

extension ConfigFormat where Value == ClusterReference {
    /// The name of a cluster, with its place. Whether there is such a cluster is checked when the configuration is
    /// compiled, for those that `ConfigurableHTTPFilter.clusters(in:)` names.
    public static var cluster: ConfigFormat {
        ConfigFormat("the name of a cluster") { value in
            value.text.map { ClusterReference($0, origin: ConfigOrigin(value.node.position)) }
        }
    }
}

extension ConfigFormat where Value == String {
    /// Any text: whether it is a cluster's name is checked once all clusters are read.
    static var clusterName: ConfigFormat { string.expecting("the name of a cluster") }
}
