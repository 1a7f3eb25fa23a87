extension ConfigurationDecoder {
    /// Always a listener, so that its filters are checked even when its address is wrong.
    func listener(_ object: ConfigObject) -> ListenerConfiguration? {
        let name = object.required("name", .name)
        if let name { listenerNames.insert(name, at: object.position(of: "name")) }
        let address = object.required("address", .listenAddress)
        if let address {
            let owner = name.map { "listener \($0.quotedForMessage)" } ?? "a listener"
            boundAddresses.insert(address, of: owner, at: object.position(of: "address"))
        }
        return ListenerConfiguration(
            name: name ?? "",
            address: address ?? .any(port: 0),
            maxConnections: object.optional("max_connections", .int(in: ConfigLimits.connections)),
            access: object.value("access", .object("access", access), default: AccessConfiguration()),
            networkFilters: object.value(
                "network_filters", .list(of: .networkFilter, count: ConfigLimits.networkFilters), default: []),
            proxy: proxy(object),
            origin: ConfigOrigin(object.position))
    }

    private func access(_ object: ConfigObject) -> AccessConfiguration? {
        AccessConfiguration(
            allow: object.value("allow", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []),
            deny: object.value("deny", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []))
    }

    /// nil without `tcp` and `http`. Whether the last network filter can do without is for those who know filters.
    private func proxy(_ object: ConfigObject) -> ProxyConfiguration? {
        let tcp = object.optional("tcp", tcpFormat)
        let http = object.optional("http", .object("http", http))
        let tcpEntry = object.entry("tcp")
        let httpEntry = object.entry("http")
        if let tcpEntry, let httpEntry {
            diagnostics.report(
                "both \"tcp\" and \"http\" in listener", expected: "one of them",
                at: max(tcpEntry.keyPosition, httpEntry.keyPosition))
        }
        if tcpEntry == nil, httpEntry == nil, object.entry("network_filters") == nil {
            object.reportMissing(
                "\"tcp\" or \"http\"", expected: "one of them, or \"network_filters\" with one that ends the chain")
        }
        return tcp.map(ProxyConfiguration.tcp) ?? http.map(ProxyConfiguration.http)
    }

    /// `tcp: NAME` stands for `tcp: { cluster: NAME }`.
    private var tcpFormat: ConfigFormat<TCPProxyConfiguration> {
        ConfigFormat("the name of a cluster or an object") { [self] value in
            guard case .scalar(let scalar) = value.node.value, !scalar.isNull else {
                return value.read(as: .object("tcp", tcp).expecting(value.expectation))
            }
            return TCPProxyConfiguration(cluster: clusterReference(to: scalar.text, at: value.node.position))
        }
    }

    private func tcp(_ object: ConfigObject) -> TCPProxyConfiguration? {
        TCPProxyConfiguration(
            clusters: tcpClusters(object),
            idleTimeout: object.value(
                "idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout),
                default: TCPProxyConfiguration.defaultIdleTimeout),
            connectAttempts: object.value(
                "connect_attempts", .int(in: ConfigLimits.connectAttempts),
                default: TCPProxyConfiguration.defaultConnectAttempts))
    }

    private func tcpClusters(_ object: ConfigObject) -> [WeightedCluster] {
        let clusterEntry = object.entry("cluster")
        let weighted = object.optional(
            "weighted",
            .list(of: .object("weighted cluster", weightedCluster), count: ConfigLimits.weightedClusters))
        if let clusterEntry, let weightedEntry = object.entry("weighted") {
            diagnostics.report(
                "both \"cluster\" and \"weighted\" in tcp", expected: "one of them",
                at: max(clusterEntry.keyPosition, weightedEntry.keyPosition))
        }
        if clusterEntry != nil {
            return clusterReference(object, "cluster").map { [WeightedCluster(cluster: $0)] } ?? []
        }
        if object.entry("weighted") == nil {
            object.reportMissing("\"cluster\" or \"weighted\"", expected: "one of them")
        }
        return weighted ?? []
    }

    private func weightedCluster(_ object: ConfigObject) -> WeightedCluster? {
        let cluster = clusterReference(object, "cluster")
        let weight = object.required("weight", .int(in: ConfigLimits.weight))
        guard let cluster, let weight else { return nil }
        return WeightedCluster(cluster: cluster, weight: weight)
    }
}

extension ConfigFormat where Value == NetworkFilterConfiguration {
    /// `NAME` or `NAME: { ... }`.
    fileprivate static var networkFilter: ConfigFormat {
        ConfigFormat("the name of a filter, or an object with the name as its only key") { value in
            switch value.node.value {
            case .scalar:
                return value.read(as: .name).map { name in
                    NetworkFilterConfiguration(
                        name: name, config: .emptyObject(at: value.node.position),
                        origin: ConfigOrigin(value.node.position))
                }
            case .object(let entries) where entries.count == 1:
                let entry = entries[0]
                let nameNode = ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition)
                let nameValue = ConfigValue(
                    node: nameNode, subject: "the name of a filter", expectation: value.expectation,
                    diagnostics: value.diagnostics)
                return nameValue.read(as: .name).map { name in
                    // `- NAME:` with nothing after it reads as no configuration.
                    let config = entry.value.isNull ? .emptyObject(at: entry.keyPosition) : entry.value
                    return NetworkFilterConfiguration(
                        name: name, config: config, origin: ConfigOrigin(entry.keyPosition))
                }
            case .object(let entries):
                value.refuse("with \(entries.count) keys")
                return nil
            case .list:
                value.refuse()
                return nil
            }
        }
    }
}
