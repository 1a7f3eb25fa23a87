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
            balancesConnections: object.value(
                "connection_balance", .choice(["auto": true, "off": false]), default: true),
            tcpKeepAlive: object.optional("tcp_keepalive", .tcpKeepAlive),
            access: object.value("access", .object("access", access), default: AccessConfiguration()),
            tls: object.optional("tls", .object("tls", listenerTLS)),
            networkFilters: networkFilters(object),
            proxy: proxy(object, of: "listener", isNeeded: !object.hasKey("filter_chains")),
            filterChains: filterChains(object),
            clientHelloTimeout: object.value(
                "client_hello_timeout", .duration(in: ConfigLimits.handshakeTimeout),
                default: ListenerConfiguration.defaultClientHelloTimeout),
            origin: ConfigOrigin(object.position))
    }

    private func access(_ object: ConfigObject) -> AccessConfiguration? {
        AccessConfiguration(
            allow: object.value("allow", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []),
            deny: object.value("deny", .list(of: .cidr, count: ConfigLimits.accessRanges), default: []))
    }

    func networkFilters(_ object: ConfigObject) -> [NetworkFilterConfiguration] {
        object.value(
            "network_filters",
            .list(of: .filter(NetworkFilterConfiguration.init), count: ConfigLimits.networkFilters), default: [])
    }

    /// nil without `tcp` and `http`. Whether the last network filter can do without is for those who know filters.
    ///
    /// - Parameters:
    ///   - kind: what errors call the object
    ///   - isNeeded: whether there must be one of them, or a network filter
    func proxy(_ object: ConfigObject, of kind: String, isNeeded: Bool = true) -> ProxyConfiguration? {
        let tcp = object.optional("tcp", tcpFormat)
        let http = object.optional("http", .object("http", http))
        let tcpEntry = object.entry("tcp")
        let httpEntry = object.entry("http")
        if let tcpEntry, let httpEntry {
            diagnostics.report(
                "both \"tcp\" and \"http\" in \(kind)", expected: "one of them",
                at: max(tcpEntry.keyPosition, httpEntry.keyPosition))
        }
        if isNeeded, tcpEntry == nil, httpEntry == nil, object.entry("network_filters") == nil {
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
                default: TCPProxyConfiguration.defaultConnectAttempts),
            accessLogs: accessLogs(object))
    }

    private func tcpClusters(_ object: ConfigObject) -> [WeightedCluster] {
        let clusters = clusters(object)
        object.exactlyOne(of: ["cluster", "weighted"])
        return clusters
    }

    /// What `cluster` or `weighted` says; empty without both, and after an error.
    func clusters(_ object: ConfigObject) -> [WeightedCluster] {
        let hasCluster = object.entry("cluster") != nil
        let weighted = object.optional(
            "weighted",
            .list(of: .object("weighted cluster", weightedCluster), count: ConfigLimits.weightedClusters))
        guard hasCluster else { return weighted ?? [] }
        return clusterReference(object, "cluster").map { [WeightedCluster(cluster: $0)] } ?? []
    }

    private func weightedCluster(_ object: ConfigObject) -> WeightedCluster? {
        let cluster = clusterReference(object, "cluster")
        let weight = object.required("weight", .int(in: ConfigLimits.weight))
        guard let cluster, let weight else { return nil }
        return WeightedCluster(cluster: cluster, weight: weight)
    }
}
